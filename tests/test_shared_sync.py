"""Commits of several threads that share a sync: all of a batch is acknowledged, or none, and nobody waits for ever."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
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
        self.truncations = 0
        self.failing: set[int] = set()
        self.let_through_at_size: int | None = None
        self.at_write: Callable[[], object] = lambda: None

    def write(self, offset: int, data: bytes) -> None:
        self.at_write()
        with self.changed:
            self.writes += 1
            if self.let_through_at_size is not None and len(data) > self.let_through_at_size:
                self.let_through = 99
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
        self.truncations += 1

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.writes = self.begun = self.let_through = self.truncations = 0

    def let(self, number: int) -> None:
        with self.changed:
            self.let_through = number
            self.changed.notify_all()

    def until(self, *, begun: int = 0, writes: int = 0) -> None:
        with self.changed:
            while self.begun < begun or self.writes < writes:
                assert self.changed.wait(PATIENCE_SECONDS)


class Work(threading.Thread):
    """Does something, and keeps how it ended."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.outcome: object = None
        self.start()

    def run(self) -> None:
        try:
            self.work()
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


def batch_behind(gate: Gate, db: cowtree.Database, count: int) -> tuple[Work, list[Work]]:
    """A commit whose sync is under way, and `count` that were written behind it."""
    gate.close()
    first = Work(lambda: put(db, b"first", durable=True))
    gate.until(begun=1)
    others = []
    for i in range(count):
        others.append(Work(partial(put, db, b"other %d" % i, durable=True)))
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


def put(db: cowtree.Database, key: bytes, *, durable: bool) -> None:
    with db.transaction(sync=durable) as txn:
        txn[key] = b"1"


def opens_with(path: Path, keys: list[bytes]) -> None:
    """The file is sound and holds what was acknowledged as durable."""
    with cowtree.open(path) as db:
        assert db.check().ok
        for key in keys:
            assert db[key] == b"1", key
        db[b"after"] = b"1"


# Which threads meet is up to the system: each of these is tried often, and must hold however they do.
OFTEN = range(12)


@pytest.mark.parametrize("_", OFTEN)
def test_a_sync_fails_beneath_a_commit_that_another_sync_made_durable(
    traced: TracedDatabase, gate: Gate, path: Path, _: int
) -> None:
    """An unsynced commit syncs what is behind it, and a slot names that: it must not be blanked when its own fails."""
    db = traced.db
    put(db, b"zero", durable=True)
    gate.close()
    durable: list[bytes] = [b"zero"]

    def first_and_unsynced() -> None:
        put(db, b"first", durable=True)
        durable.append(b"first")
        put(db, b"unsynced", durable=False)

    first = Work(first_and_unsynced)
    gate.until(begun=1)
    second = Work(lambda: put(db, b"second", durable=True))
    gate.until(writes=2)
    gate.failing = {4}
    gate.let(99)
    if second.end() == "acknowledged":
        durable.append(b"second")
    first.end()
    with suppress(OSError, cowtree.Error):
        traced.close()
    opens_with(path, durable)


@pytest.mark.parametrize("_", OFTEN)
def test_a_sync_fails_while_an_unsynced_commit_waits_to_sync(
    traced: TracedDatabase, gate: Gate, path: Path, _: int
) -> None:
    db = traced.db
    put(db, b"zero", durable=True)
    gate.close()
    first = Work(lambda: put(db, b"first", durable=True))
    gate.until(begun=1)
    second = Work(lambda: put(db, b"second", durable=False))
    gate.failing = {1}
    gate.let(99)
    assert isinstance(first.end(), cowtree.CommitUncertainError)
    second.end()
    with suppress(OSError, cowtree.Error):
        traced.close()
    opens_with(path, [b"zero"])


@pytest.mark.parametrize("_", OFTEN)
def test_a_close_after_a_failed_sync_is_not_a_clean_one(
    traced: TracedDatabase, gate: Gate, path: Path, _: int
) -> None:
    db = traced.db
    put(db, b"zero", durable=True)
    put(db, b"unsynced", durable=False)
    gate.close()
    syncing = Work(db.sync)
    gate.until(begun=1)
    closing = Work(traced.close)
    gate.failing = {1}
    gate.let(99)
    assert isinstance(syncing.end(), cowtree.CommitUncertainError)
    closing.end()
    assert gate.truncations == 0
    opens_with(path, [b"zero"])


def test_a_close_waits_until_a_failed_sync_has_been_dealt_with(
    traced: TracedDatabase, gate: Gate, path: Path
) -> None:
    """Else what blanks the failed commit would write to a descriptor that is closed, or another file's by then."""
    put(traced.db, b"zero", durable=True)
    put(traced.db, b"unsynced", durable=False)
    gate.close()
    syncing = Work(traced.db.sync)
    gate.until(begun=1)
    closing: list[Work] = []
    through: list[bool] = []
    closed = threading.Event()

    def close() -> None:
        traced.close()
        closed.set()

    def close_meanwhile() -> None:
        gate.at_write = lambda: None
        closing.append(Work(close))
        # Nothing tells that a thread waits. One that did not would be through long before.
        through.append(closed.wait(0.5))

    gate.at_write = close_meanwhile
    gate.failing = {1}
    gate.let(99)
    assert isinstance(syncing.end(), cowtree.CommitUncertainError)
    assert len(closing) == 1
    assert closing[0].end() == "acknowledged"
    assert through == [False]
    opens_with(path, [b"zero"])


@pytest.mark.parametrize("_", OFTEN)
def test_a_sync_fails_while_a_commit_is_being_written(
    traced: TracedDatabase, gate: Gate, path: Path, _: int
) -> None:
    """What was acknowledged before the failure is read in this process; what comes after it is refused."""
    db = traced.db
    put(db, b"zero", durable=True)
    put(db, b"unsynced", durable=False)
    gate.close()
    gate.failing = {1}
    gate.let_through_at_size = 1 << 20
    syncing = Work(db.sync)
    gate.until(begun=1)

    def large() -> None:
        with db.transaction(sync=False) as txn:
            txn.update((b"%07d" % i, b"v" * 1000) for i in range(4000))

    outcome = Work(large).end()
    assert isinstance(syncing.end(), cowtree.CommitUncertainError)
    found = dict(db.items())
    assert len(found) == (4002 if outcome == "acknowledged" else 2)
    with suppress(OSError, cowtree.Error):
        traced.close()
    opens_with(path, [b"zero"])


@pytest.mark.parametrize("failing", ["presync", "last write"])
def test_two_syncs_are_never_under_way_at_once(path: Path, failing: str) -> None:
    """An error of the device is told to one of them, which may not be the one whose pages are lost."""
    gate = Gate()
    traced = TracedDatabase(str(path), gate, sync=False, write_memory=1 << 20)
    db = traced.db
    db[b"zero"] = b"0"
    written: list[int] = []
    gate.close()
    syncing = Work(db.sync)
    gate.until(begun=1)

    def large() -> None:
        with db.transaction(sync=False) as txn:
            txn.update(
                (b"%07d" % i, b"v" * 1000) for i in range(20_000 if failing == "presync" else 3000)
            )

    def write(offset: int, data: bytes) -> int | None:
        Gate.write(gate, offset, data)
        written.append(len(data))
        commit_page = len(data) == 4096 and data[24] == 2  # FORMAT §2.0
        return 2048 if failing == "last write" and commit_page else None

    gate.write = write  # type: ignore[method-assign]
    other = Work(large)
    with gate.changed:
        while sum(written) < (16 << 20 if failing == "presync" else 2 << 20):
            assert gate.changed.wait(PATIENCE_SECONDS)
        # What is not wanted would come at once.
        assert not gate.changed.wait_for(lambda: gate.begun > 1, timeout=1.0)
    gate.let(99)
    assert syncing.end() == "acknowledged"
    outcome = other.end()
    assert outcome == "acknowledged" if failing == "presync" else isinstance(outcome, OSError)
    assert gate.begun >= 2
    traced.close()


@pytest.mark.parametrize("work", ["savepoint", "put", "read", "rollback"])
def test_another_thread_uses_a_transaction_that_is_spilling(path: Path, work: str) -> None:
    gate = Gate()
    traced = TracedDatabase(str(path), gate, write_memory=30_000)
    txn = traced.db.transaction(sync=False)
    others: list[Work] = []

    def meddle() -> None:
        if work == "savepoint":
            with txn.savepoint():
                txn[b"aaa"] = b"1"
        elif work == "put":
            txn[b"aaa"] = b"1"
        elif work == "read":
            assert [key for key, _ in zip(txn.keys(), range(3), strict=False)] == sorted(
                txn.keys()
            )[:3]
        else:
            txn.rollback()

    gate.at_write = lambda: others.append(Work(meddle)) if len(others) < 3 else None
    try:
        for i in range(5000):
            txn[b"%08d" % i] = b"v" * 40
        txn.commit()
    except cowtree.TransactionError:
        assert work == "rollback"
    outcomes = [other.end() for other in others]
    assert outcomes
    for (
        outcome
    ) in outcomes:  # refused, if it came while the transaction was being committed or had ended
        assert outcome == "acknowledged" or isinstance(outcome, cowtree.TransactionError)
    assert traced.db.check().ok
    if work == "rollback" and "acknowledged" in outcomes:
        assert len(traced.db) == 0
    else:
        stored = work in ("put", "savepoint") and "acknowledged" in outcomes
        assert len(traced.db) == 5000 + stored
    traced.close()
