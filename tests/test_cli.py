"""The command line: what each command does, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
from pathlib import Path

import pytest
from cli_helpers import contents, fails, no, ok, run

import cowtree
from cowtree import cli
from cowtree.codecs import Json, Text

COMMANDS = (
    *("info", "get", "put", "del", "scan", "count", "load", "dump"),
    *("check", "backup", "history", "tag", "diff", "demo"),
)
READING = [
    ("info",),
    ("get", "k"),
    ("scan",),
    ("count",),
    ("dump",),
    ("check",),
    ("history",),
    ("tag",),
    ("diff", "0"),
]


# Help and usage.


def test_help_lists_every_command_and_each_has_help_with_an_example() -> None:
    listing = ok("--help").text
    for command in COMMANDS:
        assert f"\n  {command} " in listing
        text = ok(command, "--help").text
        assert text.startswith(f"usage: cowtree {command} ")
        assert f"\n  cowtree {command}" in text.split("\nexample", 1)[1]


def test_version() -> None:
    assert ok("--version").text == f"cowtree {cowtree.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("bogus",),
        ("--bogus",),
        ("get",),
        ("get", "f"),
        ("get", "f", "k", "more"),
        ("get", "f", "k", "--bogus"),
        ("get", "f", "k", "--key-as", "bogus"),
        ("get", "f", "k", "--tree"),
        ("get", "f", "k", "--tree", ""),
        ("get", "f", "k", "--tree", "\udcff"),
        ("put", "f"),
        ("put", "f", "k", "v", "--timeout", "-1"),
        ("put", "f", "k", "v", "--timeout", "soon"),
        ("scan", "f", "--limit", "-1"),
        ("scan", "f", "--limit", "many"),
        ("scan", "f", "--pre", "k"),
        ("scan", "f", "--keys-only", "--values-only"),
        ("load", "f", "--batch", "0"),
        ("load", "f", "--json", "--key-as", "hex"),
        ("tag", "f", "--move"),
        ("tag", "f", "--delete"),
        ("tag", "f", "t", "1", "--delete"),
        ("tag", "f", "9t"),
        ("tag", "f", "t u"),
        ("diff", "f"),
        ("history", "f", "--at", "1"),
    ],
)
def test_usage_errors(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fails(*arguments)
    assert os.listdir(tmp_path) == []


def test_options_may_stand_anywhere_and_dashes_are_data_where_they_are_meant(path: Path) -> None:
    ok("put", path, "--tree", "t", "k", "v")
    ok("put", path, "k2", "--tree=t", "v2")
    ok("put", "--tree", "t", path, "k3", "v3")
    ok("put", path, "-5", "-1.5e3")
    ok("put", path, "--", "--json", "-v")
    ok("put", "--tree", "-t", path, "k", "v")
    assert contents(path) == {
        None: {b"-5": b"-1.5e3", b"--json": b"-v"},
        "-t": {b"k": b"v"},
        "t": {b"k": b"v", b"k2": b"v2", b"k3": b"v3"},
    }
    assert ok("scan", path, "--start", "--json", "--stop", "-5").lines == ["--json\t-v"]


# Files that cannot be opened.


@pytest.mark.parametrize("command", [*READING, ("del", "k"), ("tag", "t")], ids=lambda c: c[0])
def test_only_put_and_load_create(command: tuple[str, ...], tmp_path: Path) -> None:
    error = fails(command[0], tmp_path / "none.cow", *command[1:])
    assert "none.cow: there is no such file (`cowtree put` and `cowtree load` create" in error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "command", [*READING, ("del", "k"), ("tag", "t"), ("put", "k", "v"), ("load",)]
)
def test_what_is_no_database_is_told_and_left_alone(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    name, rest = command[0], command[1:]
    stranger, empty, newer = (tmp_path / part for part in ("stranger", "empty", "newer"))
    stranger.write_bytes(b"not a database " * 1000)
    empty.write_bytes(b"")
    ok("put", newer, "k", "v")
    data = bytearray(newer.read_bytes())
    data[40] += 1  # the format version
    newer.write_bytes(data)
    assert "stranger: not a cowtree database" in fails(name, stranger, *rest)
    assert "empty: an empty file" in fails(name, empty, *rest)
    assert "newer" in fails(name, newer, *rest)
    assert "directory" in fails(name, tmp_path, *rest)
    assert "in memory" in fails(name, ":memory:", *rest)
    assert newer.read_bytes() == data and empty.read_bytes() == b""
    assert sorted(os.listdir(tmp_path)) == ["empty", "newer", "stranger"]


def test_a_directory_of_lmdb_is_told_from_others(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"")
    assert "import-lmdb" in fails("info", tmp_path)


def test_put_and_load_tell_a_missing_directory(tmp_path: Path) -> None:
    for command in (("put", tmp_path / "no" / "f", "k", "v"), ("load", tmp_path / "no" / "f")):
        assert f"{tmp_path / 'no'}: there is no such directory" in fails(*command)


@pytest.mark.parametrize("command", READING, ids=lambda c: c[0])
def test_reading_changes_no_byte_and_works_beside_a_writer(
    command: tuple[str, ...], people: Path
) -> None:
    before = people.read_bytes()
    people.chmod(0o444)
    status = run(command[0], people, *command[1:]).status
    assert status in (0, 1)
    assert people.read_bytes() == before and os.listdir(people.parent) == [people.name]
    people.chmod(0o644)
    with cowtree.open(people, sync=False) as db, db.transaction() as txn:
        txn[b"k"] = b"open"
        assert run(command[0], people, *command[1:]).status == status


# get, put, del.


def test_put_get_del(path: Path) -> None:
    assert ok("put", path, "ada", "1815").out == b""
    assert ok("get", path, "ada").out == b"1815"
    ok("put", path, "ada", "1816")
    assert ok("get", path, "ada").out == b"1816"
    assert ok("get", path, "ada", "--at", "1").out == b"1815"
    assert ok("get", path, "ada", "--json").objects == [{"key": "ada", "value": "1816"}]
    result = no("get", path, "bob")
    assert result.out == b"" and "no such key: bob" in result.err
    assert ok("del", path, "ada").out == b""
    assert "no such key" in no("del", path, "ada").err
    assert no("get", path, "ada").out == b""
    ok("put", path, "", "")
    assert ok("get", path, "").out == b""


def test_put_takes_standard_input_byte_for_byte(path: Path) -> None:
    data = bytes(range(256)) * 100
    ok("put", path, "k", stdin=data)
    ok("put", path, "k2", "-", stdin=b"line\r\n")
    assert ok("get", path, "k").out == data
    assert ok("get", path, "k2").out == b"line\r\n"


def test_put_without_overwriting(path: Path) -> None:
    ok("put", path, "k", "1", "--no-overwrite")
    result = no("put", path, "k", "2", "--no-overwrite")
    assert result.out == b"" and "there already" in result.err
    assert ok("get", path, "k").out == b"1"


def test_named_trees(path: Path) -> None:
    ok("put", path, "k", "v", "--tree", "a/b")
    assert ok("get", path, "k", "--tree", "a/b").out == b"v"
    assert no("get", path, "k").out == b""
    for command in (("get", path, "k"), ("scan", path), ("dump", path), ("count", path)):
        result = no(*command, "--tree", "other")
        assert "there is no tree 'other'" in result.err
        assert result.out == (b"0\n" if command[0] == "count" else b"")
    assert "the tree 'other'" in no("del", path, "k", "--tree", "other").err
    ok("del", path, "k", "--tree", "a/b")
    assert ok("count", path, "--tree", "a/b").text == "0\n"


def test_too_large_keys(path: Path) -> None:
    ok("put", path, "k", "v")
    assert "at most" in fails("put", path, "k" * 5000, "v")
    assert "line 2: " in fails("load", path, stdin=b"a\tb\n" + b"k" * 5000 + b"\tv\n")
    assert contents(path) == {None: {b"k": b"v"}}


def test_writers_wait_no_longer_than_asked(path: Path, start_child: object) -> None:
    code = (
        "import sys, cowtree; db = cowtree.open(sys.argv[1]); txn = db.transaction(); "
        "print('ready'); sys.stdin.read(); txn.rollback()"
    )
    child = start_child(code, path)  # type: ignore[operator]
    assert child.read() == "ready"
    for command in (
        ("put", path, "k", "v"),
        ("del", path, "k"),
        ("tag", path, "t"),
        ("load", path),
    ):
        assert "--timeout" in fails(*command, "--timeout", "0.01", stdin=b"k\tv\n")


# scan and count.


def test_scan_and_count_take_ranges(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.update({b"k%02d" % i: b"%d" % i for i in range(30)})
    every = [f"k{i:02}\t{i}" for i in range(30)]
    for arguments, expected in [
        ((), every),
        (("--start", "k10"), every[10:]),
        (("--stop", "k10"), every[:10]),
        (("--start", "k10", "--stop", "k12"), every[10:12]),
        (("--start", "k12", "--stop", "k10"), []),
        (("--prefix", "k1"), every[10:20]),
        (("--prefix", "k1", "--start", "k15", "--stop", "k25"), every[15:20]),
        (("--prefix", "k1", "--start", "k05", "--stop", "k12"), every[10:12]),
        (("--prefix", ""), every),
        (("--prefix", "x"), []),
    ]:
        assert ok("scan", path, *arguments).lines == expected
        assert ok("scan", path, *arguments, "--reverse").lines == expected[::-1]
        assert ok("count", path, *arguments).text == f"{len(expected)}\n"
    assert ok("count", path, "--json").objects == [{"count": 30}]
    assert ok("scan", path, "--limit", "2").lines == every[:2]
    assert ok("scan", path, "--limit", "0").out == b""
    assert ok("scan", path, "--limit", "2", "--reverse", "--keys-only").lines == ["k29", "k28"]
    assert ok("scan", path, "--limit", "2", "--values-only").lines == ["0", "1"]
    assert ok("scan", path, "--limit", "1", "--keys-only", "--json").objects == [{"key": "k00"}]
    assert ok("scan", path, "--limit", "1", "--values-only", "--json").objects == [{"value": "0"}]


def test_scan_of_a_commit_and_of_a_tree(people: Path) -> None:
    assert ok("scan", people, "--at", "first").lines == ["ada\t1815", "alan\t1912", "grace\t1906"]
    assert ok("scan", people, "--tree", "cities").lines == ["london\tGB"]
    assert ok("scan", people, "--tree", "cities", "--json").objects == [
        {"tree": "cities", "key": "london", "value": "GB"}
    ]
    assert "no tree" in no("scan", people, "--tree", "cities", "--at", "1").err


# info and check.


def test_info(people: Path) -> None:
    ok("put", people, "k", "v")
    with cowtree.open(people) as db:
        db.tree("typed", key=Text, value=Json)["x"] = [1]
        stats = dataclasses.asdict(db.stats())
    text = ok("info", people).text
    for part in (str(people), "KiB", "4 of 20", "(default): 4 entries", "cities: 1 entry"):
        assert part in text
    assert "typed: 1 entry, keys text, values json" in text and "first -> 1" in text
    (members,) = ok("info", people, "--json").objects
    assert members["path"] == str(people) and members["tags"] == {"first": 1}
    assert members["tree_details"] == [
        {"name": None, "entries": 4, "codecs": [None, None]},
        {"name": "cities", "entries": 1, "codecs": [None, None]},
        {"name": "typed", "entries": 1, "codecs": ["text", "json"]},
    ]
    for name in ("commit_id", "entries", "trees", "page_size", "live_bytes", "garbage_bytes"):
        assert members[name] == stats[name]
    assert members["snapshots"] == 0


def test_info_of_an_empty_database(path: Path) -> None:
    ok("load", path)
    assert "(default): 0 entries" in ok("info", path).text
    assert ok("info", path, "--json").objects[0]["commit_id"] == 0


def test_check(people: Path) -> None:
    assert ok("check", people).text.startswith("sound: commit 2, 4 entries, ")
    (report,) = ok("check", people, "--json").objects
    assert report["ok"] and report["problems"] == [] and report["commit_id"] == 2


def test_check_lists_problems(path: Path) -> None:
    with cowtree.open(path) as db:
        db.update({b"%06d" % i: b"v" * 50 for i in range(2000)})
    data = bytearray(path.read_bytes())
    data[5 * 4096 + 2000] ^= 1
    path.write_bytes(data)
    result = no("check", path)
    assert "page 5" in result.text and "DAMAGED" in result.lines[-1] and result.err == ""
    (report,) = no("check", path, "--json").objects
    assert not report["ok"] and "page 5" in report["problems"][0]
    assert "cowtree check" in fails_after_some("scan", path)


def fails_after_some(*arguments: object) -> str:
    result = run(*arguments)
    assert result.status == 2 and result.err.count("\n") == 1
    return result.err


def test_check_of_what_cannot_be_opened(people: Path) -> None:
    people.write_bytes(people.read_bytes()[:2000])
    assert no("check", people).lines[-1] == "DAMAGED: it cannot be opened"
    (report,) = no("check", people, "--json").objects
    assert not report["ok"] and len(report["problems"]) == 1
    assert "cut off" in fails("info", people)


# backup and demo.


@pytest.mark.skipif(
    not hasattr(cowtree.Database, "backup"), reason="this build has no Database.backup"
)
def test_backup(people: Path, tmp_path: Path) -> None:
    copy, old = tmp_path / "copy.cow", tmp_path / "old.cow"
    assert ok("backup", people, copy).out == b""
    assert contents(copy) == contents(people)
    ok("backup", people, old, "--at", "first")
    assert contents(old)[None][b"grace"] == b"1906"
    before = copy.read_bytes()
    assert "exists already" in fails("backup", people, copy)
    assert copy.read_bytes() == before


def test_demo_runs_on_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr("cowtree.demo.run", lambda directory: asked.append(directory) or 0)
    ok("demo", tmp_path)
    ok("demo")
    assert asked == [str(tmp_path), None]


def test_demo_of_what_is_no_directory(tmp_path: Path) -> None:
    assert "not a directory" in fails("demo", tmp_path / "none")


# Failures of the command itself.


def test_main_serves_a_program_that_captures_text(people: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main(["get", str(people), "ada"]) == 0
    assert out.getvalue() == "1815"


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (MemoryError(), 2, "cowtree: out of memory\n"),
        (RuntimeError("two\nlines"), 2, "cowtree: unexpected RuntimeError: two lines\n"),
        (
            OSError(5, "Input/output error", "a\x1b[2J"),
            2,
            "cowtree: a\\x1b[2J: Input/output error\n",
        ),
    ],
)
def test_whatever_happens_is_one_line(
    error: BaseException, status: int, says: str, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(cowtree, "open", fail)
    result = run("info", people)
    assert (result.status, result.out, result.err) == (status, b"", says)


def test_closed_standard_streams(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["get", str(people), "ada"]) == 2
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["put", str(people), "ada"]) == 2
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["get", str(people), "ada"]) == 2
