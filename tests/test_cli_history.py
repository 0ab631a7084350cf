"""The command line: naming commits, history, tag, diff."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_helpers import fails, no, ok

import cowtree

# AT.


def test_a_commit_is_named_by_id_tag_or_time(people: Path) -> None:
    with cowtree.open(people, readonly=True) as db:
        second, first = db.history()
    for at in (1, "first", first.time.isoformat(), first.time.isoformat().replace("+00:00", "Z")):
        assert ok("count", people, "--at", at).text == "3\n"
        assert ok("get", people, "grace", "--at", at).out == b"1906"
    assert no("get", people, "grace", "--at", second.time.isoformat()).out == b""
    assert ok("count", people, "--at", "0").text == "0\n"


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("99", "there is no commit 99"),
        ("nope", "there is no tag 'nope'"),
        ("1999-01-01T00:00:00Z", "no commit that is as old"),
        ("2026-07-01T12:00:00", "say 2026-07-01T12:00:00+00:00 for UTC"),
        ("2026-07-01", "names no moment"),
        ("-1", "no commit id, tag, or time"),
        ("1.5", "no commit id, tag, or time"),
        ("", "no commit id, tag, or time"),
        ("@1", "no commit id, tag, or time"),
    ],
)
def test_what_names_no_commit(at: str, says: str, people: Path) -> None:
    for command in (
        ("get", people, "ada", "--at", at),
        ("dump", people, "--at", at),
        ("tag", people, "t", at),
        ("diff", people, at),
        ("diff", people, "1", at),
        ("backup", people, people.with_name("copy"), "--at", at),
    ):
        assert says in fails(*command)
    assert ok("tag", people).lines == ["first\t1"]


# history, tag, diff.


def test_history(people: Path) -> None:
    lines = [line.split("\t") for line in ok("history", people).lines]
    assert [line[0] for line in lines] == ["2", "1"]
    assert [line[2] for line in lines] == ["4 entries", "3 entries"]
    assert [line[4:] for line in lines] == [["", "second"], ["first", ""]]
    commits = ok("history", people, "--json").objects
    assert [commit["id"] for commit in commits] == [2, 1]
    assert commits[0]["note"] == "second" and commits[1]["tags"] == ["first"]
    assert commits[0]["entries"] == 4 and commits[0]["pages_written"] > 0
    assert ok("count", people, "--at", commits[1]["time"]).text == "3\n"
    forward = ok("history", people, "--forward", "--json").objects
    assert forward == commits[::-1]
    assert ok("history", people, "--reverse", "--json").objects == commits
    assert ok("history", people, "--limit", "1", "--json").objects == commits[:1]


def test_history_of_notes_that_are_no_text(path: Path) -> None:
    with cowtree.open(path) as db, db.transaction(note=b"\xff\x1b[2J") as txn:
        txn[b"k"] = b"v"
    assert ok("history", path).lines[0].endswith("\t\\xff\\x1b[2J")
    assert ok("history", path, "--json").objects[0]["note_base64"] == "/xtbMko="


def test_tag(people: Path) -> None:
    assert ok("tag", people, "now").out == b""
    ok("tag", people, "empty", "0")
    assert ok("tag", people).lines == ["empty\t0", "first\t1", "now\t2"]
    assert ok("tag", people, "--json").objects[1] == {"tag": "first", "commit": 1}
    assert "--move" in fails("tag", people, "first")
    ok("tag", people, "first", "--move")
    ok("tag", people, "new", "now", "--move")
    assert ok("tag", people, "--delete", "now").out == b""
    assert "there is no tag 'now'" in no("tag", people, "now", "--delete").err
    assert ok("tag", people).lines == ["empty\t0", "first\t2", "new\t2"]


def test_diff(people: Path) -> None:
    result = no("diff", people, "first")
    assert result.err == ""
    assert result.lines == [
        "~ alan\t1912\t1911",
        "+ barbara\t1939",
        "- grace\t1906",
        "tree cities:",
        "+ london\tGB",
    ]
    assert no("diff", people, "2", "1").lines[-1] == "- london\tGB"
    assert no("diff", people, "1", "--keys-only").lines[0] == "~ alan"
    assert no("diff", people, "1", "2", "--tree", "cities").lines == [
        "tree cities:",
        "+ london\tGB",
    ]
    assert no("diff", people, "1", "--json").objects == [
        {"kind": "changed", "key": "alan", "old": "1912", "new": "1911"},
        {"kind": "added", "key": "barbara", "new": "1939"},
        {"kind": "removed", "key": "grace", "old": "1906"},
        {"tree": "cities", "kind": "added", "key": "london", "new": "GB"},
    ]
    assert no("diff", people, "1", "--json", "--keys-only").objects[0] == {
        "kind": "changed",
        "key": "alan",
    }
    for same in (("2",), ("1", "first"), ("0", "0")):
        assert ok("diff", people, *same).out == b""
    assert "neither commit has a tree 'x'" in fails("diff", people, "1", "--tree", "x")
