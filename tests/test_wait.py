"""`wait` tells of a commit that any process has made, and of nothing else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cowtree

StartChild = Callable[..., Any]

WAITER = """
import sys, cowtree
with cowtree.open(sys.argv[1], **eval(sys.argv[2])) as db:
    print("open")
    for line in sys.stdin:
        print("waiting")
        print(db.wait(int(line), 60.0))
"""

WRITER = """
import sys, cowtree
with cowtree.open(sys.argv[1], sync=False) as db:
    print("open")
    for line in sys.stdin:
        db[b"from the child"] = line.encode()
        print(db.commit_id)
"""


def in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """A thread that has the result of a function, or its exception, in the list at the end."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, found


def end_of(thread: threading.Thread, found: list[object]) -> object:
    thread.join(60)
    assert not thread.is_alive(), "the wait hangs"
    return found[0]


def test_a_newer_commit_is_told_at_once_and_an_older_one_never(db: cowtree.Database) -> None:
    db[b"a"] = b"1"
    db[b"a"] = b"2"
    assert db.wait(0) == 2 and db.wait(1, 0) == 2
    assert db.wait(2, 0) is None and db.wait(2, 0.01) is None and db.wait(100, 0) is None


def test_a_commit_of_another_thread_ends_the_wait(db: cowtree.Database) -> None:
    waiting = in_thread(lambda: db.wait(0))
    db[b"a"] = b"1"
    assert end_of(*waiting) == 1


@pytest.mark.parametrize("options", [{}, {"readonly": True}, {"mmap": False}])
def test_a_commit_of_another_process_ends_the_wait(
    path: Path, start_child: StartChild, options: dict[str, Any]
) -> None:
    with cowtree.open(path) as db:
        waiter = start_child(WAITER, path, options)
        assert waiter.read() == "open"
        for i in range(1, 6):
            assert waiter.ask(str(i - 1)) == "waiting"
            db[b"a"] = b"%d" % i
            assert waiter.read() == str(i)
        assert waiter.finish() == 0


def test_tags_settings_and_compaction_wake_nobody(path: Path) -> None:
    with cowtree.open(path, sync=False) as db, cowtree.open(path) as other:
        db[b"a"] = b"1"
        db.tag("here")
        db.configure(history=5)
        db.compact()
        assert other.wait(1, 0) is None and other.wait(0, 0) == 1
        waiting = in_thread(lambda: other.wait(1))
        db.tag("there")
        db.compact()
        assert waiting[1] == []
        db[b"a"] = b"2"
        assert end_of(*waiting) == 2


def test_a_writer_that_was_killed_leaves_its_commits_to_those_who_wait(
    path: Path, start_child: StartChild
) -> None:
    with cowtree.open(path) as db:
        writer = start_child(WRITER, path)
        assert writer.read() == "open"
        waiting = in_thread(lambda: db.wait(2))
        assert [writer.ask("x"), writer.ask("y"), writer.ask("z")] == ["1", "2", "3"]
        writer.kill()
        assert end_of(*waiting) == 3


def test_closing_the_handle_ends_the_wait(path: Path) -> None:
    db = cowtree.open(path)
    waiting = in_thread(lambda: db.wait(0))
    db.close()
    assert isinstance(end_of(*waiting), cowtree.ClosedError)
    with pytest.raises(cowtree.ClosedError):
        db.wait(0, 0)


def test_ctrl_c_ends_the_wait(path: Path, start_child: StartChild) -> None:
    with cowtree.open(path):
        pass
    waiter = start_child(WAITER, path, {})
    assert waiter.read() == "open" and waiter.ask("0") == "waiting"
    os.kill(waiter.process.pid, signal.SIGINT)
    assert waiter.process.wait(60) in (1, -signal.SIGINT)


def test_a_database_in_memory_waits_too() -> None:
    with cowtree.open(":memory:") as db:
        waiting = in_thread(lambda: db.wait(0))
        db[b"a"] = b"1"
        assert end_of(*waiting) == 1


@pytest.mark.parametrize("wrong", ["1", None, True, 1.0, b"1"])
def test_what_is_no_id_is_refused(db: cowtree.Database, wrong: Any) -> None:
    with pytest.raises(TypeError):
        db.wait(wrong)
    with pytest.raises(TypeError):
        db.wait(0, "1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        db.wait(0, -1)
