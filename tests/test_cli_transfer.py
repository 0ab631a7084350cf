"""The command line: load and dump."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import contents, fails, no, ok, run
from hypothesis import given
from hypothesis import strategies as st

import cowtree
from cowtree.codecs import Bytes, Float, Int, Json, MsgPack, Pickle, Text, Tuple

trees = st.dictionaries(
    st.one_of(
        st.none(),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    ),
    st.dictionaries(
        st.binary(max_size=20),
        st.one_of(
            st.binary(max_size=40), st.text().map(lambda text: text.encode("utf-8", "replace"))
        ),
        min_size=1,
        max_size=8,
    ),
    max_size=4,
)


@given(trees, st.one_of(st.none(), st.integers(1, 5)))
def test_dump_and_load_keep_every_byte(
    model: dict[str | None, dict[bytes, bytes]], batch: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = os.path.join(folder, "first.cow"), os.path.join(folder, "second.cow")
        with cowtree.open(first, sync=False) as db, db.transaction() as txn:
            for name, entries in model.items():
                txn.tree(name).update(entries)
        dumped = ok("dump", first)
        ok(
            "load",
            second,
            "--json",
            *(() if batch is None else ("--batch", batch)),
            stdin=dumped.out,
        )
        assert contents(second) == {None: {}} | model
        assert ok("dump", second).out == dumped.out


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=40), max_size=8))
def test_scan_and_load_keep_every_byte_in_hex_base64_and_json(model: dict[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = os.path.join(folder, "first.cow"), os.path.join(folder, "second.cow")
        with cowtree.open(first, sync=False) as db:
            db.update(model)
        for options in (("--key-as", "hex", "--value-as", "base64"), ("--json",)):
            ok("load", second, *options, stdin=ok("scan", first, *options).out)
            assert contents(second) == {None: model}
            os.unlink(second)


def test_dump_and_load_keep_the_codecs_of_typed_trees(path: Path, tmp_path: Path) -> None:
    samples: list[tuple[Any, Any]] = [
        (Bytes, b"\xff"),
        (Text, "é"),
        (Int, -5),
        (Float, 1.5),
        (Tuple, ("a", b"\xff", 1)),
        (MsgPack, {"a": b"\xff"}),
        (Json, {"a": [1]}),
        (Pickle, {1, 2}),
    ]
    keys = [codec for codec, _ in samples if hasattr(codec, "prefix")]
    objects: dict[Any, Any] = dict(samples)
    with cowtree.open(path, sync=False) as db:
        for key in keys:
            for value, obj in samples:
                db.tree(f"{key.name}/{value.name}", key=key, value=value)[objects[key]] = obj
        db.tree("keys alone", key=Int)[5] = b"v"
        db.tree("values alone", value=Json)[b"k"] = 5
        db.tree("emptied", key=Text, value=Text)["k"] = "v"
        del db.tree("emptied")[b"k"]
        db.tree("emptied, untyped")[b"k"] = b"v"
        del db.tree("emptied, untyped")[b"k"]
        db.tree(None, key=Tuple, value=MsgPack)[("a",)] = [1]
        recorded = {name: db.tree_codecs(name) for name in (None, *db.trees())}
    copy = tmp_path / "copy.cow"
    dumped = ok("dump", path).out
    assert b'{"tree":"int/json","codecs":["int","json"]}\n' in dumped
    assert dumped.startswith(b'{"codecs":["tuple","msgpack"]}\n')
    assert b'{"tree":"emptied, untyped","codecs":[null,null]}\n' in dumped
    for options in ((), ("--batch", "1")):
        ok("load", copy, "--json", *options, stdin=dumped)
        assert contents(copy) == contents(path)
        with cowtree.open(copy) as db:
            assert {name: db.tree_codecs(name) for name in (None, *db.trees())} == recorded
            assert db.tree("tuple/pickle", key=Tuple, value=Pickle)[("a", b"\xff", 1)] == {1, 2}
            assert db.check().ok
        ok("load", copy, "--json", stdin=dumped)  # once more onto the same
        assert ok("dump", copy).out == dumped
        copy.unlink()


def test_a_declaration_keeps_what_is_there(path: Path) -> None:
    ok("put", path, "", "the empty key", "--tree", "t")
    ok("load", path, "--json", stdin=b'{"tree":"t","codecs":["text",null]}')
    assert contents(path)["t"] == {b"": b"the empty key"}
    with cowtree.open(path) as db:
        assert db.tree_codecs("t") == ("text", "")
    line = b'{"tree":"t","codecs":["int",null]}'
    assert "line 1: the tree 't' has text keys, not int" in fails(
        "load", path, "--json", stdin=line
    )


def test_dump_of_a_commit_a_tree_and_to_a_file(path: Path, tmp_path: Path) -> None:
    ok("put", path, "k", "1")
    ok("put", path, "k", "2")
    ok("put", path, "k", "v", "--tree", "t")
    assert ok("dump", path, "--at", "1").objects == [{"key": "k", "value": "1"}]
    assert ok("dump", path, "--json").objects == [
        {"key": "k", "value": "2"},
        {"tree": "t", "key": "k", "value": "v"},
    ]
    assert ok("dump", path, "-", "--tree", "t").objects == [{"tree": "t", "key": "k", "value": "v"}]
    target = tmp_path / "dump.jsonl"
    assert ok("dump", path, target).out == b""
    assert target.read_bytes() == ok("dump", path).out
    before = path.read_bytes()
    for existing in (target, path):
        assert "exists already" in fails("dump", path, existing)
    assert path.read_bytes() == before
    assert "No such file" in fails("dump", path, tmp_path / "no" / "dump")
    no("dump", path, tmp_path / "empty", "--tree", "x")
    ok("dump", path, os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_dump_that_fails_leaves_no_file(path: Path, tmp_path: Path) -> None:
    with cowtree.open(path) as db:
        db.update({b"%06d" % i: b"v" * 50 for i in range(2000)})
    data = bytearray(path.read_bytes())
    data[5 * 4096 + 2000] ^= 1
    path.write_bytes(data)
    assert "cowtree check" in fails("dump", path, tmp_path / "dump")
    assert not (tmp_path / "dump").exists()


# Lines of text.


def test_load_takes_lines_of_key_tab_value(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "lines"
    source.write_bytes(b"ada\t1815\n\t\nb\\t\tC:\\x\ty\r\n\xff\t\xfe\nlast\tno end")
    assert ok("load", path, source).out == b""
    expected = {
        b"ada": b"1815",
        b"": b"",
        b"b\\t": b"C:\\x\ty\r",
        b"\xff": b"\xfe",
        b"last": b"no end",
    }
    assert contents(path) == {None: expected}
    ok("load", path, "--tree", "t", stdin=source.read_bytes())
    assert contents(path) == {None: expected, "t": expected}
    ok("load", path, "-", stdin=b"ada\t1816\n")
    assert ok("get", path, "ada").out == b"1816"


def test_load_reads_fields_as_put_reads_arguments(path: Path) -> None:
    ok("load", path, "--key-as", "hex", "--value-as", "base64", stdin=b"00ff\tAP8=\n")
    assert contents(path) == {None: {b"\x00\xff": b"\x00\xff"}}
    with cowtree.open(path) as db:
        db.tree("t", key=Int, value=Json)[1] = 1
    ok("load", path, "--tree", "t", stdin=b'2\t{"a":1}\n-3\t"x"\n')
    with cowtree.open(path) as db:
        assert dict(db.tree("t", key=Int, value=Json)) == {-3: "x", 1: 1, 2: {"a": 1}}
    assert "line 2: not a key" in fails("load", path, "--tree", "t", stdin=b"5\t1\nx\t1\n")
    assert "line 1: the tree has int keys" in fails(
        "load", path, "--tree", "t", "--key-as", "hex", stdin=b"00\t1\n"
    )
    assert ok("count", path, "--tree", "t").text == "3\n"


def test_lines_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "test.cow"
    assert "line 1: no tab" in fails("load", path, stdin=b"\n")
    assert "say --json" in fails("load", path, stdin=b'{"key":"a","value":"b"}\n')
    assert "No such file" in fails("load", path, tmp_path / "none")
    assert "directory" in fails("load", path, tmp_path)
    assert not path.exists()
    assert "line 3: no tab" in fails("load", path, stdin=b"a\tb\nb\tc\nd\n")
    assert contents(path) == {None: {}}


# Lines of JSON.


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "not a JSON object"),
        (b"a\tb", "not a JSON object"),
        (b"5", "not a JSON object"),
        (b"\xff", "not a JSON object in UTF-8"),
        (b'{"key":"a"}', "either `value` or `value_base64`"),
        (b'{"value":"a"}', "either `key` or `key_base64`"),
        (b'{"key":"a","key_base64":"","value":""}', "either `key` or `key_base64`"),
        (b'{"key":5,"value":"a"}', "`key` is text"),
        (b'{"key":"a","value":null}', "`value` is text"),
        (b'{"key":"\\ud800","value":""}', "`key`: "),
        (b'{"key":"a","value_base64":"AA"}', "`value`: not base64"),
        (b'{"key":"a","value_base64":"A A="}', "`value`: not base64"),
        (b'{"key":"a","value":"","vlaue":""}', "unknown member 'vlaue'"),
        (b'{"tree":"","key":"a","value":""}', "`tree` is the name"),
        (b'{"tree":5,"key":"a","value":""}', "`tree` is the name"),
        (b'{"tree":"\\ud800","key":"a","value":""}', "`tree` is the name"),
        (b'{"codecs":["int"]}', "`codecs` is"),
        (b'{"codecs":"int"}', "`codecs` is"),
        (b'{"codecs":["int",5]}', "`codecs` is"),
        (b'{"codecs":["int",""]}', "`codecs` is"),
        (b'{"codecs":["int","int"],"key":"a","value":""}', "`codecs` is"),
        (b"[" * 10_000, "not a JSON object"),
    ],
)
def test_json_lines_that_are_none(line: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "test.cow"
    error = fails("load", path, "--json", stdin=line + b"\n")
    assert says in error and "line 1: " in error
    assert not path.exists()
    good = b'{"key":"a","value":"b"}\n'
    error = fails("load", path, "--json", stdin=good * 3 + line + b"\n" + good)
    assert says in error and "line 4: " in error
    assert contents(path) == {None: {}}
    error = fails("load", path, "--json", "--batch", "2", stdin=good * 3 + line + b"\n" + good)
    assert "2 entries before it stored" in error
    assert contents(path) == {None: {b"a": b"b"}}


def test_json_lines_may_name_the_default_tree_and_bring_objects(path: Path) -> None:
    ok(
        *("load", path, "--json"),
        stdin=b'{"tree":null,"key":"a","key_object":5,"value":"b","value_object":[]}',
    )
    assert contents(path) == {None: {b"a": b"b"}}


def test_load_of_one_tree_into_another(path: Path, tmp_path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.tree("a", key=Text, value=Json)["k"] = 5
        db[b"x"] = b"y"
    copy = tmp_path / "copy.cow"
    ok("load", copy, "--json", "--tree", "b", stdin=ok("dump", path, "--tree", "a").out)
    with cowtree.open(copy) as db:
        assert dict(db.tree("b", key=Text, value=Json)) == {"k": 5}
    error = fails("load", copy, "--json", "--tree", "c", stdin=ok("dump", path).out)
    assert "line 2: of the tree 'a', the lines before of the default tree" in error
    assert "c" not in contents(copy)


def test_batches_are_commits(path: Path) -> None:
    lines = b"".join(b"%03d\tv\n" % i for i in range(10))
    ok("load", path, "--batch", "4", stdin=lines)
    assert [c["entries"] for c in ok("history", path, "--json").objects] == [10, 8, 4]
    ok("load", path, "--tree", "t", stdin=lines)
    assert [c["entries"] for c in ok("history", path, "--json").objects] == [20, 10, 8, 4]
    ok("load", path, "--batch", "5", "--tree", "u", stdin=lines)
    assert len(ok("history", path).lines) == 6


def test_too_large_an_entry_stores_nothing(path: Path) -> None:
    lines = b'{"key":"a","value":"b"}\n{"key":"%s","value":""}\n' % (b"k" * 5000)
    assert "line 2: a key has at most" in fails("load", path, "--json", stdin=lines)
    assert contents(path) == {None: {}}


# Progress.


def test_progress_is_shown_on_a_terminal_and_taken_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(b"%05d\tv\n" % i for i in range(5000))
    assert run("load", path, stdin=lines).err == ""
    monkeypatch.setattr("cowtree.cli.progress.is_terminal", lambda _stream: True)
    monkeypatch.setattr("cowtree.cli.progress.rich_module", lambda _name: None)
    monkeypatch.setattr("cowtree.cli.progress._QUIET_SECONDS", 0)
    monkeypatch.setattr("cowtree.cli.progress._BETWEEN_SECONDS", 0)
    for command, says in [
        (("load", path), "loaded: 5,000 entries, "),
        (("dump", path, os.devnull), "dumped: 1 entry, "),
        (("check", path), "checked: "),
    ]:
        shown = run(*command, stdin=lines).err
        assert says in shown and shown.endswith("\r\x1b[K") and "\n" not in shown


FORMATS = ["json", "csv", "db-dump", "mdb-dump"]


@given(trees, st.sampled_from(FORMATS))
def test_every_format_keeps_every_byte(
    model: dict[str | None, dict[bytes, bytes]], kind: str
) -> None:
    model = {n: entries for n, entries in model.items() if n is None or not set("\r\n") & set(n)}
    with tempfile.TemporaryDirectory() as folder:
        first, second = os.path.join(folder, "first.cow"), os.path.join(folder, "second.cow")
        with cowtree.open(first, sync=False) as db, db.transaction() as txn:
            for name, entries in model.items():
                txn.tree(name).update(entries)
        raw = ("--key-as", "hex", "--value-as", "base64") if kind == "csv" else ()
        dumped = ok("dump", first, "--format", kind, *raw)
        ok("load", second, "--format", kind, stdin=dumped.out)
        assert contents(second) == {None: {}} | model


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=8))
def test_comma_separated_text_keeps_every_character(model: dict[str, str]) -> None:
    stored = {
        key.encode("utf-8", "replace"): v.encode("utf-8", "replace") for key, v in model.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        first, second = os.path.join(folder, "first.cow"), os.path.join(folder, "second.cow")
        with cowtree.open(first, sync=False) as db:
            db.update(stored)
        dumped = ok("dump", first, "--format", "csv")
        assert dumped.out.startswith(b"key,value\n")
        ok("load", second, "--format", "csv", stdin=b"\xef\xbb\xbf" + dumped.out)
        assert contents(second) == {None: stored}


def test_comma_separated_values_of_typed_trees_are_what_scan_shows(tmp_path: Path) -> None:
    path, other = tmp_path / "first.cow", tmp_path / "second.cow"
    for where in (path, other):
        with cowtree.open(where) as db:
            db.tree("t", key=Tuple, value=Json)[("a", 1)] = {"b": [1, "x,y"]}
    text = ok("dump", path, "--tree", "t", "--format", "csv").text
    assert text == 'tree,key,value\nt,"[""a"",1]","{""b"":[1,""x,y""]}"\n'
    with cowtree.open(other) as db:
        db.tree("t").clear()
    ok("load", other, "--format", "csv", stdin=text.encode())
    with cowtree.open(other) as db:
        assert dict(db.tree("t", key=Tuple, value=Json)) == {("a", 1): {"b": [1, "x,y"]}}


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("csv", b"key\na\n", "line 1: the first line names the columns"),
        ("csv", b"key,value,other\na,b,c\n", "line 1: the first line names the columns"),
        ("csv", b"key,key_hex,value\na,b,c\n", "line 1: two columns of keys"),
        ("csv", b"key,value\na\n", "line 2: 1 cells"),
        ("csv", b'key,value\n"a"b,c\n', "not comma-separated values"),
        ("csv", b"key,value\n\xff,b\n", "line 2: not UTF-8"),
        ("csv", b"key_hex,value\nabc,b\n", "line 2: not hex"),
        ("csv", b"key,value_base64\na,?\n", "line 2: not base64"),
        ("db-dump", b"a\tb\n", "line 1: not a line of a dump's header"),
        ("db-dump", b"VERSION=2\nHEADER=END\n", "line 2: VERSION=2"),
        ("db-dump", b"VERSION=3\n", "not a line of a dump's header"),
        ("db-dump", b"VERSION=3\nformat=x\nHEADER=END\n", "format=x"),
        ("db-dump", b"VERSION=3\ntype=recno\nHEADER=END\n", "of type recno"),
        ("db-dump", b"VERSION=3\nHEADER=END\n 61\n", "without DATA=END"),
        ("db-dump", b"VERSION=3\nHEADER=END\n 61\nDATA=END\n", "line 4: DATA=END where the value"),
        ("db-dump", b"VERSION=3\nHEADER=END\n61\n", "line 3: not a line of data"),
        ("db-dump", b"VERSION=3\nHEADER=END\n 6\n", "line 3: not pairs"),
        ("db-dump", b"VERSION=3\nformat=print\nHEADER=END\n a\\b\n", "line 4: a \\ that"),
    ],
)
def test_lines_that_are_none_store_nothing(
    kind: str, text: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "test.cow"
    with cowtree.open(path) as db:
        db[b"kept"] = b"1"
    assert says in fails("load", path, "--format", kind, stdin=text)
    assert contents(path) == {None: {b"kept": b"1"}}


def test_text_that_is_none_is_no_column_of_text(tmp_path: Path) -> None:
    path = tmp_path / "test.cow"
    with cowtree.open(path) as db:
        db[b"\xff"] = b"1"
    target = tmp_path / "out.csv"
    assert "--key-as hex" in fails("dump", path, target, "--format", "csv")
    assert not target.exists()
    assert ok("dump", path, "--format", "csv", "--key-as", "hex").text == "key_hex,value\nff,1\n"


def test_options_of_other_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "test.cow"
    cowtree.open(path).close()
    assert "--format csv" in fails("dump", path, "--key-as", "hex")
    assert "leave one out" in fails("dump", path, "--json", "--format", "csv")
    assert "leave one out" in fails("load", path, "--json", "--format", "csv")
    assert "db-dump says it itself" in fails("load", path, "--format", "db-dump", "--key-as", "hex")
