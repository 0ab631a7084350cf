"""Objects of codecs as JSON, and tuples from it.

JSON has no bytes, no infinities, no UUIDs: an object with one member stands for such a thing.

    {"base64": "AAE="}                  bytes (read also as {"hex": "0001"})
    {"float": "inf"}                    a float that is no number of JSON: inf, -inf, nan
    {"float32": 1.5}                    cowtree.codecs.Float32
    {"uuid": "..."}                     uuid.UUID
    {"versionstamp": "24 hex digits"}   cowtree.codecs.Versionstamp
    {"decimal": "1.5"}, {"date": "..."}, {"time_of_day": "..."}    of keys of those types, shown only
    {"time": "..."}, {"ext": [n, "base64"]}, {"map": [[key, value], ...]}    of MessagePack, shown only

As elements of a tuple they are read back; in documents they are only shown.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Callable
from typing import Any

__all__ = ["encodable", "from_base64", "json_text", "parse_json", "parse_tuple", "plain"]


def json_text(obj: Any) -> str:
    """An object as compact JSON; a lone surrogate, which UTF-8 has no bytes for, as an escape."""
    text = _ENCODER.encode(obj)
    if text.isascii() or encodable(text):
        return text
    return "".join(f"\\u{ord(char):04x}" if "\ud800" <= char <= "\udfff" else char for char in text)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encodable(text: str) -> bool:
    """Is there UTF-8 for the text: has it no lone surrogate?"""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain(obj: Any) -> Any:
    """What a codec decoded, of None, bool, int, float, str, list and dict alone."""
    if obj is None or isinstance(obj, bool | int | str):
        return obj
    if isinstance(obj, float):
        return obj if math.isfinite(obj) else {"float": repr(obj)}
    if type(obj) in (list, tuple):
        return [plain(item) for item in obj]
    if isinstance(obj, dict):
        if all(isinstance(key, str) for key in obj):
            return {key: plain(item) for key, item in obj.items()}
        return {"map": [[plain(key), plain(item)] for key, item in obj.items()]}
    return _tagged(obj)


def _tagged(obj: Any) -> Any:
    kind = type(obj).__name__
    if isinstance(obj, bytes):
        return {"base64": _base64(obj)}
    if kind == "Float32":
        return {"float32": plain(obj.value)}
    if kind == "UUID":
        return {"uuid": str(obj)}
    if kind == "Versionstamp":
        stamp: bytes = obj.transaction_version + obj.user_version.to_bytes(2, "big")
        return {"versionstamp": stamp.hex()}
    if kind == "datetime":
        return {"time": obj.isoformat()}
    if kind == "date":
        return {"date": obj.isoformat()}
    if kind == "time":
        return {"time_of_day": obj.isoformat()}
    if kind == "Decimal":
        return {"decimal": str(obj)}
    if kind == "ExtType":
        return {"ext": [obj.code, _base64(obj.data)]}
    return {"object": repr(obj)}


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def from_base64(text: str) -> bytes:
    """The bytes. ValueError: not canonical base64."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ValueError(f"not base64: {error}") from None


def parse_json(text: str) -> Any:
    """One JSON text. ValueError: it is none."""
    from cowtree.codecs import Json

    return Json.decode(text.encode("utf-8", "surrogatepass"))


def parse_tuple(text: str) -> tuple[Any, ...]:
    """A tuple for `cowtree.codecs.Tuple`, from a JSON array. ValueError: not one."""
    obj = parse_json(text)
    if not isinstance(obj, list):
        raise ValueError('a tuple is given as a JSON array, such as ["user",5]')
    try:
        return tuple(_element(item) for item in obj)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _element(item: Any) -> Any:
    if isinstance(item, list):
        return tuple(_element(inner) for inner in item)
    if not isinstance(item, dict):
        return item
    if len(item) == 1:
        ((name, value),) = item.items()
        make = _ELEMENTS.get(name)
        if make is not None:
            try:
                return make(value)
            except (TypeError, AttributeError) as error:
                raise ValueError(f"{json_text(item)}: {error}") from None
    raise ValueError(
        f"no element of a tuple: {json_text(item)} (an object stands for one of {', '.join(_ELEMENTS)})"
    )


def _float32(value: Any) -> Any:
    from cowtree.codecs import Float32

    return Float32(float(value["float"]) if isinstance(value, dict) else value)


def _uuid(value: str) -> Any:
    from uuid import UUID

    return UUID(value)


def _versionstamp(value: str) -> Any:
    from cowtree.codecs import Versionstamp

    stamp = bytes.fromhex(value)
    return Versionstamp(stamp[:-2], int.from_bytes(stamp[-2:], "big"))


_ELEMENTS: dict[str, Callable[[Any], Any]] = {
    "base64": from_base64,
    "hex": bytes.fromhex,
    "float": float,
    "float32": _float32,
    "uuid": _uuid,
    "versionstamp": _versionstamp,
}
