"""Long seeded runs against the model: growth, churn and shrinking in orders that are hard."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from model import (
    ModelTree,
    check_equal,
    check_key,
    check_position,
    check_range,
    check_split,
    pattern,
)

import cowtree

OPERATIONS = 20_000
PER_TRANSACTION = 500


def assert_sound(db: cowtree.Database) -> None:
    report = db.check()
    assert report.ok, report.problems


def assert_same(db: cowtree.Database, tree: ModelTree, rng: random.Random) -> None:
    """Sound, equal to the model, and right in a sample of its keys, ranges and positions."""
    assert_sound(db)
    check_equal(db, tree)
    assert list(reversed(db)) == tree.keys[::-1]
    for _ in range(20):
        low, high = sorted(rng.choices(tree.keys, k=2)) if tree.keys else (b"a", b"b")
        check_key(db, tree, low)
        check_key(db, tree, low + b"\0")
        check_range(db, tree, low, high, None, (rng.random() < 0.5, rng.random() < 0.5))
        check_position(db, tree, rng.randint(-len(tree) - 2, len(tree) + 2))
    check_split(db, tree, rng.randint(1, 40))


def put_all(db: cowtree.Database, tree: ModelTree, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """One put at a time, PER_TRANSACTION of them in a transaction."""
    pairs = list(pairs)
    for start in range(0, len(pairs), PER_TRANSACTION):
        with db.transaction() as txn:
            for key, value in pairs[start : start + PER_TRANSACTION]:
                txn[key] = value
                tree.put(key, value)


def delete_all(db: cowtree.Database, tree: ModelTree, keys: Iterable[bytes]) -> None:
    """One delete at a time, PER_TRANSACTION of them in a transaction."""
    keys = list(keys)
    for start in range(0, len(keys), PER_TRANSACTION):
        with db.transaction() as txn:
            for key in keys[start : start + PER_TRANSACTION]:
                assert txn.delete(key)
                assert tree.delete(key)


def ascending(rng: random.Random) -> list[bytes]:
    return [b"%016d" % i for i in range(OPERATIONS)]


def descending(rng: random.Random) -> list[bytes]:
    return ascending(rng)[::-1]


def shuffled(rng: random.Random) -> list[bytes]:
    keys = ascending(rng)
    rng.shuffle(keys)
    return keys


def interleaved_ascending(rng: random.Random) -> list[bytes]:
    """Thirteen streams, each ascending, their keys far apart."""
    counters = [0] * 13
    keys = []
    for _ in range(OPERATIONS):
        stream = rng.randrange(13)
        counters[stream] += 1
        keys.append(b"stream-%02d/%08d" % (stream, counters[stream]))
    return keys


ORDERS: list[Callable[[random.Random], list[bytes]]] = [
    ascending,
    descending,
    shuffled,
    interleaved_ascending,
]


@pytest.mark.parametrize("removal", ["forward", "backward", "random"])
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
def test_growing_and_shrinking_to_empty_equals_the_model(
    path: Path, order: Callable[[random.Random], list[bytes]], removal: str
) -> None:
    rng = random.Random(f"{order.__name__} {removal}")
    tree = ModelTree()
    with cowtree.open(path, sync=False) as db:
        put_all(db, tree, ((key, key[-3:] * rng.randint(0, 30)) for key in order(rng)))
        assert_same(db, tree, rng)
        keys = list(tree.keys)
        if removal == "backward":
            keys.reverse()
        elif removal == "random":
            rng.shuffle(keys)
        half = len(keys) // 2
        delete_all(db, tree, keys[:half])
        assert_same(db, tree, rng)
        delete_all(db, tree, keys[half:-1])
        assert_same(db, tree, rng)
        delete_all(db, tree, keys[-1:])
        assert len(db) == 0
        assert not db
        assert_sound(db)
        db[b"after"] = b"all"
        assert dict(db) == {b"after": b"all"}
    with cowtree.open(path) as db:
        assert dict(db) == {b"after": b"all"}
        assert_sound(db)


def churn(
    db: cowtree.Database,
    rng: random.Random,
    operations: int,
    new_key: Callable[[], bytes],
    new_value: Callable[[], bytes],
    rounds: int = 8,
) -> ModelTree:
    """Random operations in transactions, a fifth of them rolled back; compared after each round."""
    tree = ModelTree()
    for _ in range(rounds):
        growing = rng.choice([0.4, 0.6, 0.85, 0.85])
        done = 0
        while done < operations // rounds:
            size = rng.choice([1, 3, 30, 300])
            done += size
            before = tree.copy()
            txn = db.transaction()
            for _ in range(size):
                one_operation(txn, tree, rng, growing, new_key, new_value)
            if rng.random() < 0.2:
                txn.rollback()
                tree = before
            else:
                txn.commit()
        assert_same(db, tree, rng)
    return tree


def one_operation(
    txn: Any,
    tree: ModelTree,
    rng: random.Random,
    growing: float,
    new_key: Callable[[], bytes],
    new_value: Callable[[], bytes],
) -> None:
    """One put, delete, pop, popitem or (rarely) delete_range on both."""
    choice = rng.random()
    if choice < growing or not tree.keys:
        key, value = new_key(), new_value()
        txn[key] = value
        tree.put(key, value)
    elif choice < growing + 0.1:
        key, value = rng.choice(tree.keys), new_value()
        assert txn.replace(key, value) == tree.get(key)
        tree.put(key, value)
    elif choice < 0.97:
        key = rng.choice(tree.keys)
        assert txn.pop(key) == tree.get(key)
        tree.delete(key)
    elif choice < 0.99:
        last = rng.random() < 0.5
        item = tree.item_at(len(tree) - 1 if last else 0)
        assert item is not None
        assert txn.popitem(last) == item
        tree.delete(item[0])
    else:
        start = rng.randrange(len(tree))
        keys = tree.keys[start : start + rng.choice([1, 5, 40])]
        assert txn.delete_range(keys[0], keys[-1] + b"\0") == len(keys)
        tree.delete_keys(keys)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("write_memory", [1 << 16, 64 << 20], ids=["spilling", "in_memory"])
def test_churn_of_short_keys_equals_the_model(path: Path, seed: int, write_memory: int) -> None:
    rng = random.Random(seed)
    with cowtree.open(path, sync=False, write_memory=write_memory) as db:
        churn(
            db,
            rng,
            60_000,
            lambda: rng.randbytes(rng.choice([1, 2, 3, 8])),
            lambda: rng.randbytes(rng.randint(0, 40)),
        )


def test_churn_equals_the_model_with_every_page_size(path: Path, page_size: int) -> None:
    rng = random.Random(page_size)
    with cowtree.open(path, sync=False, page_size=page_size) as db:
        longest = db.key_size_max
        churn(
            db,
            rng,
            12_000,
            lambda: (
                rng.choice([b"k", b"key/", b""]) + b"%d" % rng.randrange(10 ** rng.randint(1, 7))
            ),
            lambda: pattern(rng.randrange(99), rng.choice([0, 5, 60, page_size // 3])),
            rounds=4,
        )
        assert longest >= 1000


@pytest.mark.parametrize("mmap", [True, False], ids=["mapped", "positional"])
def test_churn_of_values_around_the_inline_limit_and_of_many_pages_equals_the_model(
    path: Path, mmap: bool
) -> None:
    rng = random.Random("values")
    sizes = [0, 1, 1900, 2000, 2010, 2020, 2028, 2030, 2100, 4000, 4024, 4025, 4096, 9000, 20_000]
    with cowtree.open(path, sync=False, mmap=mmap) as db:
        churn(
            db,
            rng,
            12_000,
            lambda: b"%04d" % rng.randrange(900),
            lambda: pattern(rng.randrange(1000), rng.choice(sizes) + rng.randint(0, 8)),
            rounds=4,
        )


def test_churn_of_nested_prefixes_equals_the_model(path: Path) -> None:
    rng = random.Random("nested")
    with cowtree.open(path, sync=False) as db:
        churn(
            db,
            rng,
            12_000,
            lambda: (
                rng.choice([b"a", b"\0", b"\xff"]) * rng.randint(0, 1000)
                + rng.randbytes(rng.choice([0, 0, 1, 2]))
            ),
            lambda: pattern(rng.randrange(1000), rng.choice([0, 3, 300])),
            rounds=5,
        )


@pytest.mark.parametrize("seed", range(3))
def test_big_range_deletes_equal_the_model(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    tree = ModelTree()
    with cowtree.open(path, sync=False) as db:
        put_all(
            db,
            tree,
            (
                (b"%08d" % rng.randrange(10**8), b"v" * rng.randint(0, 99))
                for _ in range(OPERATIONS)
            ),
        )
        while tree.keys:
            start = rng.randrange(len(tree))
            stop = min(len(tree), start + rng.choice([1, 50, 2000, 8000]))
            low = tree.keys[start]
            high = tree.keys[stop] if stop < len(tree) else None
            found = tree.range(low, high)
            assert db.delete_range(low, high) == len(found)
            tree.delete_keys(found)
            assert len(db) == len(tree)
            if rng.random() < 0.1:
                assert_same(db, tree, rng)
            if rng.random() < 0.2:
                put_all(db, tree, ((b"%08d" % rng.randrange(10**8), b"new") for _ in range(300)))
            if len(tree) < 200:
                db.clear()
                tree.clear()
        assert len(db) == 0
        assert_sound(db)


def deep_pairs(count: int, longest: int, rng: random.Random) -> list[tuple[bytes, bytes]]:
    """Two fit a leaf, and half of the separators are hundreds of bytes long: low fan-out."""
    pairs = []
    for i in range(count):
        group = rng.randbytes(4) if i % 4 == 0 else group  # noqa: F821 - the previous round's
        key = (group + b"x" * longest)[: longest - 1] + bytes([i % 4])
        pairs.append((key, pattern(i, 1000)))
    return pairs


@pytest.mark.parametrize("write_memory", [1 << 16, 64 << 20], ids=["spilling", "in_memory"])
def test_tree_grows_to_depth_four_and_back(path: Path, write_memory: int) -> None:
    rng = random.Random("depth")
    tree = ModelTree()
    with cowtree.open(path, sync=False, write_memory=write_memory) as db:
        db[b"one"] = b""
        shallow = db.stats().depth
        tree.put(b"one", b"")
        put_all(db, tree, deep_pairs(4000, db.key_size_max, rng))
        assert db.stats().depth >= shallow + 3
        assert_same(db, tree, rng)
        snapshot = db.snapshot()
        frozen = tree.copy()
        keys = list(tree.keys)
        rng.shuffle(keys)
        delete_all(db, tree, keys[: len(keys) * 9 // 10])
        assert_same(db, tree, rng)
        delete_all(db, tree, keys[len(keys) * 9 // 10 : -1])
        assert db.stats().depth == shallow
        assert_same(db, tree, rng)
        check_equal(snapshot, frozen)
        snapshot.close()


def test_thousands_of_single_commits_equal_the_model(path: Path) -> None:
    rng = random.Random("commits")
    tree = ModelTree()
    kept = []
    with cowtree.open(path, sync=False) as db:
        for step in range(5000):
            key = b"%d" % rng.randrange(2000)
            if rng.random() < 0.6:
                value = b"%d" % step
                db[key] = value
                tree.put(key, value)
            else:
                assert db.delete(key) is tree.delete(key)
            if step % 500 == 0:
                kept.append((db.snapshot(), tree.copy()))
                assert_sound(db)
        assert_same(db, tree, rng)
        for snapshot, state in kept:
            check_equal(snapshot, state)
    with cowtree.open(path) as db:
        assert_same(db, tree, rng)


@pytest.mark.parametrize("write_memory", [1 << 14, 64 << 20], ids=["spilling", "in_memory"])
@pytest.mark.parametrize("seed", range(4))
def test_sorted_runs_between_other_changes(path: Path, seed: int, write_memory: int) -> None:
    """Puts that stay in one leaf take a short cut; everything that can come between them must end it."""
    rng = random.Random(seed)
    model: dict[str | None, dict[bytes, bytes]] = {None: {}, "a": {}, "b": {}}
    with cowtree.open(path, sync=False, write_memory=write_memory) as db:
        for _ in range(12):
            with db.transaction() as txn:
                saved = None
                for _ in range(60):
                    name = rng.choice(list(model))
                    tree, expected = txn.tree(name), model[name]
                    start, step = rng.randrange(3000), rng.choice([1, 1, 1, -1, 7])
                    size = rng.choice([0, 8, 60, 300, 3000])
                    kind = rng.randrange(12)
                    if kind < 8:
                        for i in range(rng.randrange(1, 60)):
                            key = b"%05d" % max(0, start + i * step)
                            value = pattern(i, size)
                            tree.put(key, value)
                            expected[key] = value
                            if rng.random() < 0.03 and expected:
                                gone = rng.choice(list(expected))
                                del tree[gone], expected[gone]
                    elif kind == 8:
                        low, high = b"%05d" % start, b"%05d" % (start + rng.randrange(500))
                        tree.delete_range(low, high)
                        for key in [key for key in expected if low <= key < high]:
                            del expected[key]
                    elif kind == 9 and saved is None:
                        saved = txn.savepoint(), {key: dict(part) for key, part in model.items()}
                    elif kind == 10 and saved is not None:
                        saved[0].rollback()
                        model, saved = saved[1], None
                    elif kind == 11:
                        pairs = {b"%05d" % (start + i): pattern(i, size) for i in range(40)}
                        tree.update(pairs)
                        expected.update(pairs)
            assert db.check().ok
            for name, expected in model.items():
                assert list(db.tree(name).items()) == sorted(expected.items())
