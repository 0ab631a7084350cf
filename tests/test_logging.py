"""What the logger `cowtree` hears: recovery, failed syncs, compaction."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from crash_device import TracedDatabase

import cowtree

KILLED = """
import os, sys, cowtree
db = cowtree.open(sys.argv[1])
db[b"a"] = b"1"
txn = db.transaction().__enter__()
txn.update((b"%06d" % i, b"v" * 100) for i in range(100_000))
os._exit(9)
"""


def test_a_recovery_is_told_once_and_a_clean_opening_is_not(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "cowtree")
    with cowtree.open(path) as db:
        db[b"a"] = b"1"
    with cowtree.open(path) as db:
        db[b"a"] = b"2"
    assert caplog.records == []
    size = path.stat().st_size
    with path.open("r+b") as file:  # the newest commit is torn
        file.seek(size - 8192)  # a page of zeros follows it
        file.write(b"\xff" * 100)
        file.seek(4096)
        file.write(bytes(4096))
    with cowtree.open(path) as db:
        assert db[b"a"] == b"1"
    (record,) = caplog.records
    assert record.levelname == "INFO" and record.name == "cowtree"
    assert str(path) in record.message and "opened at commit 1" in record.message
    assert "the remains of an unfinished commit cut off" in record.message
    with cowtree.open(path):
        pass
    assert len(caplog.records) == 1


def test_what_a_killed_writer_leaves_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cowtree")
    with cowtree.open(path) as db:
        done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert done.returncode == 9
        db[b"b"] = b"1"  # this process takes the writer's place
    texts = [record.message for record in caplog.records]
    assert all("after an unclean end" in text for text in texts), texts


def test_a_failed_sync_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Trace:
        failing = False

        def write(self, offset: int, data: bytes) -> None:
            pass

        def sync(self) -> None:
            if self.failing:
                raise OSError(errno.EIO, "no more disk")

        def sync_range(self, offset: int, size: int) -> None:
            self.sync()

        def truncate(self, size: int) -> None:
            pass

    caplog.set_level(logging.DEBUG, "cowtree")
    trace = Trace()
    traced = TracedDatabase(str(path), trace)
    traced.db[b"a"] = b"1"
    trace.failing = True
    for _ in range(3):
        with pytest.raises(cowtree.CommitUncertainError):
            traced.db[b"a"] = b"2"
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "no more disk" in record.message and "opened again" in record.message
    trace.failing = False
    traced.close()


def test_a_compaction_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cowtree")
    with cowtree.open(path, sync=False) as db:
        for _ in range(3):
            db.update((b"%05d" % i, b"v" * 100) for i in range(5000))
        db.compact()
    (record,) = caplog.records
    assert record.levelname == "INFO" and "compacted, " in record.message


def test_a_handler_may_write_to_the_database(path: Path) -> None:
    """Nothing is locked when it is called."""
    with cowtree.open(path, sync=False) as db:
        heard: list[int] = []

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                heard.append(len(db))
                db[b"heard"] = record.getMessage().encode()

        handler = Handler()
        logger = logging.getLogger("cowtree")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            for _ in range(3):
                db.update((b"%05d" % i, b"v" * 100) for i in range(5000))
            db.compact()
            db[b"more"] = b"1"
        finally:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
        assert heard and b"compacted" in db[b"heard"]
