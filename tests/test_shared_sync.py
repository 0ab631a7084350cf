"""Commits of several threads that share a sync: all of a batch is acknowledged, or none, and nobody waits for ever."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from conftest import PATIENCE_SECONDS
from crash_device import TracedDatabase

import cowtree


class Gate:
    """A trace whose syncs wait until they are let through, or fail; counts what commits write."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.closed = False
        self.writes = self.begun = self.let_through = 0
        self.failing: set[int] = set()

    def write(self, offset: int, data: bytes) -> None:
        with self.changed:
            self.writes += 1
            self.changed.notify_all()

    def sync(self) -> None:
        with self.changed:
            self.begun += 1
            number = self.begun
            self.changed.notify_all()
            while self.closed and self.let_through < number:
                assert self.changed.wait(PATIENCE_SECONDS)
            if number in self.failing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    def sync_range(self, offset: int, size: int) -> None:
        self.sync()

    def truncate(self, size: int) -> None:
        pass

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.writes = self.begun = self.let_through = 0

    def let(self, number: int) -> None:
        with self.changed:
            self.let_through = number
            self.changed.notify_all()

    def until(self, *, begun: int = 0, writes: int = 0) -> None:
        with self.changed:
            while self.begun < begun or self.writes < writes:
                assert self.changed.wait(PATIENCE_SECONDS)


class Committer(threading.Thread):
    def __init__(self, db: cowtree.Database, key: bytes) -> None:
        super().__init__(daemon=True)
        self.db, self.key = db, key
        self.outcome: object = None
        self.start()

    def run(self) -> None:
        try:
            self.db[self.key] = b"1"
            self.outcome = "acknowledged"
        except BaseException as error:
            self.outcome = error

    def end(self) -> object:
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()
        return self.outcome


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def traced(path: Path, gate: Gate) -> TracedDatabase:
    return TracedDatabase(str(path), gate)


def batch_behind(gate: Gate, db: cowtree.Database, count: int) -> tuple[Committer, list[Committer]]:
    """A commit whose sync is under way, and `count` that were written behind it."""
    gate.close()
    first = Committer(db, b"first")
    gate.until(begun=1)
    others = []
    for i in range(count):
        others.append(Committer(db, b"other %d" % i))
        gate.until(writes=2 + i)
    return first, others


def test_commits_share_the_sync_after_the_one_that_runs(traced: TracedDatabase, gate: Gate) -> None:
    first, others = batch_behind(gate, traced.db, 5)
    assert dict(traced.db) == {}  # nobody reads what is not durable
    gate.let(1)
    assert first.end() == "acknowledged"
    assert traced.db.get(b"first") == b"1"
    assert traced.db.get(b"other 0") is None
    gate.until(begun=2)
    gate.let(99)
    assert [other.end() for other in others] == ["acknowledged"] * 5
    assert gate.begun == 2
    assert len(traced.db) == 6
    traced.close()


def test_a_failed_sync_fails_its_batch_and_no_other(
    traced: TracedDatabase, gate: Gate, path: Path
) -> None:
    first, others = batch_behind(gate, traced.db, 4)
    gate.failing = {2}
    gate.let(99)
    assert first.end() == "acknowledged"
    for other in others:
        assert isinstance(other.end(), cowtree.CommitUncertainError)
    # No commit's sync follows one that failed, it would tell of success: the third is of the slot that says so.
    assert gate.begun == 3
    assert dict(traced.db) == {b"first": b"1"}
    with pytest.raises(cowtree.CommitUncertainError):
        traced.db[b"more"] = b"1"
    with pytest.raises(cowtree.CommitUncertainError):
        traced.db.sync()
    traced.close()
    with cowtree.open(path) as again:
        assert again.get(b"first") == b"1"
        assert again.check().ok


def test_a_failed_sync_fails_what_was_written_while_it_ran(
    traced: TracedDatabase, gate: Gate, path: Path
) -> None:
    first, others = batch_behind(gate, traced.db, 3)
    gate.failing = {1}
    gate.let(99)
    assert isinstance(first.end(), cowtree.CommitUncertainError)
    for other in others:
        assert isinstance(other.end(), cowtree.CommitUncertainError)
    assert gate.begun == 2  # the second is of the slot that says so
    assert dict(traced.db) == {}
    traced.close()
    with cowtree.open(path) as again:
        assert dict(again) == {}


def test_closing_waits_for_commits_under_way(
    traced: TracedDatabase, gate: Gate, path: Path
) -> None:
    first, others = batch_behind(gate, traced.db, 3)
    closer = threading.Thread(target=traced.close, daemon=True)
    closer.start()
    gate.let(99)
    closer.join(PATIENCE_SECONDS)
    assert not closer.is_alive()
    outcomes = [first.end(), *(other.end() for other in others)]
    with cowtree.open(path) as again:
        for key, outcome in zip(
            [b"first", *(b"other %d" % i for i in range(3))], outcomes, strict=True
        ):
            if outcome == "acknowledged":
                assert again[key] == b"1"
            else:
                assert isinstance(outcome, cowtree.CommitUncertainError | cowtree.ClosedError)
        assert again.check().ok
