"""Large transactions fill up their leaves before they are written; what is read stays the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import cowtree

SHAPES = {
    "random": lambda rng: rng.randbytes(16),
    "prefix": lambda rng: b"a long prefix that all keys have " + rng.randbytes(rng.randrange(8)),
    "integers": lambda rng: rng.randrange(1 << 20).to_bytes(8, "big"),
    "mixed": lambda rng: rng.randbytes(rng.choice([0, 1, 2, 3, 40, 900])),
    "two groups": lambda rng: rng.choice([b"a" * 500, b"b" * 90]) + rng.randbytes(3),
}


def verify(db: cowtree.Database, model: dict[bytes, bytes]) -> None:
    assert db.check().problems == ()
    expected = sorted(model.items())
    assert list(db.items()) == expected
    for position in range(0, len(expected), max(1, len(expected) // 50)):
        key = expected[position][0]
        assert db.rank(key) == position
        assert db.nth(position) == expected[position]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bytes_in_page", [4096, 16384])
def test_a_large_transaction_of_any_shape(path: Path, shape: str, bytes_in_page: int) -> None:
    rng = random.Random(f"{shape}{bytes_in_page}")
    model: dict[bytes, bytes] = {}
    with cowtree.open(path, sync=False, page_size=bytes_in_page) as db:
        for turn in range(4):
            with db.transaction() as txn:
                for _ in range(4000):
                    key = SHAPES[shape](rng)
                    model[key] = rng.randbytes(rng.choice([0, 10, 100, 700, 1800]))
                    txn[key] = model[key]
                for key in rng.sample(sorted(model), len(model) // 5):
                    del model[key], txn[key]
                if turn == 2:
                    large = SHAPES[shape](rng)
                    model[large] = txn[large] = bytes(100_000)
            verify(db, model)
        for key in rng.sample(sorted(model), 50):
            db[key] = model[key] = b"after"
        verify(db, model)
    with cowtree.open(path) as db:
        verify(db, model)


def test_random_puts_leave_full_leaves(db: cowtree.Database) -> None:
    rng = random.Random(5)
    model = {rng.randbytes(16): rng.randbytes(100) for _ in range(20_000)}
    with db.transaction() as txn:
        for key, value in model.items():
            txn[key] = value
    stats = db.stats(deep=True)
    assert stats.leaf_fill is not None and stats.leaf_fill > 0.84
    verify(db, model)


def test_named_trees_and_savepoints(db: cowtree.Database) -> None:
    rng = random.Random(6)
    names = ["a", "b"]
    models: dict[str, dict[bytes, bytes]] = {name: {} for name in names}
    with db.transaction() as txn:
        for i in range(10_000):
            name = rng.choice(names)
            key = rng.randbytes(12)
            models[name][key] = rng.randbytes(60)
            txn.tree(name)[key] = models[name][key]
            if i == 5000:
                with txn.savepoint() as savepoint:
                    txn.tree("a").clear()
                    savepoint.rollback()
    for name in names:
        assert dict(db.tree(name).items()) == models[name]
        assert db.tree(name).nth(100)[0] == sorted(models[name])[100]
    assert db.check().problems == ()
    assert db.stats(deep=True).leaf_fill > 0.84  # type: ignore[operator]


def test_an_older_commit_keeps_its_pages(db: cowtree.Database) -> None:
    rng = random.Random(7)
    first = {rng.randbytes(8): b"1" * 80 for _ in range(5000)}
    db.update(first)
    snap = db.snapshot()
    with db.transaction() as txn:
        for _ in range(5000):
            txn[rng.randbytes(8)] = b"2" * 80
        for key in list(first)[::3]:
            txn[key] = b"3" * 80
    assert dict(snap.items()) == first
    assert {c.key for c in db.diff(snap) if c.kind == "changed"} == set(list(first)[::3])
    assert db.check().problems == ()
