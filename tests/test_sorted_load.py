"""`load` and `update` of sorted runs: leaves are built whole, and nobody can tell from what is read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cowtree

PAIRS = [(b"key %06d" % i, b"value %d" % (i * 7)) for i in range(3000)]


@pytest.fixture
def db() -> Iterator[cowtree.Database]:
    with cowtree.open(":memory:") as database:
        yield database


def test_a_sorted_load_fills_its_pages(db: cowtree.Database) -> None:
    assert db.load(PAIRS) == len(PAIRS)
    assert list(db.items()) == PAIRS
    assert db.check().problems == ()
    stats = db.stats(deep=True)
    assert stats.leaf_fill is not None and stats.leaf_fill > 0.95


def test_a_run_behind_what_is_there(db: cowtree.Database) -> None:
    db.load(PAIRS[:1000])
    with db.transaction() as txn:
        txn.update(PAIRS[1000:2000])
        txn.put(b"key 001500 a", b"between")
        txn.update(dict(PAIRS[2000:]))
    assert list(db.items()) == sorted([*PAIRS, (b"key 001500 a", b"between")])
    assert db.check().problems == ()
    assert db.rank(b"key 002000") == 2001
    assert db.nth(2500) == PAIRS[2499]


@pytest.mark.parametrize("bytes_in_page", [4096, 65536])
def test_a_transaction_larger_than_its_memory(tmp_path: Path, bytes_in_page: int) -> None:
    pairs = [(b"%09d" % i, b"x" * 100) for i in range(30_000)]
    with cowtree.open(tmp_path / "db", page_size=bytes_in_page, write_memory=1 << 20) as db:
        db.load(iter(pairs))
        assert list(db.items()) == pairs
        assert db.check().problems == ()
    with cowtree.open(tmp_path / "db") as db:
        assert len(db) == len(pairs)
        assert db.check().problems == ()


def test_what_does_not_continue_the_run_is_put_in_its_place(db: cowtree.Database) -> None:
    strange = [
        *PAIRS[:500],
        PAIRS[499],  # the last key again
        (b"key 000010", b"new"),  # one from before
        *PAIRS[500:900],
        (b"key 000899", b"newer"),
        (bytearray(b"key 000900"), memoryview(b"buffers")),
        [b"key 000901", b"a list"],
        (b"key 000902", b"L" * 5000),  # a run of pages
        *PAIRS[903:1500],
        (b"", b"the first key"),
        *PAIRS[1500:],
    ]
    expected: dict[bytes, bytes] = {}
    for key, value in strange:
        expected[bytes(key)] = bytes(value)
    assert db.load(strange) == len(strange)  # type: ignore[arg-type]
    assert list(db.items()) == sorted(expected.items())
    assert db.check().problems == ()


def test_the_input_sees_what_was_stored_before_it(db: cowtree.Database) -> None:
    with db.transaction() as txn:

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            for i, pair in enumerate(PAIRS):
                yield pair
                if i % 50 == 0:
                    assert txn.get(pair[0]) == pair[1]
                    assert len(txn) == i + 1
                if i % 77 == 0:
                    assert txn.last() == pair
                if i % 130 == 0:
                    assert list(txn.keys())[i] == pair[0]
                if i == 1000:
                    txn.delete(PAIRS[999][0])
                    txn.put(PAIRS[999][0], PAIRS[999][1])

        txn.load(pairs())
    assert list(db.items()) == PAIRS
    assert db.check().problems == ()


def test_an_iterator_goes_on_over_a_run_that_grows(db: cowtree.Database) -> None:
    db.load(PAIRS[:100])
    seen = []
    with db.transaction() as txn:
        items = iter(txn.items())

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            for pair in PAIRS[100:]:
                seen.append(next(items))
                yield pair

        txn.load(pairs())
        seen.extend(items)
    assert seen == PAIRS


@pytest.mark.parametrize("at", [10, 640, 2500])
def test_an_error_in_the_input_stores_nothing(db: cowtree.Database, at: int) -> None:
    db.load(PAIRS[:300])

    def pairs() -> Iterator[tuple[bytes, bytes]]:
        for i, pair in enumerate(PAIRS[300:]):
            if i == at:
                raise RuntimeError("the input ends badly")
            yield pair

    with db.transaction() as txn:
        txn[b"other"] = b"1"
        with pytest.raises(RuntimeError):
            txn.load(pairs())
        assert list(txn.items()) == [*PAIRS[:300], (b"other", b"1")]
        with pytest.raises(TypeError):
            txn.load([*PAIRS[300:2000], (b"z", "text")])  # type: ignore[list-item]
        assert len(txn) == 301
        txn.load(PAIRS[300:])
    assert dict(db.items()) == {**dict(PAIRS), b"other": b"1"}
    assert db.check().problems == ()


def test_savepoints_that_the_input_opens(db: cowtree.Database) -> None:
    with db.transaction() as txn:

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            yield from PAIRS[:700]
            savepoint = txn.savepoint()
            yield from PAIRS[700:1500]
            savepoint.rollback()
            yield from PAIRS[2000:2700]
            with txn.savepoint():
                yield from PAIRS[2700:]

        txn.load(pairs())
        assert list(txn.items()) == PAIRS[:700] + PAIRS[2000:]
    assert list(db.items()) == PAIRS[:700] + PAIRS[2000:]
    assert db.check().problems == ()


def test_a_transaction_that_the_input_ends(db: cowtree.Database) -> None:
    txn = db.transaction()

    def pairs() -> Iterator[tuple[bytes, bytes]]:
        yield from PAIRS[:1000]
        txn.rollback()
        yield from PAIRS[1000:]

    with pytest.raises(cowtree.TransactionError):
        txn.load(pairs())
    assert len(db) == 0


def test_one_input_feeds_another_tree(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        other = txn.tree("other")

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            for i, pair in enumerate(PAIRS):
                if i % 600 == 599:
                    other.load(PAIRS[i - 599 : i])
                yield pair

        txn.load(pairs())
    assert list(db.items()) == PAIRS
    assert list(db.tree("other").items()) == [
        pair for i, pair in enumerate(PAIRS) if i % 600 != 599
    ]
    assert db.check().problems == ()


RUNS = st.lists(
    st.tuples(
        st.integers(0, 2000),  # where it begins
        st.integers(1, 300),  # how many
        st.integers(1, 5),  # how far apart
        st.sampled_from([b"%d", b"a long prefix that all of them have %08d", b"%08d", b"\x00%07d"]),
        st.sampled_from([0, 1, 40, 500, 1900]),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(RUNS, st.booleans())
def test_runs_of_any_kind(
    runs: list[tuple[int, int, int, bytes, int]], one_transaction: bool
) -> None:
    expected: dict[bytes, bytes] = {}
    pairs = [
        [(shape % (start + i * step), random.Random(i).randbytes(size)) for i in range(count)]
        for start, count, step, shape, size in runs
    ]
    with cowtree.open(":memory:") as db:
        if one_transaction:
            with db.transaction() as txn:
                for run in pairs:
                    txn.load(run)
        else:
            for run in pairs:
                db.load(run)
        for run in pairs:
            expected.update(run)
        assert list(db.items()) == sorted(expected.items())
        assert len(db) == len(expected)
        assert db.check().problems == ()


def test_input_that_ends_the_savepoint_around_it(db: cowtree.Database) -> None:
    """What it gave until then belongs to whoever opened the savepoint; nothing that was waiting is touched later."""
    txn = db.transaction()
    savepoint = txn.savepoint()

    def pairs() -> Iterator[tuple[bytes, bytes]]:
        yield from PAIRS[:500]
        savepoint.__exit__(None, None, None)
        yield b"z", b""

    with pytest.raises(cowtree.TransactionError):
        txn.update(pairs())
    assert list(txn.items()) == PAIRS[: len(txn)]
    txn.commit()
    assert db.check().problems == ()
