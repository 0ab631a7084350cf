"""Every codec: round trips, order, prefixes, wrong types, malformed bytes: API.md, section Trees and codecs."""

from __future__ import annotations

import contextlib
import copy
import enum
import json
import math
import pickle
import subprocess
import sys
import tracemalloc
from array import array
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cowtree
from cowtree import codecs

NAMES = {
    "bytes": codecs.Bytes,
    "text": codecs.Text,
    "int": codecs.Int,
    "float": codecs.Float,
    "tuple": codecs.Tuple,
    "msgpack": codecs.MsgPack,
    "json": codecs.Json,
    "pickle": codecs.Pickle,
}
KEY_CODECS = [codecs.Bytes, codecs.Text, codecs.Int, codecs.Float, codecs.Tuple]
VALUE_CODECS = [codecs.MsgPack, codecs.Json, codecs.Pickle]

few_bytes = st.binary(max_size=4) | st.text("\0\1ab\xff", max_size=4).map(
    lambda text: text.encode("latin-1")
)
few_texts = st.text(max_size=4) | st.text("\0ab\x7f\x80\uffff\U00010000\U0010ffff", max_size=4)
ints = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)
floats = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324])
scalars = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5)
# What each codec of one type takes.
OBJECTS: dict[Any, st.SearchStrategy[Any]] = {
    codecs.Bytes: few_bytes,
    codecs.Text: few_texts,
    codecs.Int: ints,
    codecs.Float: floats,
}
DOCUMENTS: dict[Any, st.SearchStrategy[Any]] = {
    codecs.MsgPack: st.recursive(
        scalars
        | st.integers(-(2**63), 2**64 - 1)
        | st.binary(max_size=5)
        | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))])),
        lambda inner: (
            st.lists(inner, max_size=20)
            | st.dictionaries(
                scalars | st.integers(-9, 9) | st.binary(max_size=3), inner, max_size=4
            )
        ),
        max_leaves=12,
    ),
    codecs.Json: st.recursive(
        scalars.filter(lambda item: item not in (math.inf, -math.inf)) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    codecs.Pickle: st.recursive(
        scalars | st.integers() | st.complex_numbers(allow_nan=False),
        lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=4),
        max_leaves=12,
    ),
}
one_type = pytest.mark.parametrize("codec", OBJECTS, ids=lambda codec: codec.name)
key_codecs = pytest.mark.parametrize("codec", KEY_CODECS, ids=lambda codec: codec.name)
value_codecs = pytest.mark.parametrize("codec", VALUE_CODECS, ids=lambda codec: codec.name)
every_codec = pytest.mark.parametrize("codec", NAMES.values(), ids=lambda codec: codec.name)


class Colour(enum.IntEnum):
    RED = 7


class Word(str):
    __slots__ = ()


class Forward:
    """A codec of a user's own."""

    name = "forward"

    def encode(self, obj: str) -> bytes:
        return obj.encode()

    def decode(self, data: bytes) -> str:
        return data.decode()


class ForwardKeys(Forward):
    def prefix(self, obj: str) -> tuple[bytes, bytes | None]:
        return obj.encode(), None


# Names, protocols, instances.


@pytest.mark.parametrize("name", NAMES)
def test_names_in_files_are_stable_and_found_again(name: str) -> None:
    assert NAMES[name].name == name
    assert codecs.by_name(name) is NAMES[name]


def test_every_codec_has_a_name() -> None:
    assert len(NAMES) == len(set(NAMES.values())) == 8
    assert set(NAMES.values()) <= {getattr(codecs, public) for public in codecs.__all__}


def test_unknown_name_is_a_codec_error() -> None:
    for name in ("", "Text", "utf8"):
        with pytest.raises(cowtree.CodecError, match="text"):
            codecs.by_name(name)


@every_codec
def test_codec_shows_copies_and_pickles_as_its_public_name(codec: Any) -> None:
    assert getattr(codecs, repr(codec).removeprefix("cowtree.codecs.")) is codec
    assert pickle.loads(pickle.dumps(codec)) is codec
    assert copy.copy(codec) is copy.deepcopy(codec) is codec


@every_codec
def test_name_cannot_be_changed(codec: Any) -> None:
    with pytest.raises(AttributeError):
        codec.name = "other"


@key_codecs
def test_key_codecs_are_told_by_prefix(codec: Any) -> None:
    assert isinstance(codec, codecs.Codec) and isinstance(codec, codecs.KeyCodec)
    codecs.check_codec(codec)
    codecs.check_key_codec(codec)


@value_codecs
def test_value_codec_is_refused_for_keys_by_name(codec: Any) -> None:
    assert isinstance(codec, codecs.Codec) and not isinstance(codec, codecs.KeyCodec)
    codecs.check_codec(codec)
    with pytest.raises(TypeError, match=rf"{codec!r} encodes values only.*sort"):
        codecs.check_key_codec(codec)


def test_codec_of_a_user_is_one_by_its_members() -> None:
    codecs.check_codec(Forward())
    codecs.check_key_codec(ForwardKeys())
    with pytest.raises(TypeError, match="a Forward encodes values only"):
        codecs.check_key_codec(Forward())


@pytest.mark.parametrize("wrong", [None, "text", str, Forward, json, 7])
def test_what_is_no_codec_is_refused(wrong: object) -> None:
    for check in (codecs.check_codec, codecs.check_key_codec):
        with pytest.raises(TypeError, match="codec"):
            check(wrong)


@pytest.mark.parametrize("name", ["", None, b"text"])
def test_codec_needs_a_name(name: Any) -> None:
    codec = ForwardKeys()
    codec.name = name
    with pytest.raises(TypeError, match="name"):
        codecs.check_key_codec(codec)


def test_importing_codecs_imports_nothing_that_only_some_of_them_need() -> None:
    code = (
        "import sys, cowtree.codecs as c; c.Tuple.encode((1, 'a', None, 1.5)); c.Text.encode('a'); "
        "print([n for n in ('msgpack', 'json', 'pickle', 'uuid') if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]"


# Keys of one type.


@pytest.mark.parametrize(
    ("codec", "obj", "data"),
    [
        (codecs.Bytes, b"\0\xff", "00ff"),
        (codecs.Text, "", ""),
        (codecs.Text, "a\0\u00fc\U0001f525", "6100c3bcf09f94a5"),
        (codecs.Int, 0, "8000000000000000"),
        (codecs.Int, 1, "8000000000000001"),
        (codecs.Int, -1, "7fffffffffffffff"),
        (codecs.Int, -(2**63), "0000000000000000"),
        (codecs.Int, 2**63 - 1, "ffffffffffffffff"),
        (codecs.Float, 0.0, "8000000000000000"),
        (codecs.Float, 1.0, "bff0000000000000"),
        (codecs.Float, -1.0, "400fffffffffffff"),
        (codecs.Float, math.inf, "fff0000000000000"),
        (codecs.Float, -math.inf, "000fffffffffffff"),
    ],
)
def test_bytes_in_files_are_stable(codec: Any, obj: Any, data: str) -> None:
    assert codec.encode(obj).hex() == data
    assert codec.decode(bytes.fromhex(data)) == obj


@one_type
@given(data=st.data())
def test_order_of_bytes_is_the_order_of_objects(codec: Any, data: st.DataObject) -> None:
    first, second = data.draw(OBJECTS[codec]), data.draw(OBJECTS[codec])
    assert (first < second) == (codec.encode(first) < codec.encode(second))
    assert (first == second) == (codec.encode(first) == codec.encode(second))


@one_type
@given(data=st.data())
def test_key_comes_back(codec: Any, data: st.DataObject) -> None:
    obj = data.draw(OBJECTS[codec])
    encoded = codec.encode(obj)
    assert type(encoded) is bytes
    decoded = codec.decode(encoded)
    assert decoded == obj and type(decoded) is type(obj)


@one_type
@given(data=st.binary(max_size=12) | st.binary(min_size=8, max_size=8))
def test_decoding_takes_only_what_encoding_gives(codec: Any, data: bytes) -> None:
    try:
        obj = codec.decode(data)
    except ValueError:
        return
    assert codec.encode(obj) == data


@pytest.mark.parametrize("codec", [codecs.Bytes, codecs.Text], ids=lambda codec: codec.name)
@given(data=st.data())
def test_prefix_has_exactly_the_objects_that_begin_with_it(codec: Any, data: st.DataObject) -> None:
    prefix, obj = data.draw(OBJECTS[codec]), data.draw(OBJECTS[codec])
    start, stop = codec.prefix(prefix)
    for other in (obj, prefix, prefix + obj, prefix[:-1] + obj):
        key = codec.encode(other)
        assert (start <= key and (stop is None or key < stop)) == other.startswith(prefix)


def test_prefix_without_an_end_is_unbounded() -> None:
    assert codecs.Bytes.prefix(b"\xff\xff") == (b"\xff\xff", None)
    assert codecs.Bytes.prefix(b"") == (b"", None)
    assert codecs.Text.prefix("") == (b"", None)
    assert codecs.Text.prefix("\U0010ffff") == (b"\xf4\x8f\xbf\xbf", b"\xf4\x8f\xbf\xc0")


@pytest.mark.parametrize("codec", [codecs.Int, codecs.Float], ids=lambda codec: codec.name)
def test_number_is_no_prefix(codec: Any) -> None:
    with pytest.raises(TypeError, match="start and stop"):
        codec.prefix(1)


@pytest.mark.parametrize("buffer", [bytearray(b"abc"), memoryview(b"abc"), array("B", b"abc")])
def test_bytes_takes_every_contiguous_buffer(buffer: Any) -> None:
    assert codecs.Bytes.encode(buffer) == b"abc"
    assert type(codecs.Bytes.encode(buffer)) is bytes
    assert codecs.Bytes.prefix(buffer) == (b"abc", b"abd")
    with pytest.raises(TypeError, match="contiguous"):
        codecs.Bytes.encode(memoryview(buffer)[::2])


def test_subclasses_are_taken_as_their_base() -> None:
    assert codecs.Text.encode(Word("a")) == b"a"
    assert codecs.Int.encode(Colour.RED) == codecs.Int.encode(7)
    assert codecs.Float.encode(Colour.RED) == codecs.Float.encode(7.0)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\ud83d\udd25"])
def test_lone_surrogate_is_a_value_error(text: str) -> None:
    for codec in (codecs.Text, codecs.MsgPack, codecs.Json):
        with pytest.raises(ValueError):
            codec.encode(text)
    with pytest.raises(ValueError):
        codecs.Text.prefix(text)
    with pytest.raises(ValueError):
        codecs.Text.decode(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**400, -(10**400)])
def test_int_of_more_than_64_bits_is_a_value_error(number: int) -> None:
    with pytest.raises(ValueError, match="Tuple"):
        codecs.Int.encode(number)


def test_both_zeros_are_one_key() -> None:
    assert codecs.Float.encode(-0.0) == codecs.Float.encode(0.0)
    assert math.copysign(1, codecs.Float.decode(codecs.Float.encode(-0.0))) == 1
    with pytest.raises(ValueError, match=r"-0\.0"):
        codecs.Float.decode(bytes.fromhex("7fffffffffffffff"))


def test_nan_is_no_key() -> None:
    for number in (math.nan, -math.nan):
        with pytest.raises(ValueError, match="NaN"):
            codecs.Float.encode(number)
    for data in ("ffffffffffffffff", "0000000000000000", "fff8000000000000", "fff0000000000001"):
        with pytest.raises(ValueError, match="NaN"):
            codecs.Float.decode(bytes.fromhex(data))


def test_float_takes_an_int_that_a_double_equals() -> None:
    assert codecs.Float.encode(2**53) == codecs.Float.encode(2.0**53)
    for number in (2**53 + 1, 10**400, -(10**400)):
        with pytest.raises(ValueError, match="exactly"):
            codecs.Float.encode(number)


@pytest.mark.parametrize("codec", [codecs.Int, codecs.Float], ids=lambda codec: codec.name)
@pytest.mark.parametrize("size", [0, 1, 7, 9, 16])
def test_number_of_another_size_is_a_value_error(codec: Any, size: int) -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        codec.decode(b"\x80" * size)


@pytest.mark.parametrize(
    ("codec", "wrong", "taken"),
    [
        (codecs.Bytes, ["a", 1, None, (b"a",), [1], 5.0], "bytes"),
        (codecs.Text, [b"a", 1, None, ("a",)], "str"),
        (codecs.Int, ["1", 1.0, None, True, b"1", (1,)], "int"),
        (codecs.Float, ["1", None, True, b"1", 1j], "float"),
        (codecs.Tuple, ["a", b"a", 1, None, [1]], "tuple"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_wrong_type_is_a_type_error_that_names_the_right_one(
    codec: Any, wrong: list[Any], taken: str
) -> None:
    for obj in wrong:
        with pytest.raises(TypeError, match=taken) as caught:
            codec.encode(obj)
        assert type(obj).__name__ in str(caught.value)
        with pytest.raises(TypeError):
            codec.prefix(obj)


# Values.


@value_codecs
@given(data=st.data())
def test_value_comes_back(codec: Any, data: st.DataObject) -> None:
    obj = data.draw(DOCUMENTS[codec])
    encoded = codec.encode(obj)
    assert type(encoded) is bytes
    assert codec.decode(encoded) == obj


def test_bytes_of_values_are_those_of_their_formats() -> None:
    document = {"a": [1, None, "\u00fc"]}
    assert codecs.MsgPack.encode(document) == b"\x81\xa1a\x93\x01\xc0\xa2\xc3\xbc"
    assert codecs.MsgPack.encode(b"a") == b"\xc4\x01a"
    assert codecs.Json.encode(document) == b'{"a":[1,null,"\xc3\xbc"]}'
    assert codecs.Pickle.encode(None) == b"\x80\x05N."


@pytest.mark.parametrize(
    "wrong",
    [
        (1,),
        {1},
        1j,
        object(),
        Colour.RED,
        Word("a"),
        OrderedDict(),
        datetime(2024, 1, 1),
        {(1,): 2},
    ],
)
def test_msgpack_refuses_what_would_come_back_as_another_type(wrong: Any) -> None:
    for obj in (wrong, [wrong], {"a": wrong}):
        with pytest.raises(TypeError, match="MsgPack takes"):
            codecs.MsgPack.encode(obj)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400])
def test_msgpack_refuses_an_int_of_more_than_64_bits(number: int) -> None:
    with pytest.raises(ValueError, match="MsgPack takes int"):
        codecs.MsgPack.encode(number)


def test_msgpack_gives_times_as_aware_ones_in_utc() -> None:
    time = datetime(1960, 2, 29, 1, 2, 3, 999_999, tzinfo=timezone(timedelta(hours=5)))
    again = codecs.MsgPack.decode(codecs.MsgPack.encode(time))
    assert again == time and again.utcoffset() == timedelta(0)


@pytest.mark.parametrize("wrong", [{1}, 1j, object(), b"a", {(1,): 2}, {b"a": 1}])
def test_json_refuses_what_it_has_no_form_for(wrong: Any) -> None:
    for obj in (wrong, [wrong], {"a": wrong}):
        with pytest.raises(TypeError):
            codecs.Json.encode(obj)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_has_no_numbers_that_are_none(number: float) -> None:
    with pytest.raises(ValueError):
        codecs.Json.encode([number])
    with pytest.raises(ValueError):
        codecs.Json.decode(json.dumps([number]).encode())


def test_pickle_refuses_what_does_not_pickle() -> None:
    class Local:
        pass

    for wrong in (Local(), lambda: 1, (i for i in "a")):
        with pytest.raises(TypeError):
            codecs.Pickle.encode(wrong)


@pytest.mark.parametrize("codec", [codecs.MsgPack, codecs.Json], ids=lambda codec: codec.name)
def test_nesting_without_end_is_a_value_error(codec: Any) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    for obj in (deep, cyclic):
        with pytest.raises(ValueError):
            codec.encode(obj)
    while deep:  # freed from outside in, or freeing it nests, too
        deep = deep.pop()


# Malformed values.


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (codecs.MsgPack, b""),
        (codecs.MsgPack, b"\xc1"),
        (codecs.MsgPack, b"\x00\x00"),
        (codecs.MsgPack, b"\x92\x00"),
        (codecs.MsgPack, b"\xa1\xff"),
        (codecs.MsgPack, b"\x81\x90\x00"),  # a list as a key
        (codecs.MsgPack, b"\xc7\x0c\xff" + bytes(4) + b"\x7f" + b"\xff" * 7),  # the year 3 * 10**11
        (codecs.MsgPack, b"\xd4\xff\x00"),
        (codecs.MsgPack, b"\xdd\xff\xff\xff\xff"),
        (codecs.Json, b""),
        (codecs.Json, b"[1"),
        (codecs.Json, b"1 2"),
        (codecs.Json, b'"\xff"'),
        (codecs.Json, b"\xef\xbb\xbf1"),
        (codecs.Json, "[1]".encode("utf-16")),
        (codecs.Json, b"NaN"),
        (codecs.Json, b"-Infinity"),
        (codecs.Json, b"1" * 10_000),
        (codecs.Pickle, b""),
        (codecs.Pickle, b"N"),
        (codecs.Pickle, b"."),
        (codecs.Pickle, b"text"),
        (codecs.Pickle, b"\x80\xffN."),
        (codecs.Pickle, b"cno_such_module\nname\n."),
        (codecs.Pickle, b"cjson\nno_such_name\n."),
    ],
)
def test_malformed_value_is_a_value_error(codec: Any, data: bytes) -> None:
    with pytest.raises(ValueError):
        codec.decode(data)


@pytest.mark.parametrize("codec", [codecs.MsgPack, codecs.Json], ids=lambda codec: codec.name)
@given(data=st.data())
def test_any_bytes_are_a_value_or_a_value_error(codec: Any, data: st.DataObject) -> None:
    whole = bytearray(codec.encode(data.draw(DOCUMENTS[codec])))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    for malformed in (bytes(whole), data.draw(st.binary(max_size=40))):
        with contextlib.suppress(ValueError):
            codec.decode(malformed)


@value_codecs
def test_value_that_is_cut_short_is_a_value_error(codec: Any) -> None:
    whole = codec.encode({"a": [1, "text", None, 2.5, ["x" * 300] * 20]})
    for size in range(len(whole)):
        with pytest.raises(ValueError):
            codec.decode(whole[:size])


@pytest.mark.parametrize(
    ("codec", "pattern"),
    [
        (codecs.MsgPack, b"\x91"),
        (codecs.MsgPack, b"\x81\x00"),
        # Each array promises nearly as many elements as there are bytes.
        (codecs.MsgPack, b"\xdd\x00\x00\xf0\x00"),
        (codecs.MsgPack, b"\xdc\xf0\x00"),
        (codecs.MsgPack, b"\xdf\x00\x00\x78\x00"),
        (codecs.Json, b"["),
        (codecs.Json, b'{"":'),
        (codecs.Json, b'"\\u'),
    ],
)
def test_hostile_value_takes_little_memory_and_no_recursion(codec: Any, pattern: bytes) -> None:
    data = (pattern * 60_000)[:60_000] + b"\x00" * 4000
    with pytest.raises(ValueError):
        codec.decode(data[:10])  # imports are not counted
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            codec.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 200 * len(data)
    finally:
        tracemalloc.stop()
