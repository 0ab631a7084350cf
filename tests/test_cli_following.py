"""The command line: watch, branch, backup --incremental."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from cli_helpers import fails, no, ok
from test_cli_processes import start

import cowtree


def test_watch_prints_changes_as_they_are_committed(people: Path) -> None:
    watching = start("watch", people, "--since", "1", "--count", "3", "--json")
    assert watching.stdout is not None
    seen = [json.loads(watching.stdout.readline()) for _ in range(4)]
    assert {change["commit"] for change in seen} == {2} and seen[-1]["tree"] == "cities"
    with cowtree.open(people) as db:
        db[b"new"] = b"1"
        assert json.loads(watching.stdout.readline()) == {
            "commit": 3,
            "kind": "added",
            "key": "new",
            "new": "1",
        }
        db.tag("nothing")  # wakes nobody
        del db[b"new"]
        assert json.loads(watching.stdout.readline())["kind"] == "removed"
    assert watching.wait(60) == 0
    out, err = watching.communicate()
    assert (out, err) == (b"", b"")


def test_watch_for_people_and_one_tree(people: Path) -> None:
    def commit() -> None:
        with cowtree.open(people) as db:
            db[b"elsewhere"] = b"1"
            db.tree("cities")[b"paris"] = b"FR"

    thread = threading.Timer(0.1, commit)
    thread.start()
    lines = ok("watch", people, "--tree", "cities", "--count", "1", "--timeout", "60").lines
    thread.join()
    assert lines[0] in ("commit 4:", "commits 3 to 4:")
    assert lines[1:] == ["tree cities:", "+ paris\tFR"]
    lines = ok("watch", people, "--since", "first", "--count", "1", "--keys-only").lines
    assert lines == [
        "commits 2 to 4:",
        "~ alan",
        "+ barbara",
        "+ elsewhere",
        "- grace",
        "tree cities:",
        "+ london",
        "+ paris",
    ]


def test_watch_ends_when_nothing_comes_or_at_ctrl_c(people: Path) -> None:
    assert no("watch", people, "--timeout", "0").out == b""
    watching = start("watch", people, "--since", "1")
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(6)]
    assert lines[0] == b"commit 2:\n" and lines[5] == b"+ london\tGB\n"
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=60)
    assert (watching.returncode, out, err) == (130, b"", b"")


def test_watch_goes_on_where_its_commit_was_compacted_away(people: Path) -> None:
    with cowtree.open(people) as db:
        db.untag("first")
    watching = start("watch", people, "--since", "1", "--timeout", "1")
    assert watching.stdout is not None
    assert watching.stdout.readline() == b"commit 2:\n"
    os.kill(watching.pid, signal.SIGSTOP)
    with cowtree.open(people) as db:
        db[b"a"] = b"1"
        db.compact()  # may keep commit 2, or not
        db[b"b"] = b"2"
    os.kill(watching.pid, signal.SIGCONT)
    out, err = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert out.endswith(b"+ a\t1\n+ b\t2\n") or b"compacted away: going on from 4" in err


def test_branch(people: Path) -> None:
    target = people.with_name("branch.cow")
    assert ok("branch", people, target, "--at", "first").out == b""
    assert ok("count", target).text == "3\n"
    ok("put", target, "own", "1")
    assert no("get", people, "own").out == b""
    assert "exists" in fails("branch", people, target)
    assert "no tag" in fails("branch", people, people.with_name("x"), "--at", "nope")


def test_incremental_backup(people: Path) -> None:
    target = people.with_name("backup.cow")
    assert "--incremental" in (ok("backup", people, target), fails("backup", people, target))[1]
    ok("put", people, "new", "1")
    ok("backup", people, target, "--incremental")
    assert ok("get", target, "new").out == b"1"
    ok("backup", people, people.with_name("first.cow"), "--incremental")  # there is none yet
    ok("put", target, "own", "1")
    assert "ahead" in fails("backup", people, target, "--incremental")
    with cowtree.open(people) as db:
        db.compact()
    ok("put", people, "newer", "1")
    assert ok("check", people.with_name("first.cow")).status == 0


@pytest.mark.parametrize("command", ["watch", "branch"])
def test_help_has_examples(command: str) -> None:
    assert f"cowtree {command} people.cow" in ok(command, "--help").text
