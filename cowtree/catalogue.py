"""Keys and records of the catalogue (FORMAT §3.3) other than a tree's: tags and settings."""

from __future__ import annotations

import math
import struct
from datetime import timedelta

from cowtree.errors import CorruptionError, KeyTooLargeError
from cowtree.options import DEFAULT

__all__ = [
    "AUTO_COMPACT",
    "AUTO_COMPACT_DEFAULT",
    "HISTORY",
    "SETTING",
    "TAG",
    "TREE",
    "Tag",
    "check_auto_compact",
    "check_history",
    "check_tag_name",
    "pack_setting",
    "pack_tag",
    "setting_key",
    "tag_key",
    "unpack_setting",
    "unpack_tag",
    "wanted_settings",
]

TREE, TAG, SETTING = b"\x01", b"\x02", b"\x03"

_TAG_RECORD = struct.Struct("<B7xQQQQ")
_VERSION = 1


class Tag:
    """What a tag points at. `time_ns`: when that commit was made."""

    __slots__ = ("commit_id", "nonce", "page", "time_ns")

    def __init__(self, commit_id: int, nonce: int, page: int, time_ns: int) -> None:
        self.commit_id = commit_id
        self.nonce = nonce
        self.page = page
        self.time_ns = time_ns


def check_tag_name(name: object) -> None:
    """TypeError or ValueError unless `name` can name a tag."""
    if not isinstance(name, str):
        raise TypeError(f"a tag's name is a str, not {type(name).__name__}")
    import re

    if not re.fullmatch(r"[A-Za-z_][\w./:-]*", name):
        raise ValueError(
            f"not a tag's name: {name!r} (a letter or _, then letters, digits, _ . / : -)"
        )


def tag_key(name: str, key_size_max: int) -> bytes:
    """The catalogue's key of a tag."""
    key = TAG + name.encode()
    if len(key) > key_size_max:
        raise KeyTooLargeError(
            f"a tag's name has at most {key_size_max - 1} bytes, not {len(key) - 1}"
        )
    return key


def pack_tag(tag: Tag) -> bytes:
    """The catalogue's value of a tag."""
    return _TAG_RECORD.pack(_VERSION, tag.commit_id, tag.nonce, tag.page, tag.time_ns)


def unpack_tag(record: bytes, path: str | None = None) -> Tag:
    """The tag in a record of the catalogue; CorruptionError."""
    if len(record) != _TAG_RECORD.size or record[0] != _VERSION:
        raise CorruptionError("not the record of a tag", path=path)
    return Tag(*_TAG_RECORD.unpack(record)[1:])


AUTO_COMPACT_DEFAULT = 2.0
AUTO_COMPACT = "auto_compact"
HISTORY = "history"


def check_auto_compact(value: object) -> float | None:
    """A ratio above 1, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"auto_compact is a number or None, not {type(value).__name__}")
    if not 1 < value < math.inf:
        raise ValueError(
            f"auto_compact is a ratio of file to live size, above 1 and finite, not {value}"
        )
    try:
        return float(value)
    except OverflowError:
        raise ValueError("auto_compact is too large a ratio") from None


def check_history(value: object) -> int | timedelta | None:
    """A number of commits, an age, or None."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise ValueError(f"history is an age, not {value}")
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"history is an int, a timedelta or None, not {type(value).__name__}")
    if not 0 <= value < 2**63:
        raise ValueError(f"history is a number of commits, not {value}")
    return value


def wanted_settings(auto_compact: object, history: object) -> dict[str, float | timedelta | None]:
    """The settings that were given, checked, by name; DEFAULT: not given."""
    wanted: dict[str, float | timedelta | None] = {}
    if auto_compact is not DEFAULT:
        wanted[AUTO_COMPACT] = check_auto_compact(auto_compact)
    if history is not DEFAULT:
        wanted[HISTORY] = check_history(history)
    return wanted


def setting_key(name: str) -> bytes:
    """The catalogue's key of a setting."""
    return SETTING + name.encode()


def pack_setting(value: float | timedelta | None) -> bytes:
    """The catalogue's value of a setting."""
    import msgpack

    plain: object = value
    if isinstance(value, timedelta):  # not as one float, which has not room for every timedelta
        seconds = value.days * 86400 + value.seconds
        plain = {"seconds": seconds, "microseconds": value.microseconds}
    packed: bytes = msgpack.Packer().pack(plain)
    return packed


def unpack_setting(record: bytes, path: str | None = None) -> float | timedelta | None:
    """The value in a record of the catalogue; CorruptionError."""
    import msgpack

    try:
        value = msgpack.unpackb(record)
        if isinstance(value, dict):
            return timedelta(seconds=value["seconds"], microseconds=value.get("microseconds", 0))
        if value is None or isinstance(value, (int, float)):
            return value
    except Exception as error:
        raise CorruptionError(f"not the record of a setting: {error}", path=path) from error
    raise CorruptionError("not the record of a setting", path=path)
