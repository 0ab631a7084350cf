"""Codecs for keys of one type: Bytes, Text, Int, Float, Bool, Uuid.

    Bytes    as they are
    Text     UTF-8
    Int      8 bytes, big-endian, the sign bit flipped
    Float    8 bytes, big-endian IEEE 754; the sign bit flipped, in negative numbers every bit
    Bool     1 byte, 0 or 1
    Uuid     its 16 bytes

Each takes O(length), for numbers O(1).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, final

from cowtree.codecs.protocol import KeyCodec, NamedCodec
from cowtree.views import prefix_end

if TYPE_CHECKING:
    from uuid import UUID

__all__ = [
    "Bool",
    "BoolCodec",
    "Bytes",
    "BytesCodec",
    "Float",
    "FloatCodec",
    "Int",
    "IntCodec",
    "Text",
    "TextCodec",
    "Uuid",
    "UuidCodec",
]

_SIGN = 1 << 63
_NUMBER_SIZE = 8
_UUID_SIZE = 16

_pack_unsigned = struct.Struct(">Q").pack
_unpack_unsigned = struct.Struct(">Q").unpack
_pack_signed = struct.Struct(">q").pack
_unpack_signed = struct.Struct(">q").unpack
_pack_double = struct.Struct(">d").pack
_unpack_double = struct.Struct(">d").unpack

_NEGATIVE_ZERO = _pack_signed(_SIGN - 1)


@final
class BytesCodec(NamedCodec):
    """bytes, as they are; encoding takes every C-contiguous buffer, decoding gives bytes."""

    __slots__ = ()
    name = "bytes"

    def encode(self, obj: bytes | bytearray | memoryview, /) -> bytes:
        """The bytes of a buffer, copied unless they are `bytes`. TypeError: not a C-contiguous buffer."""
        if type(obj) is bytes:
            return obj
        try:
            view = memoryview(obj)
        except TypeError:
            raise TypeError(
                f"Bytes takes bytes or another buffer, not {type(obj).__name__}"
            ) from None
        if not view.c_contiguous:
            raise TypeError("Bytes takes a C-contiguous buffer")
        return view.tobytes()

    def decode(self, data: bytes, /) -> bytes:
        """`data` itself."""
        return data if type(data) is bytes else memoryview(data).tobytes()

    def prefix(self, obj: bytes | bytearray | memoryview, /) -> tuple[bytes, bytes | None]:
        """The range of the keys that begin with these bytes."""
        start = self.encode(obj)
        return start, prefix_end(start)


@final
class TextCodec(NamedCodec):
    """str as UTF-8, in the order of code points, which is Python's; no locale, no normal form."""

    __slots__ = ()
    name = "text"

    def encode(self, obj: str, /) -> bytes:
        """Its UTF-8. TypeError: not a str; ValueError: a lone surrogate, for which UTF-8 has no bytes."""
        if type(obj) is str:
            return obj.encode()
        if isinstance(obj, str):
            return str.encode(obj)
        raise TypeError(f"Text takes str, not {type(obj).__name__}")

    def decode(self, data: bytes, /) -> str:
        """The text. ValueError: not UTF-8 as Python writes it."""
        return str(data, "utf-8")

    def prefix(self, obj: str, /) -> tuple[bytes, bytes | None]:
        """The range of the keys that begin with this text; code points count, not what is seen as a letter."""
        start = self.encode(obj)
        return start, prefix_end(start)


@final
class IntCodec(NamedCodec):
    """Signed 64-bit int, from -2**63 to 2**63 - 1. Larger ones: `Tuple`."""

    __slots__ = ()
    name = "int"

    def encode(self, obj: int, /) -> bytes:
        """8 bytes. TypeError: not an int, or a bool; ValueError: more than 64 bits."""
        if type(obj) is not int and (not isinstance(obj, int) or isinstance(obj, bool)):
            raise TypeError(f"Int takes int, not {type(obj).__name__}")
        try:
            return _pack_unsigned(obj + _SIGN)
        except struct.error:
            raise ValueError(
                "Int takes -2**63 to 2**63 - 1; larger numbers need cowtree.codecs.Tuple"
            ) from None

    def decode(self, data: bytes, /) -> int:
        """The int. ValueError: not 8 bytes."""
        if len(data) != _NUMBER_SIZE:
            raise ValueError(f"an int has {_NUMBER_SIZE} bytes, not {len(data)}")
        number: int = _unpack_unsigned(data)[0]
        return number - _SIGN

    def prefix(self, obj: int, /) -> tuple[bytes, bytes | None]:
        """TypeError: no number begins with another."""
        raise TypeError("a number is no prefix: give start and stop")


@final
class FloatCodec(NamedCodec):
    """IEEE double, in the order of numbers, with the infinities and without NaN, which has no place in an order.

    -0.0 and 0.0 are equal, so they are one key, which decodes to 0.0. An int is taken where a double has exactly its
    value, as `1 == 1.0`.
    """

    __slots__ = ()
    name = "float"

    def encode(self, obj: float, /) -> bytes:
        """8 bytes. TypeError: not a float or int, or a bool; ValueError: NaN, or an int that no double equals."""
        number = obj if type(obj) is float else _as_double(obj)
        bits: int = _unpack_signed(_pack_double(number + 0.0))[0]  # + 0.0 makes 0.0 of -0.0
        if number != number:
            raise ValueError("NaN has no place in the order of keys")
        return _pack_signed(~bits if bits < 0 else bits - _SIGN)

    def decode(self, data: bytes, /) -> float:
        """The float. ValueError: not 8 bytes, NaN, or -0.0."""
        if len(data) != _NUMBER_SIZE:
            raise ValueError(f"a float has {_NUMBER_SIZE} bytes, not {len(data)}")
        flipped: int = _unpack_signed(data)[0]
        bits = flipped + _SIGN if flipped < 0 else ~flipped
        number: float = _unpack_double(_pack_signed(bits))[0]
        if number != number or data == _NEGATIVE_ZERO:
            raise ValueError(f"a float as a key is neither NaN nor -0.0: {data.hex()}")
        return number

    def prefix(self, obj: float, /) -> tuple[bytes, bytes | None]:
        """TypeError: no number begins with another."""
        raise TypeError("a number is no prefix: give start and stop")


def _as_double(obj: float) -> float:
    """The double that equals an int or an instance of a subclass of float."""
    if isinstance(obj, float):
        return float.__float__(obj)
    if not isinstance(obj, int) or isinstance(obj, bool):
        raise TypeError(f"Float takes float or int, not {type(obj).__name__}")
    try:
        number = float(obj)
    except OverflowError:
        number = float("inf")
    if number != obj:
        raise ValueError("Float takes an int only if a double has exactly its value")
    return number


@final
class BoolCodec(NamedCodec):
    """False, then True."""

    __slots__ = ()
    name = "bool"

    def encode(self, obj: bool, /) -> bytes:
        """1 byte. TypeError: not a bool."""
        if obj is True:
            return b"\x01"
        if obj is False:
            return b"\x00"
        raise TypeError(f"Bool takes bool, not {type(obj).__name__}")

    def decode(self, data: bytes, /) -> bool:
        """The bool. ValueError: not one byte that is 0 or 1."""
        if data == b"\x01":
            return True
        if data == b"\x00":
            return False
        raise ValueError("a bool is one byte, 0 or 1")

    def prefix(self, obj: bool, /) -> tuple[bytes, bytes | None]:
        """TypeError: no bool begins with another."""
        raise TypeError("a bool is no prefix: give start and stop")


@final
class UuidCodec(NamedCodec):
    """uuid.UUID, in the order of its bytes, which is Python's: those of version 7 (and 6) in order of time."""

    __slots__ = ()
    name = "uuid"

    def encode(self, obj: UUID, /) -> bytes:
        """16 bytes. TypeError: not a UUID."""
        from uuid import UUID

        if not isinstance(obj, UUID):
            raise TypeError(f"Uuid takes uuid.UUID, not {type(obj).__name__}")
        return obj.bytes

    def decode(self, data: bytes, /) -> UUID:
        """The UUID. ValueError: not 16 bytes."""
        from uuid import UUID

        if len(data) != _UUID_SIZE:
            raise ValueError(f"a UUID has {_UUID_SIZE} bytes, not {len(data)}")
        return UUID(bytes=data)

    def prefix(self, obj: UUID, /) -> tuple[bytes, bytes | None]:
        """TypeError: no UUID begins with another."""
        raise TypeError("a UUID is no prefix: give start and stop")


Bytes: Final[KeyCodec[bytes]] = BytesCodec()
"""bytes as they are; takes every C-contiguous buffer."""

Text: Final[KeyCodec[str]] = TextCodec()
"""str as UTF-8."""

Int: Final[KeyCodec[int]] = IntCodec()
"""Signed 64-bit int."""

Float: Final[KeyCodec[float]] = FloatCodec()
"""IEEE double without NaN."""

Bool: Final[KeyCodec[bool]] = BoolCodec()
"""bool."""

Uuid: Final[KeyCodec[UUID]] = UuidCodec()
"""uuid.UUID."""
