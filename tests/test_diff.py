"""Differences: structural, over one or all trees, of commits and of open transactions; the change feed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree import ALL, Change, SnapshotGoneError

pytestmark = pytest.mark.usefixtures("left_large")

State = dict[str | None, dict[bytes, bytes]]


def expected_changes(
    old: State, new: State, low: bytes | None = None, high: bytes | None = None
) -> list[Change]:
    """The difference of two models, compared entry by entry."""
    changes = []
    names = sorted(
        {name for name in (*old, *new) if name is not None}, key=lambda name: name.encode()
    )
    for name in (None, *names):
        before, after = old.get(name, {}), new.get(name, {})
        for key in sorted(before.keys() | after.keys()):
            if (low is not None and key < low) or (high is not None and key >= high):
                continue
            if key not in after:
                changes.append(Change(name, key, "removed", before[key], None))
            elif key not in before:
                changes.append(Change(name, key, "added", None, after[key]))
            elif before[key] != after[key]:
                changes.append(Change(name, key, "changed", before[key], after[key]))
    return changes


def without_values(changes: Iterable[Change]) -> list[Change]:
    return [Change(c.tree, c.key, c.kind, None, None) for c in changes]


def change_at_random(rng: random.Random, txn: cowtree.Transaction, state: State) -> None:
    """One step of many kinds, in the transaction and in the model."""
    name = rng.choice([None, None, None, "a", "b"])
    tree = txn.tree(name)
    model = state.setdefault(name, {})
    kind = rng.random()
    if kind < 0.15:
        low, high = sorted(b"%05d" % rng.randrange(9000) for _ in range(2))
        tree.delete_range(low, high)
        for key in [key for key in model if low <= key < high]:
            del model[key]
    elif kind < 0.2 and name is not None:
        txn.drop(name)
        del state[name]
    elif kind < 0.25:
        tree.clear()
        model.clear()
    elif kind < 0.55:
        for _ in range(rng.choice([1, 3, 50])):
            key = b"%05d" % rng.randrange(9000)
            tree.delete(key)
            model.pop(key, None)
    else:
        for _ in range(rng.choice([1, 3, 50, 3000])):
            key = b"%05d" % rng.randrange(9000)
            value = rng.randbytes(rng.choice([0, 10, 10, 10, 200, 3000]))
            tree[key] = value
            model[key] = value


@pytest.mark.parametrize("seed", range(12))
def test_differences_equal_a_full_comparison(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    db = cowtree.open(path, sync=False)
    states: list[State] = [{}]
    for _ in range(rng.choice([5, 25])):
        state = {name: dict(tree) for name, tree in states[-1].items()}
        if len(states) > 3 and rng.random() < 0.15:
            at = rng.randrange(len(states))
            if db.restore(at) == len(states):
                states.append(states[at])
            continue
        with db.transaction() as txn:
            for _ in range(rng.choice([1, 1, 4])):
                change_at_random(rng, txn, state)
        if db.commit_id == len(states):
            states.append(state)
    for _ in range(60):
        a, b = rng.randrange(len(states)), rng.randrange(len(states))
        assert list(db.diff(a, b)) == expected_changes(states[a], states[b]), (a, b)
        assert list(db.diff(a, b, values=False)) == without_values(
            expected_changes(states[a], states[b])
        )
        low, high = (rng.choice([None, b"%05d" % rng.randrange(9000), b"04"]) for _ in range(2))
        assert list(db.diff(a, b, start=low, stop=high)) == expected_changes(
            states[a], states[b], low, high
        ), (a, b, low, high)
    name = rng.choice([None, "a", "b"])
    only = [c for c in expected_changes(states[1], states[-1]) if c.tree == name]
    assert list(db.diff(1, tree=name)) == only
    assert list(db.tree(name).diff(1)) == only
    assert list(db.snapshot().tree(name).diff(1)) == only
    assert list(db.snapshot().diff(1)) == expected_changes(states[1], states[-1])
    prefix = b"03"
    assert list(db.diff(1, prefix=prefix)) == [
        c for c in expected_changes(states[1], states[-1]) if c.key.startswith(prefix)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_an_open_transaction_differs_from_any_commit(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    db = cowtree.open(path, sync=False, write_memory=rng.choice([1 << 30, 1 << 16]))
    states: list[State] = [{}]
    for _ in range(4):
        state = {name: dict(tree) for name, tree in states[-1].items()}
        with db.transaction() as txn:
            change_at_random(rng, txn, state)
            txn[b"always"] = b"%d" % len(states)
        state.setdefault(None, {})[b"always"] = b"%d" % len(states)
        states.append(state)
    state = {name: dict(tree) for name, tree in states[-1].items()}
    with db.transaction() as txn:
        for _ in range(6):
            change_at_random(rng, txn, state)
            for at in range(len(states)):
                assert list(txn.diff(at)) == expected_changes(states[at], state)
            assert list(txn.diff(2, tree="a")) == [
                c for c in expected_changes(states[2], state) if c.tree == "a"
            ]
            assert list(txn.tree(None).diff(2)) == [
                c for c in expected_changes(states[2], state) if c.tree is None
            ]
            with txn.savepoint() as savepoint:
                change_at_random(rng, txn, {n: dict(t) for n, t in state.items()})
                savepoint.rollback()
        txn.rollback()
    with pytest.raises(cowtree.TransactionError):
        txn.diff(0)


def test_a_transaction_may_change_while_its_difference_is_read(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db.update({b"%04d" % i: b"old" for i in range(1000)})
    with db.transaction() as txn:
        for i in range(0, 1000, 2):
            txn[b"%04d" % i] = b"new"
        seen = []
        for change in txn.diff(1):
            seen.append(change.key)
            txn[change.key] = b"old"  # behind the iterator
            txn.delete(b"%04d" % (int(change.key) + 3))  # ahead of it
        assert seen == sorted(seen)
        assert seen[:4] == [b"0000", b"0002", b"0003", b"0004"]
        assert list(txn.diff(1)) == [], "each difference was undone when it was met"


def test_shared_pages_are_not_read(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.load((b"%06d" % i, b"x" * 50) for i in range(100_000))
        with db.transaction() as txn:
            for i in (5, 50_000, 99_999):
                txn[b"%06d" % i] = b"changed"
            txn[b"big"] = b"y" * 100_000
        db[b"big"] = b"z" * 100_000
    data = bytearray(path.read_bytes())
    page = 400 * 4096  # a leaf from the first quarter of the keys
    assert data[page + 24] == 3
    data[page + 3000] ^= 1
    path.write_bytes(data)
    with cowtree.open(path) as db:
        assert [c.key for c in db.diff(1, 2)] == [b"000005", b"050000", b"099999", b"big"]
        assert [(c.key, c.kind) for c in db.diff(2, 3)] == [(b"big", "changed")]
        with pytest.raises(cowtree.CorruptionError):
            list(db.diff(0, 3))


def test_one_difference_at_each_place_of_a_tree(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    count = 3000
    db.load((b"%06d" % i, b"x" * 30) for i in range(count))
    for i in [*range(0, count, 37), count - 1]:
        key = b"%06d" % i
        db[key] = b"changed"
        assert list(db.diff(db.commit_id - 1)) == [
            Change(None, key, "changed", b"x" * 30, b"changed")
        ]
        del db[key]
        assert list(db.diff(db.commit_id - 1)) == [Change(None, key, "removed", b"changed", None)]
        assert list(db.diff(db.commit_id, db.commit_id - 1)) == [
            Change(None, key, "added", None, b"changed")
        ]
        db[key] = b"x" * 30


def test_iterators_pin_and_end_as_reads_do(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db.update({b"%04d" % i: b"x" for i in range(500)})
    snapshot = db.snapshot()
    by_database, by_snapshot = db.diff(0), snapshot.diff(0)
    next(by_database), next(by_snapshot)
    db.clear()
    assert len(list(db.diff(0, 1))) == 500
    db.close()
    with pytest.raises(cowtree.ClosedError):
        next(by_database)
    assert len(list(by_snapshot)) == 499
    older = snapshot.diff(0)
    snapshot.close()
    with pytest.raises(cowtree.ClosedError):
        next(older)
    with pytest.raises(cowtree.ClosedError):
        snapshot.diff(0)


def test_wrong_arguments(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db[b"k"] = b"v"
    for wrong in (None, 1.5, b"1", True):
        with pytest.raises(TypeError):
            db.snapshot().diff(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            db.changes(wrong)  # type: ignore[arg-type]
    with pytest.raises(SnapshotGoneError):
        db.diff(5)
    with pytest.raises(SnapshotGoneError):
        db.changes(5)
    with pytest.raises(KeyError):
        db.diff("no such tag")
    with pytest.raises(TypeError):
        db.diff(0, tree=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        db.diff(0, start="text")  # type: ignore[arg-type]
    assert list(db.diff(0, tree="missing")) == []


def test_a_feed_resumes_where_it_stopped(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    rng = random.Random(1)
    copy: State = {}
    state: State = {}
    position = 0
    for _ in range(20):
        for _ in range(rng.randrange(3)):
            with db.transaction() as txn:
                change_at_random(rng, txn, state)
        feed = db.changes(position)
        assert feed.position == position
        for change in feed:
            tree = copy.setdefault(change.tree, {})
            assert tree.get(change.key) == change.old
            if change.new is None:
                del tree[change.key]
            else:
                tree[change.key] = change.new
        assert feed.position == db.commit_id
        assert list(feed) == list(db.diff(position))
        position = feed.position
        assert {n: t for n, t in copy.items() if t} == {n: t for n, t in state.items() if t}
    assert list(db.changes(position)) == []
    assert [c.kind for c in db.changes(0)] == ["added"] * sum(len(t) for t in state.values())


def test_a_feed_that_is_interrupted_keeps_its_position(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db.update({b"a": b"1", b"b": b"2"})
    feed = db.changes(0)
    for _ in feed:
        break
    assert feed.position == 0
    db[b"c"] = b"3"
    assert [c.key for c in feed] == [b"a", b"b"], "a feed goes up to the commit it was made at"
    assert feed.position == 1
    assert [c.key for c in db.changes(feed.position, values=False)] == [b"c"]
    assert "1" in repr(feed)


def test_changes_are_values(path: Path) -> None:
    change = Change("t", b"k", "added", None, b"v")
    assert change == Change("t", b"k", "added", None, b"v") and hash(change)
    with pytest.raises(AttributeError):
        change.key = b"x"  # type: ignore[misc]
    options: dict[str, Any] = {"tree": ALL}
    db = cowtree.open(path, sync=False)
    db.tree("t")[b"k"] = b"v"
    assert list(db.diff(0, **options)) == [change]
