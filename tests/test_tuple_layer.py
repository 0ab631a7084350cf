"""The Tuple codec: published encodings of FoundationDB's tuple layer, order, prefixes, malformed keys.

The tables state what design/tuple.md of FoundationDB and the tests of its bindings expect.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import math
import pickle
import struct
import tracemalloc
import uuid
from collections import namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowtree.codecs import Float32, Tuple, Versionstamp
from cowtree.codecs.tuple_layer import NESTING_MAX

# (tuple, its bytes in hexadecimal digits)
PUBLISHED: list[tuple[tuple[Any, ...], str]] = [
    # The document's own cases.
    ((b"foo\x00bar",), "01 666f6f 00ff 626172 00"),
    (("F\u00d4O\u0000bar",), "02 46 c394 4f 00ff 626172 00"),
    (((b"foo\x00bar", None, ()),), "05 01 666f6f 00ff 626172 00 00ff 05 00 00"),
    (((),), "05 00"),
    ((-5551212,), "11 ab4b93"),
    ((Float32(-42.0),), "20 3dd7ffff"),
    # Integers, at the borders of each size.
    ((), ""),
    ((0,), "14"),
    ((1,), "15 01"),
    ((-1,), "13 fe"),
    ((255,), "15 ff"),
    ((-255,), "13 00"),
    ((256,), "16 0100"),
    ((-256,), "12 feff"),
    ((65536,), "17 010000"),
    ((-65536,), "11 feffff"),
    ((0x3019,), "16 3019"),
    ((-(2**32) + 1,), "10 00000000"),
    ((2**63 - 1,), "1c 7fffffffffffffff"),
    ((2**63,), "1c 8000000000000000"),
    ((2**64 - 1,), "1c ffffffffffffffff"),
    ((2**64,), "1d 09 010000000000000000"),
    ((-(2**63) + 2,), "0c 8000000000000001"),
    ((-(2**63) + 1,), "0c 8000000000000000"),
    ((-(2**63),), "0c 7fffffffffffffff"),
    ((-(2**63) - 1,), "0c 7ffffffffffffffe"),
    ((-(2**64) + 1,), "0c 0000000000000000"),
    ((-(2**64),), "0b f6 feffffffffffffffff"),
    ((2**2040 - 1,), "1d ff" + "ff" * 255),
    ((1 - 2**2040,), "0b 00" + "00" * 255),
    # Floating point.
    ((Float32(3.14),), "20 c048f5c3"),
    ((Float32(-3.14),), "20 3fb70a3c"),
    ((3.14,), "21 c0091eb851eb851f"),
    ((-3.14,), "21 3ff6e147ae147ae0"),
    ((Float32(0.0),), "20 80000000"),
    ((Float32(-0.0),), "20 7fffffff"),
    ((0.0,), "21 8000000000000000"),
    ((-0.0,), "21 7fffffffffffffff"),
    ((Float32(math.inf),), "20 ff800000"),
    ((Float32(-math.inf),), "20 007fffff"),
    ((math.inf,), "21 fff0000000000000"),
    ((-math.inf,), "21 000fffffffffffff"),
    # Bytes and text.
    ((b"",), "01 00"),
    ((b"\x01\x02\x03",), "01 010203 00"),
    ((b"\0\0\0\4",), "01 00ff 00ff 00ff 04 00"),
    (("",), "02 00"),
    (("hello",), "02 68656c6c6f 00"),
    (("\u4e2d\u6587",), "02 e4b8ade69687 00"),
    (("\u03bc\u03ac\u03b8\u03b7\u03bc\u03b1",), "02 cebcceacceb8ceb7cebcceb1 00"),
    (("\U0001f525",), "02 f09f94a5 00"),
    (("\U0010ffff",), "02 f48fbfbf 00"),
    (
        ("\0", "\0\u00ff", "\0\0\0", "\u00ff\0"),
        "02 00ff 00 02 00ffc3bf 00 0200ff00ff00ff00 02c3bf00ff00",
    ),
    # Nested tuples and None.
    ((None,), "00"),
    (((None,),), "05 00ff 00"),
    (((None, "hello"),), "05 00ff 02 68656c6c6f 00 00"),
    (((None, "hell\0"),), "05 00ff 02 68656c6c 00ff 00 00"),
    (((None,), "hello"), "05 00ff 00 02 68656c6c6f 00"),
    (((None,), "hello", b"\x01\0", b""), "05 00ff 00 02 68656c6c6f 00 01 01 00ff 00 01 00"),
    # The rest.
    ((False,), "26"),
    ((True,), "27"),
    ((uuid.UUID("ffffffff-ba5e-ba11-0000-00005ca1ab1e"),), "30 ffffffffba5eba11000000005ca1ab1e"),
    ((Versionstamp(bytes.fromhex("aabbccddeeff00010203")),), "33 aabbccddeeff00010203 0000"),
    ((Versionstamp(bytes(range(1, 11)), 657),), "33 0102030405060708090a 0291"),
    ((b"hello", "world", 42, 0x99), "01 68656c6c6f 00 02 776f726c64 00 15 2a 15 99"),
]
# NaN equals nothing, so these are compared by their bits.
PUBLISHED_NANS = ["20 ffffffff", "20 00000000", "21 ffffffffffffffff", "21 0000000000000000"]
MALFORMED = {
    "bytes without an end": "01 deadc0de",
    "bytes without an end behind a null": "01 dead 00ff c0de",
    "text without an end": "02 68656c6c6f",
    "text without an end behind a null": "02 68656c 00ff 6c6f",
    "continuation without a start": "02 75746608 80 00",
    "start without a continuation": "02 75746608 c001 00",
    "high surrogate": "02 75746610 eda0bd 00",
    "low surrogate": "02 75746610 edb4a5 00",
    "surrogate pair": "02 75746610 eda0bdedb4a5 00",
    "overlong": "02 c080 00",
    "nested tuple without an end": "05 02 68656c6c6f 00",
    "nested tuple without an end behind a null": "05 02 68656c6c6f 00 00ff 02 7468657265 00",
    "int cut short": "16 01",
    "negative int cut short": "12 01",
    "big int cut short": "1d 09 0102030405060708",
    "big negative int cut short": "0b f6 0102030405060708",
    "big int without a size": "1d",
    "big negative int without a size": "0b",
    "float cut short": "20 010203",
    "double cut short": "21 01020304050607",
    "UUID cut short": "30 0102030405060708090a0b0c0d0e",
    "versionstamp cut short": "33 0102030405060708090a0b",
    "unknown code": "ff",
    # Not the encoding that is written.
    "int with a leading zero": "16 0001",
    "zero with a byte": "15 00",
    "negative int with a leading zero": "12 fffe",
    "negative zero": "13 ff",
    "big int of 8 bytes": "1d 08 ffffffffffffffff",
    "big negative int of 8 bytes": "0b f7 0000000000000000",
    "big int of no bytes": "1d 00",
    "big int with a leading zero": "1d 09 00ffffffffffffffff",
    "big negative int with a leading zero": "0b f6 ff0000000000000000",
    # Deprecated, reserved and other layers' codes.
    **{f"code {code:02x}": f"{code:02x}" + " 00" * 12 for code in (3, 4, 0x0A, 0x1E, 0x22, 0x23)},
    **{f"code {code:02x}": f"{code:02x}" + " 00" * 12 for code in (0x24, 0x25, 0x31, 0x32, 0x40)},
}

bits32, bits64 = st.binary(min_size=4, max_size=4), st.binary(min_size=8, max_size=8)
float_singles = st.floats(width=32, allow_nan=False).map(Float32)
doubles = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0])
big_ints = st.builds(
    lambda exponent, offset, sign: sign * min(2**exponent + offset, 2**2040 - 1),
    st.integers(0, 2040),
    st.integers(-3, 3),
    st.sampled_from([1, -1]),
)
stamps = st.builds(Versionstamp, st.binary(min_size=10, max_size=10), st.integers(0, 65535))
simple = [
    st.none(),
    st.binary(max_size=5) | st.sampled_from([b"", b"\0", b"\0\xff", b"\xff", b"a", b"a\0"]),
    st.text(max_size=5) | st.sampled_from(["", "\0", "\0\u00ff", "a", "a\0", "\U0010ffff"]),
    st.integers(-300, 300) | big_ints,
    float_singles,
    doubles,
    st.booleans(),
    st.uuids(),
    stamps,
]
elements: st.SearchStrategy[Any] = st.recursive(
    st.one_of(simple),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)
tuples = st.lists(elements, max_size=4).map(tuple)
# Of so few elements that many tuples begin with one another.
few_elements: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, b"", b"\0", b"a", b"a\0", b"ab", "", "\0", "a", 0, 1, 256, -1, False]),
    lambda inner: st.lists(inner, max_size=2).map(tuple),
    max_leaves=3,
)
few_tuples = st.lists(few_elements, max_size=3).map(tuple)

RANKS = [type(None), bytes, str, tuple, int, Float32, float, bool, uuid.UUID, Versionstamp]


def order_of(item: Any) -> tuple[Any, ...]:
    """Compares as the element should: by its type's rank, then by value; -0.0 before 0.0."""
    rank = RANKS.index(type(item))
    if item is None:
        return (rank,)
    if isinstance(item, tuple):
        return rank, tuple(map(order_of, item))
    if isinstance(item, float | Float32):
        return rank, float(item), math.copysign(1, float(item))
    return rank, item.bytes if isinstance(item, uuid.UUID) else item


def order_of_tuple(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(map(order_of, items))


Point = namedtuple("Point", "x y")


class Colour(enum.IntEnum):
    RED = 300


class Shade(enum.StrEnum):
    DARK = "dark"


# Published encodings.


@pytest.mark.parametrize(("items", "digits"), PUBLISHED, ids=lambda value: repr(value)[:40])
def test_published_encoding(items: tuple[Any, ...], digits: str) -> None:
    data = bytes.fromhex(digits)
    assert Tuple.encode(items) == data
    assert order_of_tuple(Tuple.decode(data)) == order_of_tuple(items)


@pytest.mark.parametrize("digits", PUBLISHED_NANS)
def test_published_encoding_of_nan(digits: str) -> None:
    data = bytes.fromhex(digits)
    (item,) = Tuple.decode(data)
    assert math.isnan(float(item))
    assert Tuple.encode((item,)) == data


def test_published_encodings_sort_as_their_tuples() -> None:
    items = [items for items, _ in PUBLISHED]
    assert sorted(items, key=Tuple.encode) == sorted(items, key=order_of_tuple)


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_key_is_a_value_error(case: str) -> None:
    data = bytes.fromhex(MALFORMED[case])
    for malformed in (data, Tuple.encode((1, "a")) + data):
        with pytest.raises(ValueError):
            Tuple.decode(malformed)


# Order and round trips.


@given(tuples, tuples)
def test_order_of_bytes_is_the_order_of_tuples(
    first: tuple[Any, ...], second: tuple[Any, ...]
) -> None:
    one, two = Tuple.encode(first), Tuple.encode(second)
    assert (one < two) == (order_of_tuple(first) < order_of_tuple(second))
    assert (one == two) == (order_of_tuple(first) == order_of_tuple(second))


@given(st.lists(few_tuples, max_size=12))
def test_order_of_tuples_that_begin_alike(items: list[tuple[Any, ...]]) -> None:
    assert list(map(order_of_tuple, sorted(items, key=Tuple.encode))) == sorted(
        map(order_of_tuple, items)
    )


@pytest.mark.parametrize("one_type", simple[1:], ids=lambda strategy: repr(strategy)[:30])
@given(data=st.data())
def test_order_within_a_type_is_that_of_python(one_type: Any, data: st.DataObject) -> None:
    first, second = data.draw(one_type), data.draw(one_type)
    one, two = Tuple.encode(("in front", first, "z")), Tuple.encode(("in front", second, "a"))
    if isinstance(first, uuid.UUID):  # Python compares them as numbers: the same order
        assert (first < second) == (first.bytes < second.bytes)
    if first != second:  # what is behind does not count
        assert (one < two) == (first < second)
    elif order_of(first) == order_of(second):  # not -0.0 and 0.0
        assert one > two


@given(tuples)
def test_tuple_comes_back_with_its_types(items: tuple[Any, ...]) -> None:
    data = Tuple.encode(items)
    decoded = Tuple.decode(data)
    assert decoded == items
    assert order_of_tuple(decoded) == order_of_tuple(items)
    assert Tuple.encode(decoded) == data


@given(bits32, bits64)
def test_floats_of_any_bits_come_back_or_are_refused(single: bytes, double: bytes) -> None:
    for code, bits in ((b"\x20", single), (b"\x21", double)):
        try:
            (item,) = Tuple.decode(code + bits)
        except ValueError:  # a signalling NaN, where the hardware makes it a quiet one
            number = struct.unpack(">f" if len(bits) == 4 else ">d", _unflipped(bits))[0]
            assert math.isnan(number)
        else:
            assert Tuple.encode((item,)) == code + bits


def _unflipped(bits: bytes) -> bytes:
    if bits[0] & 0x80:
        return bytes([bits[0] ^ 0x80]) + bits[1:]
    return bytes(byte ^ 0xFF for byte in bits)


def test_nan_sorts_outside_the_infinities() -> None:
    nan = struct.unpack(">d", b"\x7f\xf8" + bytes(6))[0]
    order = [-nan, -math.inf, -1.0, -0.0, 0.0, 1.0, math.inf, nan]
    for wrap in (float, Float32):
        encoded = [Tuple.encode((wrap(number),)) for number in order]
        assert encoded == sorted(encoded)


def test_numbers_that_python_calls_equal_are_keys_of_their_types() -> None:
    assert len({Tuple.encode((item,)) for item in (1, 1.0, Float32(1.0), True)}) == 4
    assert Tuple.encode((0.0,)) != Tuple.encode((-0.0,))


@pytest.mark.parametrize(
    ("item", "base"),
    [(Point(1, "a"), (1, "a")), (Colour.RED, 300), (Shade.DARK, "dark")],
)
def test_instance_of_a_subclass_comes_back_as_its_base(item: Any, base: Any) -> None:
    data = Tuple.encode((item,))
    assert data == Tuple.encode((base,))
    assert type(Tuple.decode(data)[0]) is type(base)
    assert Tuple.encode(Point(1, "a")) == Tuple.encode((1, "a"))


# Prefixes.


@given(few_tuples, st.lists(few_tuples, max_size=12))
def test_prefix_has_exactly_the_tuples_that_begin_with_it(
    prefix: tuple[Any, ...], others: list[tuple[Any, ...]]
) -> None:
    start, stop = Tuple.prefix(prefix)
    assert stop is not None
    for other in (prefix, *others, *(prefix + other for other in others)):
        begins = order_of_tuple(other[: len(prefix)]) == order_of_tuple(prefix)
        assert (start <= Tuple.encode(other) < stop) == begins


@given(tuples, tuples)
def test_prefix_has_the_tuple_and_its_extensions(
    prefix: tuple[Any, ...], rest: tuple[Any, ...]
) -> None:
    start, stop = Tuple.prefix(prefix)
    assert start == Tuple.encode(prefix)
    assert stop is not None and start <= Tuple.encode(prefix + rest) < stop
    inside = Tuple.encode(rest)
    assert (start <= inside < stop) == (
        order_of_tuple(rest[: len(prefix)]) == order_of_tuple(prefix)
    )


def test_prefix_compares_whole_elements() -> None:
    start, stop = Tuple.prefix((b"a",))
    assert stop is not None
    for inside in ((b"a",), (b"a", None), (b"a", Versionstamp(b"\xff" * 10, 65535))):
        assert start <= Tuple.encode(inside) < stop
    for outside in ((b"ab",), (b"a\0",), (b"a\0b", 1), (b"",), ("a",), ()):
        assert not start <= Tuple.encode(outside) < stop


# Wrong elements.


@pytest.mark.parametrize(
    "wrong", [[1], {1}, {}, 1j, object(), bytearray(b"a"), memoryview(b"a"), ..., int]
)
def test_element_of_another_type_is_a_type_error(wrong: Any) -> None:
    for items in ((wrong,), ("a", (1, (wrong,)))):
        for call in (Tuple.encode, Tuple.prefix):
            with pytest.raises(
                TypeError, match=f"UUID or Versionstamp, not {type(wrong).__name__}"
            ):
                call(items)


@pytest.mark.parametrize("number", [2**2040, -(2**2040), 2**3000])
def test_int_of_more_than_255_bytes_is_a_value_error(number: int) -> None:
    with pytest.raises(ValueError, match="255 bytes"):
        Tuple.encode((number,))


def test_lone_surrogate_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        Tuple.encode(("\ud800",))


def nested(levels: int) -> tuple[Any, ...]:
    items: tuple[Any, ...] = ()
    for _ in range(levels):
        items = (items,)
    return items


def test_nesting_is_bounded_both_ways() -> None:
    deepest = nested(NESTING_MAX)
    data = Tuple.encode(deepest)
    assert data == b"\x05" * NESTING_MAX + b"\0" * NESTING_MAX
    assert Tuple.decode(data) == deepest
    with pytest.raises(ValueError, match=f"{NESTING_MAX} deep"):
        Tuple.encode(nested(NESTING_MAX + 1))
    with pytest.raises(ValueError, match=f"{NESTING_MAX} deep"):
        Tuple.decode(b"\x05" * (NESTING_MAX + 1) + b"\0" * (NESTING_MAX + 1))


# Malformed keys.


def check_decoding(data: bytes) -> None:
    """A ValueError, or the tuple whose encoding is `data`."""
    try:
        items = Tuple.decode(data)
    except ValueError:
        return
    assert Tuple.encode(items) == data


@given(st.binary(max_size=40))
def test_decoding_takes_only_what_encoding_gives(data: bytes) -> None:
    check_decoding(data)


@given(
    st.lists(st.sampled_from(b"\0\0\0\1\2\5\5\x0b\x0c\x13\x14\x15\x16\x1d\x20\x26\xf6\xff\xffa"))
)
def test_decoding_takes_only_what_encoding_gives_of_codes(codes: list[int]) -> None:
    check_decoding(bytes(codes))


@given(tuples, st.data())
def test_changed_key_is_another_tuple_or_refused(items: tuple[Any, ...], data: Any) -> None:
    encoded = bytearray(Tuple.encode(items))
    at = data.draw(st.integers(0, len(encoded)))
    encoded[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    check_decoding(bytes(encoded))


@pytest.mark.parametrize(
    "pattern",
    [
        b"\0",
        b"\0\xff",
        b"\5",
        b"\5\0\xff",
        b"\5\0",
        b"\1\0",
        b"\1\0\xff",
        b"\x1d\xff",
        b"\x0b\0",
        b"\x14",
    ],
    ids=bytes.hex,
)
def test_hostile_key_takes_memory_in_proportion(pattern: bytes) -> None:
    data = pattern * (100_000 // len(pattern))
    tracemalloc.start()
    try:
        check_decoding(data)
        check_decoding(b"\1" + data)
        assert tracemalloc.get_traced_memory()[1] < 200 * len(data)
    finally:
        tracemalloc.stop()


# The elements that Python has no type for.


def test_float32_is_rounded_and_compares_by_value() -> None:
    assert Float32(0.1).value == struct.unpack("f", struct.pack("f", 0.1))[0] != 0.1
    assert float(Float32(2)) == 2.0 and type(Float32(2).value) is float
    assert Float32(0.1) == Float32(Float32(0.1).value)
    assert Float32(1.0) < Float32(2.0)
    assert len({Float32(0.5), Float32(0.5)}) == 1
    for wrong in ("1", None, True, 1j):
        with pytest.raises(TypeError):
            Float32(wrong)  # type: ignore[arg-type]
    for large in (3.5e38, -1e300, 10**400):
        with pytest.raises(ValueError):
            Float32(large)


def test_versionstamp_is_checked_and_sorts_by_commit() -> None:
    early, late = Versionstamp(bytes(10), 65535), Versionstamp(bytes(9) + b"\1")
    assert early < late and late.user_version == 0
    for wrong in ((b"short", 0), (bytes(11), 0), (bytes(10), -1), (bytes(10), 65536)):
        with pytest.raises(ValueError):
            Versionstamp(*wrong)
    for wrong_types in (("0123456789", 0), (bytearray(10), 0), (bytes(10), "0"), (bytes(10), True)):
        with pytest.raises(TypeError):
            Versionstamp(*wrong_types)  # type: ignore[arg-type]


@pytest.mark.parametrize("item", [Float32(0.1), Versionstamp(bytes(range(10)), 7)])
def test_element_is_frozen_and_pickles(item: Any) -> None:
    assert pickle.loads(pickle.dumps(item)) == copy.deepcopy(item) == item
    name = dataclasses.fields(item)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(item, name, getattr(item, name))
