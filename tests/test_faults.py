"""The n-th write, sync or truncation fails: an error says what it means, and nothing lies."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from crash_device import TracedDatabase

import cowtree


class Failing:
    """A trace that fails one operation, named by kind and number, once."""

    def __init__(self) -> None:
        self.kind = ""
        self.skip = 0
        self.code = errno.EIO
        self.short: int | None = None
        self.failed = 0

    def fail(
        self, kind: str, skip: int = 0, code: int = errno.EIO, short: int | None = None
    ) -> None:
        self.kind, self.skip, self.code, self.short = kind, skip, code, short

    def _step(self, kind: str) -> int | None:
        if kind != self.kind:
            return None
        if self.skip:
            self.skip -= 1
            return None
        self.kind = ""
        self.failed += 1
        if self.short is not None:
            return self.short
        raise OSError(self.code, os.strerror(self.code))

    def write(self, offset: int, data: bytes) -> int | None:
        return self._step("write")

    def sync(self) -> None:
        self._step("sync")

    def sync_range(self, offset: int, size: int) -> None:
        self._step("sync")

    def truncate(self, size: int) -> None:
        self._step("truncate")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("short", [None, 0, 512, 5000])
def test_failed_write_rolls_back_and_leaves_the_handle_usable(
    path: Path, code: int, short: int | None
) -> None:
    trace = Failing()
    traced = TracedDatabase(str(path), trace, sync=False)
    db = traced.db
    db[b"before"] = b"1"
    for attempt in range(5):
        trace.fail("write", code=code, short=short)
        with pytest.raises(OSError) as caught, db.transaction() as txn:
            txn[b"new"] = b"x" * 5000
        assert caught.value.errno in (code, errno.ENOSPC)
        assert dict(db) == {b"before": b"1"}
        if attempt == 0:
            size = path.stat().st_size
        assert path.stat().st_size == size, "failing retries made the file grow"
    assert trace.failed == 5
    assert db.check().ok
    db[b"after"] = b"2"
    assert db.commit_id == 2
    traced.close()
    with cowtree.open(path) as again:
        assert dict(again) == {b"before": b"1", b"after": b"2"}
        assert again.check().ok


def test_failed_write_of_a_spill_leaves_only_rollback(path: Path) -> None:
    trace = Failing()
    traced = TracedDatabase(str(path), trace, sync=False, write_memory=1 << 16)
    with traced.db.transaction() as txn:
        txn[b"before"] = b"1"
    trace.fail("write", code=errno.ENOSPC)
    txn = traced.db.transaction()
    with pytest.raises(OSError):
        for i in range(1000):
            txn[b"%d" % i] = b"v" * 1000
    with pytest.raises(cowtree.TransactionError):
        txn[b"more"] = b"1"
    with pytest.raises(cowtree.TransactionError):
        txn.commit()
    txn.rollback()
    assert dict(traced.db) == {b"before": b"1"}
    traced.db[b"after"] = b"1"
    assert traced.db.check().ok
    traced.close()


def reads_in_another_process(path: Path) -> bytes:
    code = "import cowtree, sys; sys.stdout.buffer.write(repr(dict(cowtree.open(sys.argv[1], readonly=True))).encode())"
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True
    ).stdout


@pytest.mark.parametrize("warm", [1, 5])
def test_failed_sync_is_uncertain_and_poisons(path: Path, warm: int) -> None:
    """With a prefilled tail (`warm` commits before) the write is its own sync; without it is not. Both must hold."""
    trace = Failing()
    traced = TracedDatabase(str(path), trace)
    db = traced.db
    for i in range(warm):
        db[b"before"] = b"%d" % i
    published = dict(db)
    waiting = db.snapshot()
    trace.fail("sync")
    with pytest.raises(cowtree.CommitUncertainError):
        db[b"uncertain"] = b"1"
    assert trace.failed == 1
    for _ in range(2):
        with pytest.raises(cowtree.CommitUncertainError):
            db[b"more"] = b"1"
        with pytest.raises(cowtree.CommitUncertainError):
            db.transaction()
    assert dict(db) == dict(waiting) == published
    assert reads_in_another_process(path) == repr(published).encode()
    traced.close()
    with cowtree.open(path) as again:
        assert dict(again) == published
        assert again.check().ok
        again[b"after"] = b"1"
    with cowtree.open(path) as again:
        assert dict(again) == published | {b"after": b"1"}


def test_failed_sync_fails_the_commits_that_built_on_it(path: Path) -> None:
    trace = Failing()
    traced = TracedDatabase(str(path), trace, sync=False)
    db = traced.db
    db[b"unsynced"] = b"1"
    txn = db.transaction(sync=True)
    txn[b"a"] = b"1"
    trace.fail("sync")
    with pytest.raises(cowtree.CommitUncertainError):
        txn.commit()
    with pytest.raises(cowtree.CommitUncertainError):
        db.sync()
    assert dict(db) == {b"unsynced": b"1"}
    traced.close()
    with cowtree.open(path) as again:
        assert again.check().ok
        assert again.get(b"a") is None


@pytest.mark.parametrize("kind", ["write", "sync", "truncate"])
def test_failure_at_any_step_of_close_loses_nothing(path: Path, kind: str) -> None:
    for skip in range(4):
        trace = Failing()
        traced = TracedDatabase(str(path), trace)
        traced.db[b"%d" % skip] = b"durable"
        trace.fail(kind, skip=skip)
        try:
            traced.close()
        except (OSError, cowtree.Error):
            assert trace.failed
        with cowtree.open(path) as db:
            assert dict(db) == {b"%d" % i: b"durable" for i in range(skip + 1)}
            assert db.check().ok


def test_failed_prefill_does_not_fail_the_commit(path: Path) -> None:
    trace = Failing()
    traced = TracedDatabase(str(path), trace)
    # The commit's own write is the first, the zeros are the second.
    trace.fail("write", skip=1, code=errno.ENOSPC)
    traced.db[b"a"] = b"1"
    assert trace.failed == 1
    traced.db[b"b"] = b"2"
    traced.close()
    with cowtree.open(path) as again:
        assert dict(again) == {b"a": b"1", b"b": b"2"}
