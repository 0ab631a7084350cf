"""Snapshots, databases and trees cross process borders: pickled under fork, spawn and forkserver, or inherited."""

from __future__ import annotations

import copy
import gc
import hashlib
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree import SnapshotGoneError
from cowtree.codecs import Int, Text

METHODS = ("fork", "spawn", "forkserver")


def fingerprint(reader: Any) -> str:
    """Of everything that a reader gives."""
    total = hashlib.sha256()
    for key, value in reader.items():
        total.update(b"%d:%s%d:%s" % (len(key), key, len(value), value))
    return total.hexdigest()


def read_parts(snapshot: cowtree.Snapshot, start: bytes | None, stop: bytes | None) -> list[bytes]:
    return list(snapshot.keys(start, stop))


def add(tree: Any, key: Any, value: Any) -> int:
    tree[key] = value
    return len(tree)


@pytest.fixture
def db(path: Path) -> Iterator[cowtree.Database]:
    database = cowtree.open(path, sync=False)
    database.load((b"%05d" % i, b"x" * (i % 300)) for i in range(3000))
    yield database
    if not database.closed:
        assert database.check().ok
        database.close()


@pytest.mark.parametrize("method", METHODS)
def test_workers_read_one_snapshot_while_the_parent_commits(
    db: cowtree.Database, method: str
) -> None:
    snapshot = db.snapshot()
    expected = fingerprint(snapshot)
    cuts = [None, *snapshot.split(8), None]
    with multiprocessing.get_context(method).Pool(2) as pool:
        whole = [pool.apply_async(fingerprint, (snapshot,)) for _ in range(4)]
        parts = [pool.apply_async(read_parts, (snapshot, cuts[i], cuts[i + 1])) for i in range(8)]
        for i in range(50):
            db[b"%05d" % (i * 7)] = b"new"
        assert [result.get(60) for result in whole] == [expected] * 4
        assert [key for result in parts for key in result.get(60)] == list(snapshot)


@pytest.mark.parametrize("method", METHODS)
def test_workers_write_through_pickled_databases_and_trees(
    db: cowtree.Database, method: str
) -> None:
    typed = db.tree("t", key=Text, value=Int)
    typed["first"] = 1
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = [pool.apply_async(add, (db, b"new%d" % i, b"v")) for i in range(10)]
        results += [pool.apply_async(add, (typed, f"k{i}", i)) for i in range(10)]
        for result in results:
            result.get(60)
    assert db.count(prefix=b"new") == 10 and len(typed) == 11 and typed["k7"] == 7


def test_a_copy_reads_the_same_commit_and_outlives_the_database(
    db: cowtree.Database, path: Path
) -> None:
    snapshot = db.snapshot()
    expected = fingerprint(snapshot)
    db.clear()
    copied = pickle.loads(pickle.dumps(snapshot))
    assert copied.commit_id == 1 and fingerprint(copied) == expected
    snapshot.close()
    db.close()
    assert fingerprint(copied) == expected
    again = copy.copy(copied)
    iterator = iter(again.items())
    next(iterator)
    copied.close()
    assert len(list(iterator)) == 2999
    again.close()
    gc.collect()
    with cowtree.open(path, sync=False) as reopened:
        assert len(reopened) == 0


def test_trees_of_snapshots_are_pickled_with_their_codecs(db: cowtree.Database) -> None:
    db.tree("t", key=Text, value=Int)["k"] = 5
    tree = db.snapshot().tree("t", key=Text, value=Int)
    assert dict(pickle.loads(pickle.dumps(tree))) == {"k": 5}
    raw = pickle.loads(pickle.dumps(db.snapshot().tree("t")))
    assert dict(raw) == {b"k": Int.encode(5)}


def test_options_travel(path: Path) -> None:
    with cowtree.open(path, sync=False, timeout=1.5, write_memory=1 << 20) as db:
        db[b"k"] = b"v"
        copied = pickle.loads(pickle.dumps(db))
        assert copied.path == db.path == str(path) and not copied.readonly
        copied[b"l"] = b"w"
        assert db[b"l"] == b"w"
        assert pickle.dumps(copied) == pickle.dumps(db)
        copied.close()
    with cowtree.open(path, readonly=True) as db:
        assert pickle.loads(pickle.dumps(db)).readonly
    with cowtree.open(path, mmap=False) as db:
        snapshot = pickle.loads(pickle.dumps(db.snapshot()))
        assert snapshot[b"k"] == b"v"


def test_another_past_is_refused(db: cowtree.Database, path: Path) -> None:
    saved = path.with_name("saved.cow")
    db.sync()
    shutil.copy(path, saved)
    db[b"k"] = b"one past"
    pickled = pickle.dumps(db.snapshot())
    first = pickle.dumps(db.snapshot(1))
    db.close()
    os.replace(saved, path)
    with pytest.raises(SnapshotGoneError, match="no commit 2"):
        pickle.loads(pickled)
    with cowtree.open(path, sync=False) as other:
        while other.commit_id < 2 or other.commit_id % 2**20 < 2:
            other[b"k"] = b"another past"
        if other.commit_id == 2:
            with pytest.raises(SnapshotGoneError, match="another past"):
                pickle.loads(pickled)
        assert len(pickle.loads(first)) == 3000
    path.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)
    with cowtree.open(path) as stranger:
        stranger[b"a"] = b"1"
        with pytest.raises(SnapshotGoneError, match="another database"):
            pickle.loads(first)


def test_what_is_bound_to_its_process_does_not_pickle(db: cowtree.Database) -> None:
    snapshot = db.snapshot()
    memory = cowtree.open(":memory:")
    memory[b"k"] = b"v"
    with db.transaction() as txn:
        things: list[Any] = [
            txn,
            txn.tree("t"),
            db.cursor(),
            snapshot.cursor(),
            iter(db),
            db.diff(0),
            memory,
            memory.snapshot(),
            memory.tree("t"),
        ]
        for thing in things:
            with pytest.raises(TypeError):
                pickle.dumps(thing)
    snapshot.close()
    with pytest.raises(cowtree.ClosedError):
        pickle.dumps(snapshot)
    db.close()
    with pytest.raises(cowtree.ClosedError):
        pickle.dumps(db)
    changes = cowtree.Change("t", b"k", "added", None, b"v")
    assert pickle.loads(pickle.dumps(changes)) == changes


def test_a_foreign_pickle_is_an_error_not_a_crash(db: cowtree.Database, path: Path) -> None:
    from cowtree.snapshot import reopen_snapshot

    for arguments in (
        (str(path), b"", 1, 0, True, True),
        (str(path), db.snapshot().__reduce__()[1][1], 2**64, 5, True, True),
        (str(path), db.snapshot().__reduce__()[1][1], 1, 5, True, True),
    ):
        with pytest.raises(SnapshotGoneError):
            reopen_snapshot(*arguments)
    other = path.with_name("text.txt")
    other.write_text("not a database")
    with pytest.raises(cowtree.FormatError):
        reopen_snapshot(str(other), b"", 1, 0, True, True)
