"""Codec for composite keys: tuples in the encoding of FoundationDB's tuple layer.

Elements are written one behind the other, each with a type code in front, so that tuples sort by their first element,
then by the second, and a shorter one before its extensions:

    00                              None; inside a nested tuple 00 FF
    01  escaped bytes  00           bytes; a 00 in them is written 00 FF
    02  escaped UTF-8  00           str, likewise
    05  elements  00                nested tuple
    0B  size ^ FF  size bytes       int below -(2**64 - 1), one's complement; size 9 to 255
    0C..13  8..1 bytes              negative int, one's complement
    14                              0
    15..1C  1..8 bytes              positive int
    1D  size  size bytes            int above 2**64 - 1; size 9 to 255
    20  4 bytes                     Float32: the sign bit flipped, in negative numbers every bit
    21  8 bytes                     float, likewise
    26, 27                          False, True
    30  16 bytes                    UUID
    33  10 bytes  2 bytes           Versionstamp

Every int has one encoding here, the shortest, as that document has it (the layer's Python binding alone writes
2**64 - 1 and its negative as 1D 08 and 0B F7; those two are refused).

Source: design/tuple.md of FoundationDB, "FDB Tuple layer typecodes".
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from types import NoneType
from typing import Any, Final, final

from cowtree.codecs.protocol import KeyCodec, NamedCodec
from cowtree.codecs.tuple_elements import TRANSACTION_VERSION_SIZE, Float32, Versionstamp

__all__ = ["NESTING_MAX", "Tuple", "TupleCodec", "decode_int", "encode_int"]

NESTING_MAX: Final = 100
"""Levels of tuples inside the key's own; more would only find the limits of comparing and showing them."""

_NULL, _BYTES, _TEXT, _NESTED = 0x00, 0x01, 0x02, 0x05
_BIG_NEGATIVE, _ZERO, _BIG_POSITIVE = 0x0B, 0x14, 0x1D
_SINGLE, _DOUBLE, _FALSE, _TRUE, _UUID, _VERSIONSTAMP = 0x20, 0x21, 0x26, 0x27, 0x30, 0x33

_SMALL_INT_SIZE = 8  # bytes of the longest int whose size is in its type code
_INT_SIZE_MAX = 255
_SINGLE_SIZE, _DOUBLE_SIZE, _UUID_SIZE, _VERSIONSTAMP_SIZE = 4, 8, 16, 12

_CODES = [bytes([code]) for code in range(256)]
_ESCAPE = b"\xff"  # behind 00: not the end. No type code is FF.
_NULL_INSIDE = b"\x00\xff"

_pack_single = struct.Struct(">f").pack
_unpack_single = struct.Struct(">f").unpack
_pack_double = struct.Struct(">d").pack
_unpack_double = struct.Struct(">d").unpack
_pack_user_version = struct.Struct(">H").pack

_FLIPPED = bytes(255 - byte for byte in range(256))


@final
class TupleCodec(NamedCodec):
    """tuple of None, bytes, str, tuple, int (up to 255 bytes), Float32, float, bool, UUID and Versionstamp.

    Elements of different types sort in that order, those of one type as usual: bytes and UUIDs by their bytes, str by
    code points. The type is part of the key: 1, 1.0 and True are three keys although Python calls them equal. So are
    0.0 and -0.0, which sorts first; a NaN sorts outside the infinities, by its sign, and is the key of its bits.

    An instance of a subclass (an IntEnum, a named tuple) is written as its base and comes back as that.
    """

    __slots__ = ()
    name = "tuple"

    def encode(self, obj: tuple[Any, ...], /) -> bytes:
        """The elements' bytes. O(size), for an int O(size) of it.

        Raises:
            TypeError: not a tuple, or an element of another type; a list, too, which would come back as a tuple.
            ValueError: an int of more than 255 bytes, a lone surrogate, more than NESTING_MAX levels of tuples.
        """
        if not isinstance(obj, tuple):
            raise TypeError(f"Tuple takes tuple, not {type(obj).__name__}")
        return b"".join([_ENCODERS[type(item)](item, 0) for item in obj])

    def decode(self, data: bytes, /) -> tuple[Any, ...]:
        """The tuple. O(size), without recursion.

        Raises:
            ValueError: cut short, a type code that is none, an int with leading zeros, text that is not UTF-8, more
                than NESTING_MAX levels of tuples.
        """
        items: list[Any] = []
        outer: list[list[Any]] = []  # the elements before each nested tuple that is still open
        position, size = 0, len(data)
        while position < size:
            code = data[position]
            position += 1
            if code == _NULL:
                if not outer:
                    items.append(None)
                elif data[position : position + 1] == _ESCAPE:
                    items.append(None)
                    position += 1
                else:
                    nested = tuple(items)
                    items = outer.pop()
                    items.append(nested)
            elif code == _NESTED:
                if len(outer) == NESTING_MAX:
                    raise ValueError(f"tuples are nested more than {NESTING_MAX} deep")
                outer.append(items)
                items = []
            else:
                item, position = _DECODERS[code](data, position)
                items.append(item)
        if outer:
            raise ValueError("the key ends inside a nested tuple")
        return tuple(items)

    def prefix(self, obj: tuple[Any, ...], /) -> tuple[bytes, bytes | None]:
        """The range of the keys whose leading elements are those of `obj`, which is itself the first of them.

        An element ends where it ends: the prefix (b"a",) has (b"a", 1) and not (b"ab",).
        """
        start = self.encode(obj)
        # Behind a whole element stands a type code or nothing; FF would make its closing 00 a byte of it.
        return start, start + _ESCAPE


def _encode_null(_item: None, depth: int) -> bytes:
    return _NULL_INSIDE if depth else b"\x00"


def _encode_bytes(item: bytes, _depth: int) -> bytes:
    return b"\x01" + bytes.replace(item, b"\x00", b"\x00\xff") + b"\x00"


def _encode_text(item: str, _depth: int) -> bytes:
    return b"\x02" + str.encode(item).replace(b"\x00", b"\x00\xff") + b"\x00"


def _encode_nested(items: tuple[Any, ...], depth: int) -> bytes:
    if depth == NESTING_MAX:
        raise ValueError(f"Tuple takes tuples nested up to {NESTING_MAX} deep")
    return b"\x05" + b"".join([_ENCODERS[type(item)](item, depth + 1) for item in items]) + b"\x00"


def encode_int(item: int, _depth: int = 0) -> bytes:
    """An int with its type code: the bytes sort as ints do, and none begins with another's."""
    size = (item.bit_length() + 7) >> 3
    if size > _SMALL_INT_SIZE:
        return _encode_big_int(item, size)
    if item >= 0:
        return _CODES[_ZERO + size] + item.to_bytes(size, "big")
    return _CODES[_ZERO - size] + (item + (1 << 8 * size) - 1).to_bytes(size, "big")


def _encode_big_int(item: int, size: int) -> bytes:
    if size > _INT_SIZE_MAX:
        raise ValueError(f"Tuple takes ints of up to {_INT_SIZE_MAX} bytes, not of {size}")
    if item > 0:
        return _CODES[_BIG_POSITIVE] + _CODES[size] + item.to_bytes(size, "big")
    complement = item + (1 << 8 * size) - 1
    return _CODES[_BIG_NEGATIVE] + _CODES[size ^ 0xFF] + complement.to_bytes(size, "big")


def _encode_single(item: Float32, _depth: int) -> bytes:
    return b"\x20" + _flip(_pack_single(item.value))


def _encode_double(item: float, _depth: int) -> bytes:
    return b"\x21" + _flip(_pack_double(item))


def _flip(bits: bytes) -> bytes:
    """Big-endian IEEE bits so that they sort as numbers do: every bit of a negative one flipped, else the sign bit."""
    if bits[0] & 0x80:
        return bits.translate(_FLIPPED)
    return _CODES[bits[0] | 0x80] + bits[1:]


def _encode_bool(item: bool, _depth: int) -> bytes:
    return b"\x27" if item else b"\x26"


def _encode_uuid(item: Any, _depth: int) -> bytes:
    packed: bytes = item.bytes
    return b"\x30" + packed


def _encode_versionstamp(item: Versionstamp, _depth: int) -> bytes:
    return b"\x33" + item.transaction_version + _pack_user_version(item.user_version)


class _Encoders(dict[type, Callable[[Any, int], bytes]]):
    """(element, levels of tuples around it) -> bytes, by exact type; other types are looked up by their bases."""

    __slots__ = ()

    def __missing__(self, kind: type) -> Callable[[Any, int], bytes]:
        for base in kind.__mro__:
            if base in self:
                return self[base]
        uuid = sys.modules.get("uuid")  # who has a UUID has imported it
        if uuid is not None and issubclass(kind, uuid.UUID):
            self[uuid.UUID] = _encode_uuid
            return _encode_uuid
        raise TypeError(
            "an element of Tuple is None, bytes, str, tuple, int, Float32, float, bool, UUID or Versionstamp, "
            f"not {kind.__name__}"
        )


_ENCODERS = _Encoders(
    {
        NoneType: _encode_null,
        bytes: _encode_bytes,
        str: _encode_text,
        tuple: _encode_nested,
        int: encode_int,
        Float32: _encode_single,
        float: _encode_double,
        bool: _encode_bool,
        Versionstamp: _encode_versionstamp,
    }
)


def _take(data: bytes, position: int, size: int) -> bytes:
    """`size` bytes at `position`. ValueError: there are fewer."""
    taken = data[position : position + size]
    if len(taken) != size:
        raise ValueError(
            f"the key ends inside an element: {len(taken)} of {size} bytes at {position}"
        )
    return taken


def _decode_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    end = data.find(b"\x00", position)
    while end >= 0 and data[end + 1 : end + 2] == _ESCAPE:
        end = data.find(b"\x00", end + 2)
    if end < 0:
        raise ValueError(f"the key ends inside bytes or text that begin at {position}")
    return data[position:end].replace(b"\x00\xff", b"\x00"), end + 1


def _decode_text(data: bytes, position: int) -> tuple[str, int]:
    text, position = _decode_bytes(data, position)
    return text.decode(), position


def decode_int(data: bytes, position: int) -> tuple[int, int]:
    """(int of up to 8 bytes whose type code is in front of `position`, position behind it). ValueError."""
    size = data[position - 1] - _ZERO
    if size >= 0:
        return _decode_magnitude(data, position, size, 0), position + size
    return _decode_magnitude(data, position, -size, 0xFF), position - size


def _decode_big_int(data: bytes, position: int) -> tuple[int, int]:
    flip = 0xFF if data[position - 1] == _BIG_NEGATIVE else 0
    size = _take(data, position, 1)[0] ^ flip
    if size <= _SMALL_INT_SIZE:
        raise ValueError(f"an int of {size} bytes is written as one of more, at {position}")
    position += 1
    return _decode_magnitude(data, position, size, flip), position + size


def _decode_magnitude(data: bytes, position: int, size: int, flip: int) -> int:
    """The int of `size` bytes; `flip` is FF where they are the one's complement of a negative one, else 0."""
    taken = _take(data, position, size)
    if size and taken[0] == flip:
        raise ValueError(f"an int is written with leading zeros, at {position}")
    number = int.from_bytes(taken, "big")
    return number - (1 << 8 * size) + 1 if flip else number


def _decode_single(data: bytes, position: int) -> tuple[Float32, int]:
    taken = _take(data, position, _SINGLE_SIZE)
    item = Float32(_unpack_single(_unflip(taken))[0])
    if item.value != item.value and _flip(_pack_single(item.value)) != taken:
        raise ValueError(f"a signalling NaN, which has no float of Python, at {position}")
    return item, position + _SINGLE_SIZE


def _decode_double(data: bytes, position: int) -> tuple[float, int]:
    taken = _take(data, position, _DOUBLE_SIZE)
    item: float = _unpack_double(_unflip(taken))[0]
    if item != item and _flip(_pack_double(item)) != taken:
        raise ValueError(f"a signalling NaN, which has no float of Python, at {position}")
    return item, position + _DOUBLE_SIZE


def _unflip(bits: bytes) -> bytes:
    if bits[0] & 0x80:
        return _CODES[bits[0] & 0x7F] + bits[1:]
    return bits.translate(_FLIPPED)


def _decode_bool(data: bytes, position: int) -> tuple[bool, int]:
    return data[position - 1] == _TRUE, position


def _decode_uuid(data: bytes, position: int) -> tuple[Any, int]:
    from uuid import UUID

    return UUID(bytes=_take(data, position, _UUID_SIZE)), position + _UUID_SIZE


def _decode_versionstamp(data: bytes, position: int) -> tuple[Versionstamp, int]:
    taken = _take(data, position, _VERSIONSTAMP_SIZE)
    user_version = int.from_bytes(taken[TRANSACTION_VERSION_SIZE:], "big")
    item = Versionstamp(taken[:TRANSACTION_VERSION_SIZE], user_version)
    return item, position + _VERSIONSTAMP_SIZE


def _refuse(data: bytes, position: int) -> tuple[Any, int]:
    raise ValueError(f"no type of element has the code {data[position - 1]:02X}, at {position - 1}")


# (data, position behind the type code) -> (element, position behind it), by type code. 00 and 05 are TupleCodec's.
_DECODERS: list[Callable[[bytes, int], tuple[Any, int]]] = [_refuse] * 256
_DECODERS[_BYTES] = _decode_bytes
_DECODERS[_TEXT] = _decode_text
_DECODERS[_BIG_NEGATIVE] = _DECODERS[_BIG_POSITIVE] = _decode_big_int
for _code in range(_ZERO - _SMALL_INT_SIZE, _ZERO + _SMALL_INT_SIZE + 1):
    _DECODERS[_code] = decode_int
_DECODERS[_SINGLE] = _decode_single
_DECODERS[_DOUBLE] = _decode_double
_DECODERS[_FALSE] = _DECODERS[_TRUE] = _decode_bool
_DECODERS[_UUID] = _decode_uuid
_DECODERS[_VERSIONSTAMP] = _decode_versionstamp

Tuple: Final[KeyCodec[tuple[Any, ...]]] = TupleCodec()
"""tuple, in the encoding of FoundationDB's tuple layer."""
