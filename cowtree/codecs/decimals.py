"""Codec for keys that are decimal numbers of any size and precision: Decimal.

A number is 0.d1d2d3... x 10^point, with d1 not zero and no zeros at the end, so that equal numbers are one key:

    00                        -Infinity
    01  point  pairs  (FF)    negative: every bit behind the 01 flipped, then FF
    02                        0 (and -0)
    03  point  pairs          positive
    04                        Infinity

    point     as an int of the tuple layer, 1 to 9 bytes
    pairs     one byte for two digits: 1 + their value, 1 to 100; an odd last digit is followed by 0

Numbers sort by sign, then by point, then by digits; fewer digits sort before their extensions, and for negative numbers
the FF, which is no flipped pair, turns that round. 12.5 is 03 15 02 0D 33.

Source of the layout: the keys of SQLite4 ("Key Encoding": sign, exponent, digits by pairs) and, for the point,
FoundationDB's tuple layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from cowtree.codecs.protocol import KeyCodec, NamedCodec
from cowtree.codecs.tuple_layer import decode_int, encode_int

if TYPE_CHECKING:
    import decimal

__all__ = ["Decimal", "DecimalCodec"]

_MINUS_INFINITY, _NEGATIVE, _ZERO, _POSITIVE, _INFINITY = (bytes([kind]) for kind in range(5))
_END_OF_NEGATIVE = b"\xff"
_FLIPPED = bytes(255 - byte for byte in range(256))
_POINT_CODE_MIN, _POINT_CODE_MAX = 0x0C, 0x1C  # of ints of up to 8 bytes
_PAIR_MAX = 100


@final
class DecimalCodec(NamedCodec):
    """decimal.Decimal, in the order of numbers, with the infinities and without NaN, which has no place in an order.

    Equal numbers are one key, which decodes to the shortest of them: 1.50 comes back as 1.5, 100 as 1E+2, -0 as 0. An
    int is taken as the Decimal that equals it. The context of the thread changes nothing.
    """

    __slots__ = ()
    name = "decimal"

    def encode(self, obj: decimal.Decimal | int, /) -> bytes:
        """1 byte, or 2 to 10 and one for two digits. O(digits).

        Raises:
            TypeError: not a Decimal or int, or a bool. A float is none: Decimal(x) or Decimal(str(x)) says which.
            ValueError: NaN.
        """
        sign, digits, exponent = _as_decimal(obj).as_tuple()
        if isinstance(exponent, str):
            if exponent != "F":
                raise ValueError("NaN has no place in the order of keys")
            return _MINUS_INFINITY if sign else _INFINITY
        coefficient = bytes(digits).lstrip(b"\x00")
        if not coefficient:
            return _ZERO
        point = exponent + len(coefficient)
        significant = coefficient.rstrip(b"\x00")
        if len(significant) & 1:
            significant += b"\x00"
        pairs = zip(significant[::2], significant[1::2], strict=True)
        magnitude = encode_int(point) + bytes([10 * first + second + 1 for first, second in pairs])
        if sign:
            return _NEGATIVE + magnitude.translate(_FLIPPED) + _END_OF_NEGATIVE
        return _POSITIVE + magnitude

    def decode(self, data: bytes, /) -> decimal.Decimal:
        """The number, without zeros at its end. ValueError: `encode` never gives these bytes."""
        from decimal import Decimal

        kind = data[:1]
        if kind == _POSITIVE:
            number = _decode_magnitude(0, data[1:])
        elif kind == _NEGATIVE:
            number = _decode_magnitude(1, data[1:-1].translate(_FLIPPED))
        elif kind == _ZERO:
            number = Decimal(0)
        elif kind in (_MINUS_INFINITY, _INFINITY):
            number = Decimal("Infinity" if kind == _INFINITY else "-Infinity")
        else:
            raise ValueError("not a decimal")
        # Refuses whatever is not canonical: zeros at either end, a point beyond the type's, bytes behind the end.
        if self.encode(number) != data:
            raise ValueError("a decimal that is not in its one form")
        return number

    def prefix(self, obj: decimal.Decimal | int, /) -> tuple[bytes, bytes | None]:
        """TypeError: no number begins with another."""
        raise TypeError("a number is no prefix: give start and stop")


def _as_decimal(obj: decimal.Decimal | int) -> decimal.Decimal:
    from decimal import Decimal

    if isinstance(obj, Decimal):
        return obj
    if not isinstance(obj, int) or isinstance(obj, bool):
        raise TypeError(f"Decimal takes decimal.Decimal or int, not {type(obj).__name__}")
    return Decimal(obj)


def _decode_magnitude(sign: int, data: bytes) -> decimal.Decimal:
    """The number of a point and pairs, which need not be canonical. ValueError: they are neither, or too large."""
    from decimal import Decimal

    if not data or not _POINT_CODE_MIN <= data[0] <= _POINT_CODE_MAX:
        raise ValueError("a decimal without a point")
    point, position = decode_int(data, 1)
    digits: list[int] = []
    for pair in data[position:]:
        if not 1 <= pair <= _PAIR_MAX:
            raise ValueError(f"a decimal with the digits {pair - 1}")
        digits += divmod(pair - 1, 10)
    while digits and digits[-1] == 0:
        digits.pop()
    try:
        return Decimal((sign, tuple(digits), point - len(digits)))
    except (ArithmeticError, OverflowError) as error:
        raise ValueError("a decimal beyond what Decimal holds") from error


Decimal: Final[KeyCodec[decimal.Decimal]] = DecimalCodec()
"""decimal.Decimal of any size and precision, without NaN."""
