"""Keys and values as they are given on a command line, in standard input and in the lines of a file.

    notation    says                                an untyped tree stores       a typed tree stores
    text        itself, in UTF-8                    its bytes                    the text, as its codec encodes it
    hex         pairs of hexadecimal digits         those bytes                  those bytes
    base64      base64                              those bytes                  those bytes
    json        a JSON text                         the JSON, without spaces     the object, as its codec encodes it
    msgpack     a JSON text                         the object as MessagePack    the object, as its codec encodes it
    tuple       a JSON array                        the key of the tuple layer   the tuple, as its codec encodes it

Without a notation an untyped tree takes the bytes that are given; a typed one takes what its codec is for: text, a
number, a date or the like (`scalars`), a JSON array (`Tuple`), a JSON text (`Json`, `MsgPack`). A tree of pickles, or
of a codec that this package does not have, takes bytes only: hex and base64.
"""

from __future__ import annotations

from typing import Any

from cowtree.cli.failures import CommandError
from cowtree.cli.objects import from_base64, parse_json, parse_tuple
from cowtree.cli.scalars import SCALARS, parse_scalar
from cowtree.codecs import Codec, by_name, innermost_name
from cowtree.errors import CodecError

__all__ = [
    "NOTATIONS",
    "argument_bytes",
    "codec_named",
    "encode",
    "encode_prefix",
    "encode_to_store",
]

NOTATIONS = ("text", "hex", "base64", "json", "msgpack", "tuple")

_RAW = frozenset({"hex", "base64"})


def argument_bytes(argument: str) -> bytes:
    """The bytes of a command-line argument, which Python gives as text; what was no text comes out as it was."""
    return argument.encode("utf-8", "surrogateescape")


def codec_named(name: str) -> Codec[Any] | None:
    """The codec that a tree records as `name`; None where there is none, it is not known, or must not decode.

    Unpickling runs code that the file chooses, so Pickle is never used here.
    """
    if name == "" or innermost_name(name) == "pickle":
        return None
    try:
        return by_name(name)
    except (CodecError, ModuleNotFoundError):
        return None


def encode(given: bytes, notation: str | None, codec: str, what: str) -> bytes:
    """The bytes that `given` means as a key or value of a tree that records `codec` ("": none).

    `what` names it in messages. CommandError: it means none; the message says what would.
    """
    try:
        if notation in _RAW:
            return _raw(given, notation)
        if codec in ("", "bytes"):
            return _untyped(given, notation)
        known = codec_named(codec)
        if known is None:
            raise CommandError(
                f"the tree has {codec} {what}s: give the bytes, with --{what}-as hex"
            )
        return known.encode(_object(given, notation or _natural(codec), codec))
    except UnicodeDecodeError:
        raise CommandError(
            f"not a {what}: not UTF-8 (give the bytes with --{what}-as hex)"
        ) from None
    except (TypeError, ValueError) as error:
        raise CommandError(f"not a {what}: {error}") from None


def encode_prefix(given: bytes, notation: str | None, codec: str) -> tuple[bytes, bytes | None]:
    """(start, stop) of the keys that begin with what is given: its text or bytes, or the elements of a tuple."""
    from cowtree.codecs import Bytes, Tuple

    raw = encode(given, notation, codec, "key")
    if notation in _RAW:
        return Bytes.prefix(raw)
    if codec == "tuple" or (codec in ("", "bytes") and notation == "tuple"):
        return Tuple.prefix(Tuple.decode(raw))
    if codec in SCALARS:
        raise CommandError(f"no {codec} begins with another: use --start and --stop")
    return Bytes.prefix(raw)


def encode_to_store(given: bytes, notation: str | None, codec: str, what: str) -> bytes:
    """The same for a key or value that is written: the codec of the tree has to be able to read it again."""
    raw = encode(given, notation, codec, what)
    known = codec_named(codec) if notation in _RAW else None
    if known is not None:
        try:
            known.decode(raw)
        except ValueError as error:
            raise CommandError(
                f"the tree has {codec} {what}s, these bytes are none: {error}"
            ) from None
    return raw


def _raw(given: bytes, notation: str | None) -> bytes:
    """The bytes that hexadecimal digits or base64 say; tools break both into lines."""
    text = "".join(given.decode("ascii", "replace").split())
    if notation == "base64":
        return from_base64(text)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError("hex is pairs of the digits 0-9 and a-f, without 0x") from None


def _untyped(given: bytes, notation: str | None) -> bytes:
    from cowtree.codecs import Json, MsgPack, Tuple

    if notation is None or notation == "text":
        return given
    if notation == "tuple":
        return Tuple.encode(parse_tuple(given.decode()))
    return (Json if notation == "json" else MsgPack).encode(parse_json(given.decode()))


def _object(given: bytes, notation: str, codec: str) -> Any:
    """The object that the text says."""
    text = given.decode()
    if notation == "text":
        return text
    if notation == "tuple" or (
        innermost_name(codec) == "tuple" and notation in ("json", "msgpack")
    ):
        return parse_tuple(text)
    if notation in ("json", "msgpack"):
        return parse_json(text)
    return parse_scalar(text, notation)


def _natural(codec: str) -> str:
    """The notation of what is given to a typed tree without one: what its codec is for."""
    innermost = innermost_name(codec)
    return "text" if innermost in ("bytes", "text") else innermost
