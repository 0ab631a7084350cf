"""Snapshots of the newest commit: stable for ever, independent, closed or collected when done."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model import ModelTree, check_equal, pattern

import cowtree


def test_snapshot_keeps_reading_its_root_after_later_commits(db: cowtree.Database) -> None:
    rng = random.Random(1)
    model = ModelTree()
    taken = []
    for step in range(60):
        with db.transaction() as txn:
            for _ in range(40):
                key, value = b"%04d" % rng.randrange(500), pattern(step, rng.randrange(300))
                txn[key] = value
                model.put(key, value)
        taken.append((db.snapshot(), model.copy(), step + 1))
    for snapshot, state, commit_id in taken:
        assert snapshot.commit_id == commit_id
        check_equal(snapshot, state)


def test_snapshot_keeps_what_was_cleared_and_dropped(db: cowtree.Database) -> None:
    db[b"k"] = b"v"
    db.tree("t")[b"a"] = b"b" * 10_000
    snapshot = db.snapshot()
    with db.transaction() as txn:
        txn.clear()
        txn.drop("t")
    db.tree("other")[b"x"] = b"y"
    assert dict(snapshot) == {b"k": b"v"}
    assert dict(snapshot.tree("t")) == {b"a": b"b" * 10_000}
    assert snapshot.trees() == ["t"]
    assert dict(snapshot.tree("other")) == {}


def test_each_snapshot_is_a_new_object_closed_on_its_own(db: cowtree.Database) -> None:
    db[b"k"] = b"v"
    one, two = db.snapshot(), db.snapshot()
    assert one is not two
    one.close()
    assert two[b"k"] == b"v"
    with pytest.raises(cowtree.ClosedError):
        one[b"k"]


def test_snapshot_does_not_see_an_open_transaction(db: cowtree.Database) -> None:
    db[b"k"] = b"old"
    with db.transaction() as txn:
        txn[b"k"] = b"new"
        snapshot = db.snapshot()
        assert snapshot[b"k"] == b"old"
        assert snapshot.commit_id == 1
    assert snapshot[b"k"] == b"old"


def test_with_closes_the_snapshot(db: cowtree.Database) -> None:
    db[b"k"] = b"v"
    with db.snapshot() as snapshot:
        assert snapshot[b"k"] == b"v"
    with pytest.raises(cowtree.ClosedError):
        snapshot[b"k"]
    snapshot.close()


def test_snapshots_and_their_iterators_outlive_the_database(path: Path) -> None:
    items = {b"%05d" % i: pattern(i, i % 200) for i in range(3000)}
    db = cowtree.open(path, sync=False)
    db.update(items)
    db.tree("t")[b"k"] = b"v"
    snapshot = db.snapshot()
    iterator = iter(snapshot.items())
    cursor = snapshot.cursor()
    first = next(iterator)
    db.close()
    del db
    gc.collect()
    assert dict([first, *iterator]) == items
    assert dict(snapshot) == items
    assert snapshot.tree("t")[b"k"] == b"v"
    assert cursor.last()
    snapshot.close()


def test_snapshot_survives_writes_through_a_reopened_database(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.update({b"%05d" % i: b"old" for i in range(3000)})
        snapshot = db.snapshot()
    for round_number in range(5):
        with cowtree.open(path, sync=False) as db:
            db.update({b"%05d" % i: b"%d" % round_number for i in range(3000)})
    assert set(snapshot.values()) == {b"old"}
    assert len(snapshot) == 3000


def test_snapshot_of_the_empty_state(db: cowtree.Database) -> None:
    snapshot = db.snapshot()
    db[b"k"] = b"v"
    check_equal(snapshot, ModelTree())
    assert snapshot.commit_id == 0
    assert snapshot.trees() == []


def test_snapshot_has_the_aware_time_of_its_commit(db: cowtree.Database) -> None:
    db[b"k"] = b"1"
    one = db.snapshot()
    db[b"k"] = b"2"
    two = db.snapshot()
    assert one.time.tzinfo is not None
    assert one.time <= two.time


@pytest.mark.parametrize(
    "begin",
    [iter, reversed, lambda r: iter(r.items()), lambda r: iter(r.values(reverse=True))],
    ids=["iter", "reversed", "items", "values"],
)
def test_iterators_fail_rather_than_end_when_their_snapshot_is_closed(
    db: cowtree.Database, begin: Callable[[Any], Any]
) -> None:
    db.update({b"%05d" % i: b"v" * 100 for i in range(2000)})
    snapshot = db.snapshot()
    started, fresh = begin(snapshot), begin(snapshot)
    next(started)
    snapshot.close()
    for iterator in (started, fresh, started, fresh):
        with pytest.raises(cowtree.ClosedError):
            next(iterator)


def test_views_and_cursors_fail_when_their_snapshot_is_closed(db: cowtree.Database) -> None:
    db[b"k"] = b"v"
    snapshot = db.snapshot()
    tree, view, cursor = snapshot.tree(None), snapshot.keys(), snapshot.cursor()
    assert cursor.first()
    snapshot.close()
    calls: list[Callable[[], object]] = [
        lambda: tree[b"k"],
        lambda: list(view),
        lambda: len(view),
        lambda: b"k" in view,
        lambda: view[0],
        cursor.first,
        cursor.next,
        lambda: cursor.seek(b"k"),
    ]
    for call in calls:
        with pytest.raises(cowtree.ClosedError):
            call()
    repr(tree), repr(view), repr(cursor)


def test_hundreds_of_snapshots_of_a_changing_database(db: cowtree.Database) -> None:
    snapshots = []
    for i in range(500):
        db[b"k"] = b"%d" % i
        snapshots.append(db.snapshot())
    assert [snapshot[b"k"] for snapshot in snapshots] == [b"%d" % i for i in range(500)]
    for snapshot in snapshots[::2]:
        snapshot.close()
    assert [snapshot[b"k"] for snapshot in snapshots[1::2]] == [b"%d" % i for i in range(1, 500, 2)]


def test_snapshot_of_a_read_only_handle(path: Path) -> None:
    with cowtree.open(path, sync=False) as db, cowtree.open(path, readonly=True) as reader:
        db[b"k"] = b"1"
        snapshot = reader.snapshot()
        db[b"k"] = b"2"
        assert snapshot[b"k"] == b"1"
        assert reader[b"k"] == b"2"


def test_writes_to_a_snapshot_are_impossible(db: cowtree.Database) -> None:
    snapshot: Any = db.snapshot()
    for reader in (snapshot, snapshot.tree("t")):
        for name in ("put", "delete", "update", "pop", "clear", "replace", "delete_range", "load"):
            assert not hasattr(reader, name)
        with pytest.raises((TypeError, AttributeError)):
            reader[b"k"] = b"v"
        with pytest.raises((TypeError, AttributeError)):
            del reader[b"k"]


def test_snapshots_in_cycles_of_garbage_are_forgotten(path: Path) -> None:
    """The list of open snapshots borrows them: each takes itself out, however it ends."""

    class Holder:
        snapshot: cowtree.Snapshot
        itself: Holder

    class Subclass(dict[str, object]):
        pass

    rng = random.Random(2)
    with cowtree.open(path, sync=False) as db:
        kept: list[cowtree.Snapshot] = []
        for i in range(300):
            db[b"k"] = b"%d" % i
            holder = Holder()
            holder.itself = holder
            holder.snapshot = db.snapshot()
            cycle = Subclass(snapshot=db.snapshot())
            cycle["cycle"] = cycle
            kept.append(db.snapshot())
            if rng.random() < 0.3:
                kept.pop(rng.randrange(len(kept))).close()
            if rng.random() < 0.3:
                kept.pop(rng.randrange(len(kept)))
            if rng.random() < 0.1:
                gc.collect()
        holder = Holder()
        cycle = Subclass()
        gc.collect()
        assert db.stats().snapshots == len(kept)
        db.compact()
        newest = {db.commit_id}
        assert {c.id for c in db.history()} == {s.commit_id for s in kept} | newest
        assert [s[b"k"] for s in kept] == [b"%d" % (s.commit_id - 1) for s in kept]
