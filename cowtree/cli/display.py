"""Keys and values for people: one line of printable characters each, which nothing on the screen obeys."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable
from typing import Any

from cowtree.cli.notations import codec_named
from cowtree.cli.objects import json_text, plain
from cowtree.cli.scalars import SCALARS, scalar_text

__all__ = ["Show", "decoder", "entries_text", "escaped", "human_size", "printable_text", "shower"]

Show = Callable[[bytes], str]


def shower(codec: str, notation: str | None) -> Show:
    """What shows the keys or values of a tree that records `codec`.

    A typed tree shows its objects, others text; `notation` asks for another. What cannot be decoded is shown escaped.
    """
    if notation in _OF_BYTES:
        return _OF_BYTES[notation]
    if notation is not None and codec in ("", "bytes"):
        codec = notation
    known = codec_named(codec)
    if known is None or codec in ("bytes", "text"):
        return escaped
    decode, text = known.decode, scalar_text if codec in SCALARS else _document

    def show(data: bytes) -> str:
        try:
            return text(decode(data))
        except (ValueError, RecursionError):
            return escaped(data)

    return show


def decoder(codec: str) -> Callable[[bytes], Any] | None:
    """(bytes) -> object of JSON's types, or None where the bytes or their text are all there is to show.

    The function raises ValueError, or RecursionError for a document that is nested too deeply to be shown.
    """
    known = codec_named(codec)
    if known is None or codec in ("bytes", "text"):
        return None
    decode = known.decode
    return lambda data: plain(decode(data))


def _document(obj: Any) -> str:
    return _printable_json(json_text(plain(obj)))


def _printable_json(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def escaped(data: bytes) -> str:
    r"""Printable text as it is; else its letters, with \\ \t \n \r \xNN for the rest."""
    text = data.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return text
    return "".join(map(_escape, text))


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


_OF_BYTES: dict[str | None, Show] = {"text": escaped, "hex": bytes.hex, "base64": _base64}


def printable_text(data: bytes) -> str | None:
    """The text of `data` if a terminal only prints it, line breaks and tabs included; else None."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if text.replace("\n", "").replace("\t", "").isprintable() else None


def human_size(size: int) -> str:
    """Bytes for people: 512 bytes, 4.0 KiB, 1.5 GiB."""
    if size < 1024:
        return f"{size} bytes"
    amount = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        amount /= 1024
        if amount < 1023.95 or unit == "TiB":
            return f"{amount:,.1f} {unit}"
    raise AssertionError("unreachable")


def entries_text(count: int) -> str:
    """1 entry, 1,000 entries."""
    return "1 entry" if count == 1 else f"{count:,} entries"
