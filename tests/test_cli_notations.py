"""The command line: keys and values as text, hex, base64, json, msgpack, tuple; typed trees; what is displayed."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgpack
import pytest
from cli_helpers import contents, fails, no, ok, run
from hypothesis import given
from hypothesis import strategies as st

import cowtree
from cowtree.cli.display import escaped, human_size
from cowtree.cli.objects import json_text, parse_tuple, plain
from cowtree.codecs import (
    Bytes,
    Float,
    Float32,
    Int,
    Json,
    MsgPack,
    Pickle,
    Text,
    Tuple,
    Versionstamp,
)

# Untyped trees.


@pytest.mark.parametrize(
    ("notation", "given", "stored"),
    [
        (None, "é", "é".encode()),
        (None, "0x00", b"0x00"),
        (None, "\udcff\udc80", b"\xff\x80"),
        ("text", "5", b"5"),
        ("hex", "00fF", b"\x00\xff"),
        ("hex", "", b""),
        ("base64", "AP8=", b"\x00\xff"),
        ("json", ' {"a": [1, 2.5, null, "é"]} ', '{"a":[1,2.5,null,"é"]}'.encode()),
        ("json", "5", b"5"),
        ("msgpack", '{"a": [1, null]}', msgpack.packb({"a": [1, None]})),
        ("tuple", '["user", 5]', Tuple.encode(("user", 5))),
        ("tuple", "[]", b""),
    ],
)
def test_each_notation_of_keys_and_values(
    notation: str | None, given: str, stored: bytes, path: Path
) -> None:
    options = () if notation is None else ("--key-as", notation, "--value-as", notation)
    ok("put", path, given, given, *options)
    assert contents(path) == {None: {stored: stored}}
    key_options = options[:2]
    assert ok("get", path, given, *key_options).out == stored
    assert ok("count", path, "--start", given, *key_options).text == "1\n"
    assert ok("count", path, "--stop", given, *key_options).text == "0\n"
    assert ok("count", path, "--prefix", given, *key_options).text == "1\n"
    ok("del", path, given, *key_options)
    assert contents(path) == {None: {}}


@pytest.mark.parametrize(
    ("notation", "given"),
    [
        ("hex", "0x00"),
        ("hex", "0"),
        ("hex", "zz"),
        ("hex", "é"),
        ("base64", "AP8"),
        ("base64", "A*8="),
        ("base64", "AP8=AP8="),
        ("base64", "é"),
        ("json", "{"),
        ("json", "NaN"),
        ("json", "1 2"),
        ("json", ""),
        ("json", "[" * 100_000),
        ("json", "1e999"),
        ("json", "\udcff"),
        ("msgpack", "{"),
        ("msgpack", str(2**64)),
        ("msgpack", '"\\ud800"'),
        ("tuple", '{"a":1}'),
        ("tuple", "5"),
        ("tuple", '[{"a":1}]'),
        ("tuple", '[{"hex":5}]'),
        ("tuple", '[{"hex":"00","base64":""}]'),
        ("tuple", '[{"uuid":"x"}]'),
        ("tuple", '[{"uuid":5}]'),
        ("tuple", '[{"float32":1e300}]'),
        ("tuple", '[{"float":[]}]'),
        ("tuple", '[{"versionstamp":"00"}]'),
        ("tuple", "[" * 500 + "]" * 500),
        ("tuple", "[" * 150 + "]" * 150),
    ],
)
def test_what_a_notation_does_not_say(notation: str, given: str, tmp_path: Path) -> None:
    path = tmp_path / "test.cow"
    assert "not a key: " in fails("put", path, given, "v", "--key-as", notation)
    assert "not a value: " in fails("put", path, "k", given, "--value-as", notation)
    assert "not a value: " in fails(
        "put", path, "k", "--value-as", notation, stdin=given.encode("utf-8", "surrogateescape")
    )
    assert not path.exists()


def test_standard_input_is_read_in_the_notation_too(path: Path) -> None:
    ok("put", path, "k", "--value-as", "hex", stdin=b"00 ff\n0102\n")
    assert ok("get", path, "k").out == b"\x00\xff\x01\x02"
    ok("put", path, "k", "--value-as", "base64", stdin=b"AP\n8=\n")
    assert ok("get", path, "k").out == b"\x00\xff"
    ok("put", path, "k", "--value-as", "msgpack", stdin=b"[1]\n")
    assert ok("get", path, "k").out == b"\x91\x01"
    ok("put", path, "k", "--value-as", "text", stdin=b"a\n")
    assert ok("get", path, "k").out == b"a\n"


def test_prefixes_of_tuples_are_leading_elements(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        for key in (("a",), ("a", 1), ("ab",), ("b",)):
            db[Tuple.encode(key)] = b""
    assert ok("count", path, "--key-as", "tuple", "--prefix", '["a"]').text == "2\n"
    assert ok("count", path, "--key-as", "hex", "--prefix", "0261").text == "3\n"
    assert ok("scan", path, "--key-as", "tuple", "--keys-only").lines == [
        '["a"]',
        '["a",1]',
        '["ab"]',
        '["b"]',
    ]


# Display.


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain", "plain"),
        ("é日本".encode(), "é日本"),
        (b"C:\\dir", "C:\\dir"),
        (b"a\tb\nc\r\\\0", "a\\tb\\nc\\r\\\\\\x00"),
        (b"\xff\xc3\xa9\x1b[2J", "\\xffé\\x1b[2J"),
        ("\x9b2J\u202e".encode(), "\\xc2\\x9b2J\\xe2\\x80\\xae"),
        (b"", ""),
    ],
)
def test_bytes_are_escaped_only_where_they_are_not_printable(data: bytes, shown: str) -> None:
    assert escaped(data) == shown


@given(st.binary(max_size=50))
def test_what_is_displayed_is_one_printable_line(data: bytes) -> None:
    assert escaped(data).isprintable()


def test_get_writes_bytes_to_a_pipe_and_text_to_a_terminal(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.update({b"text": b"two\nlines\t.", b"ended": b"line\n", b"bytes": b"\xff\x1b[2J\n"})
    assert ok("get", path, "text").out == b"two\nlines\t."
    assert ok("get", path, "text", terminal=True).out == b"two\nlines\t.\n"
    assert ok("get", path, "ended", terminal=True).out == b"line\n"
    assert ok("get", path, "bytes").out == b"\xff\x1b[2J\n"
    assert ok("get", path, "bytes", terminal=True).out == b"\\xff\\x1b[2J\\n\n"
    assert ok("get", path, "bytes", "--value-as", "hex").out == b"ff1b5b324a0a\n"
    assert ok("get", path, "bytes", "--value-as", "base64").out == b"/xtbMkoK\n"
    assert ok("get", path, "text", "--value-as", "text").out == b"two\\nlines\\t.\n"
    assert ok("get", path, "text", "--value-as", "json").out == b"two\\nlines\\t.\n"
    assert ok("get", path, "bytes", "--json").objects == [
        {"key": "bytes", "value_base64": "/xtbMkoK"}
    ]


def test_documents_are_displayed_as_one_line_of_json(path: Path) -> None:
    ok(
        "put",
        path,
        "k",
        '{"a": "\\u001b\\u009b\\u202e\\ud83d\\ude00é\\ud800"}',
        "--value-as",
        "text",
    )
    assert ok("get", path, "k", "--value-as", "json").text == (
        '{"a":"\\u001b\\u009b\\u202e\U0001f600é\\ud800"}\n'
    )
    ok("put", path, "k", "[1,[2]]", "--value-as", "msgpack")
    assert ok("scan", path, "--value-as", "msgpack").lines == ["k\t[1,[2]]"]
    assert ok("scan", path, "--value-as", "hex", "--key-as", "hex").lines == ["6b\t92019102"]


def test_documents_nested_too_deeply_are_shown_as_bytes(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        tree = db.tree("t", key=Text, value=Json)
        tree["k"] = 1
        db.tree("t")[b"k"] = deep = b"[" * 900 + b"]" * 900
    assert ok("get", path, "k", "--tree", "t").out == deep
    for result in (ok("scan", path, "--tree", "t"), ok("scan", path, "--tree", "t", "--json")):
        assert deep.decode() in result.text


def test_sizes_for_people() -> None:
    assert [human_size(n) for n in (0, 1023, 1024, 1536, 2**20 - 1, 2**30, 5 * 2**50)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.5 KiB",
        "1.0 MiB",
        "1.0 GiB",
        "5,120.0 TiB",
    ]


# Objects as JSON.

tuple_elements = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(),
        st.binary(max_size=9),
        st.uuids(),
        st.floats(width=32, allow_nan=False).map(Float32),
        st.builds(Versionstamp, st.binary(min_size=10, max_size=10), st.integers(0, 65535)),
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


@given(st.lists(tuple_elements, max_size=4).map(tuple))
def test_a_displayed_tuple_is_read_back(key: tuple[Any, ...]) -> None:
    assert Tuple.encode(parse_tuple(json_text(plain(key)))) == Tuple.encode(key)


def test_not_a_number_is_read_back_as_one() -> None:
    (number,) = parse_tuple(json_text(plain((math.nan,))))
    assert math.isnan(number)
    assert parse_tuple('[{"hex":"00ff"}]') == (b"\x00\xff",)


def test_what_json_has_no_words_for_is_shown_by_its_kind() -> None:
    time = datetime(2026, 7, 1, tzinfo=UTC)
    obj = [time, msgpack.ExtType(5, b"\0"), {1: b"\xff"}, UUID(int=1), object]
    assert plain(obj) == [
        {"time": "2026-07-01T00:00:00+00:00"},
        {"ext": [5, "AA=="]},
        {"map": [[1, {"base64": "/w=="}]]},
        {"uuid": "00000000-0000-0000-0000-000000000001"},
        {"object": "<class 'object'>"},
    ]


# Typed trees.

TYPED = [
    (Bytes, ["", "a", "é"], [b"", b"a", "é".encode()], [None, None, None]),
    (Text, ["", "a", "é"], ["", "a", "é"], [None, None, None]),
    (Int, ["-5", "0", "+12"], [-5, 0, 12], [-5, 0, 12]),
    (Float, ["-inf", "-1.5", "2e3"], [-math.inf, -1.5, 2000.0], [{"float": "-inf"}, -1.5, 2000.0]),
    (
        Tuple,
        ["[]", '["u", [null]]', '["u", 5]'],
        [(), ("u", (None,)), ("u", 5)],
        [[], ["u", [None]], ["u", 5]],
    ),
]


@pytest.mark.parametrize(
    ("codec", "texts", "keys", "objects"), TYPED, ids=lambda part: getattr(part, "name", "")
)
def test_typed_keys(
    codec: Any, texts: list[str], keys: list[Any], objects: list[Any], path: Path
) -> None:
    with cowtree.open(path, sync=False) as db:
        tree = db.tree("t", key=codec, value=codec)
        tree[keys[0]] = keys[0]
        del tree[keys[0]]
    for text in texts:
        ok("put", path, text, text, "--tree", "t")
    with cowtree.open(path) as db:
        assert list(db.tree("t", key=codec, value=codec).items()) == list(
            zip(keys, keys, strict=True)
        )
    raw = [codec.encode(key) for key in keys]
    for text, data in zip(texts, raw, strict=True):
        assert ok("get", path, text, "--tree", "t").out == data
        assert ok("get", path, data.hex(), "--key-as", "hex", "--tree", "t").out == data
    lines = ok("scan", path, "--tree", "t").lines
    for line, text in zip(lines, texts, strict=True):  # what is shown is what is given
        key, value = line.split("\t")
        assert (
            key == value
            and run("get", path, key, "--tree", "t").out == ok("get", path, text, "--tree", "t").out
        )
        assert ok("get", path, key, "--tree", "t", terminal=True).text == value + "\n"
    assert ok("count", path, "--tree", "t", "--start", texts[1]).text == "2\n"
    assert ok("count", path, "--tree", "t", "--stop", texts[1]).text == "1\n"
    found = ok("scan", path, "--tree", "t", "--json").objects
    assert [entry.get("key_object") for entry in found] == objects
    assert [entry.get("value_object") for entry in found] == objects
    ok("del", path, texts[0], "--tree", "t")
    assert ok("count", path, "--tree", "t").text == "2\n"
    changed = no("diff", path, "0", "--tree", "t", "--json").objects
    assert [change.get("new_object") for change in changed] == objects[1:]
    assert no("diff", path, "0", "--tree", "t").lines[1:] == [f"+ {line}" for line in lines[1:]]


@pytest.mark.parametrize("codec", [Json, MsgPack], ids=lambda codec: str(codec.name))
def test_typed_documents(codec: Any, path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.tree("t", key=Int, value=codec)[1] = {"a": [1, None, "é"]}
    ok("put", path, "2", ' {"b": 2.5} ', "--tree", "t")
    ok("put", path, "3", "plain", "--tree", "t", "--value-as", "text")
    ok("put", path, "4", "[1]", "--tree", "t", "--value-as", "json")
    ok("put", path, "5", "[1]", "--tree", "t", "--value-as", "msgpack")
    with cowtree.open(path) as db:
        assert dict(db.tree("t", key=Int, value=codec)) == {
            1: {"a": [1, None, "é"]},
            2: {"b": 2.5},
            3: "plain",
            4: [1],
            5: [1],
        }
    assert ok("scan", path, "--tree", "t", "--limit", "3").lines == [
        '1\t{"a":[1,null,"é"]}',
        '2\t{"b":2.5}',
        '3\t"plain"',
    ]
    assert ok("get", path, "2", "--tree", "t", terminal=True).text == '{"b":2.5}\n'
    assert ok("get", path, "2", "--tree", "t").out == codec.encode({"b": 2.5})
    assert ok("get", path, "2", "--tree", "t", "--json").objects[0]["value_object"] == {"b": 2.5}
    assert "not a value" in fails("put", path, "6", "{", "--tree", "t")
    assert "not a key" in fails("put", path, "six", "{}", "--tree", "t")


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


def test_pickles_are_bytes_and_never_loaded(path: Path) -> None:
    bomb = pickle.dumps(Bomb())
    with cowtree.open(path, sync=False) as db:
        db.tree("t", key=Text, value=Pickle)["k"] = 1
        db.tree("t")[b"k"] = bomb
    assert ok("get", path, "k", "--tree", "t").out == bomb
    for command in (
        ("get", path, "k", "--tree", "t", "--json"),
        ("get", path, "k", "--tree", "t", "--value-as", "json"),
        ("scan", path, "--tree", "t"),
        ("scan", path, "--tree", "t", "--json"),
        ("scan", path, "--tree", "t", "--value-as", "msgpack"),
        ("dump", path),
        ("info", path),
    ):
        ok(*command)
    assert ok("get", path, "k", "--tree", "t", terminal=True).out == escaped(bomb).encode() + b"\n"
    no("diff", path, "0")
    assert "pickle" in fails("put", path, "k", "v", "--tree", "t")
    assert "pickle" in fails("put", path, "k", "1", "--tree", "t", "--value-as", "json")
    ok("put", path, "k2", pickle.dumps(5).hex(), "--tree", "t", "--value-as", "hex")
    with cowtree.open(path) as db:
        assert db.tree("t", key=Text, value=Pickle)["k2"] == 5


class Own:
    """A codec that no tool knows."""

    name = "own"

    def encode(self, obj: bytes, /) -> bytes:
        return obj

    def decode(self, data: bytes, /) -> bytes:
        return data

    def prefix(self, obj: bytes, /) -> tuple[bytes, bytes | None]:
        return obj, None


def test_trees_of_unknown_codecs_are_bytes(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.tree("t", key=Own(), value=Own())[b"k"] = b"v"
    assert ok("scan", path, "--tree", "t").lines == ["k\tv"]
    assert "own keys" in fails("get", path, "k", "--tree", "t")
    assert ok("get", path, "6b", "--tree", "t", "--key-as", "hex").out == b"v"
    assert ok("count", path, "--prefix", "6b", "--tree", "t", "--key-as", "hex").text == "1\n"


def test_typed_keys_that_are_none(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        for codec in (Text, Int, Float, Tuple):
            tree: Any = db.tree(codec.name, key=codec, value=Bytes)
            tree[{"text": "", "int": 0, "float": 0.0, "tuple": ()}[codec.name]] = b""
    before = path.read_bytes()
    for name, wrong in [
        ("int", ["", "x", "1.5", "1_0", "٣", str(2**63), "0x1", "\udcff"]),
        ("float", ["", "x", "nan", "1_0", "1e", "\udcff"]),
        ("tuple", ["", "x", "5", '{"a":1}', "\udcff"]),
        ("text", ["\udcff"]),
    ]:
        for text in wrong:
            for command in (("get", path, text), ("del", path, text), ("put", path, text, "v")):
                assert "not a key" in fails(*command, "--tree", name)
            assert "not a key" in fails("scan", path, "--start", text, "--tree", name)
    for name in ("int", "float"):
        assert "use --start" in fails("count", path, "--prefix", "1", "--tree", name)
    for name, notation, text in [
        ("int", "text", "5"),
        ("int", "json", '"5"'),
        ("int", "tuple", "[5]"),
        ("text", "json", "5"),
        ("tuple", "text", "a"),
    ]:
        assert "not a key" in fails("put", path, text, "v", "--tree", name, "--key-as", notation)
    assert "these bytes are none" in fails(
        "put", path, "00", "v", "--tree", "int", "--key-as", "hex"
    )
    assert path.read_bytes() == before
    # What is there all the same can be looked at and taken out.
    with cowtree.open(path) as db:
        db.tree("int")[b"stray\xff"] = b"v"
    assert ok("scan", path, "--tree", "int").lines == ["stray\\xff\tv", "0\t"]
    stray = b"stray\xff".hex()
    assert ok("get", path, stray, "--tree", "int", "--key-as", "hex").out == b"v"
    ok("del", path, stray, "--tree", "int", "--key-as", "hex")


def test_notations_of_typed_keys(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.tree("tuple", key=Tuple, value=Text)[("a", 1)] = "v"
        db.tree("int", key=Int, value=Text)[5] = "v"
        db.tree("text", key=Text, value=Text)["é"] = "v"
    for name, notation, text in [
        ("tuple", "json", '["a",1]'),
        ("tuple", "tuple", '["a",1]'),
        ("tuple", "hex", Tuple.encode(("a", 1)).hex()),
        ("int", "json", "5"),
        ("text", "text", "é"),
        ("text", "json", '"\\u00e9"'),
    ]:
        assert ok("get", path, text, "--tree", name, "--key-as", notation).out == b"v"
    assert ok("count", path, "--prefix", '["a"]', "--tree", "tuple").text == "1\n"
    assert ok("count", path, "--prefix", "é", "--tree", "text").text == "1\n"
    assert ok("scan", path, "--tree", "int", "--key-as", "hex").lines == ["8000000000000005\tv"]


def test_the_default_tree_may_be_typed(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.tree(None, key=Int, value=Json)[5] = [1]
    assert ok("get", path, "5").out == b"[1]"
    assert ok("scan", path).lines == ["5\t[1]"]
    assert "(default): 1 entry, keys int, values json" in ok("info", path).text
