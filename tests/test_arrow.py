"""Columns out: ranges and look-ups as Arrow arrays hold what iteration gives."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cowtree
from cowtree.codecs import Text

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")

PAIRS = [(b"key %05d" % i, b"v" * (i % 120)) for i in range(5000)]


@pytest.fixture
def filled(path: Path) -> Iterator[cowtree.Database]:
    with cowtree.open(path, sync=False) as db:
        db.load(PAIRS)
        yield db


def pairs_of(table: Any) -> list[tuple[bytes, bytes]]:
    assert table.schema.names == ["key", "value"]
    table.validate(full=True)
    return list(zip(table["key"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_items_keys_and_values(filled: cowtree.Database) -> None:
    snap = filled.snapshot()
    assert pairs_of(snap.items().to_arrow()) == PAIRS
    assert snap.keys().to_arrow().to_pylist() == [key for key, _ in PAIRS]
    assert snap.values().to_arrow().to_pylist() == [value for _, value in PAIRS]
    assert pairs_of(filled.items().to_arrow()) == PAIRS
    assert pairs_of(filled.items(reverse=True).to_arrow()) == PAIRS[::-1]
    assert pairs_of(snap.items(prefix=b"key 012").to_arrow()) == PAIRS[1200:1300]
    assert pairs_of(snap.items(b"x", b"a").to_arrow()) == []
    assert snap.tree("none").keys().to_arrow().to_pylist() == []


def test_batches_end_where_they_are_told(filled: cowtree.Database) -> None:
    batches = list(filled.snapshot().items().arrow_batches(rows=1300))
    assert [len(batch) for batch in batches] == [1300, 1300, 1300, 1100]
    assert pairs_of(pa.Table.from_batches(batches)) == PAIRS
    assert [len(batch) for batch in filled.keys().arrow_batches(rows=4999)] == [4999, 1]
    for rows in (0, -1):
        with pytest.raises(ValueError, match="at least one row"):
            filled.keys().arrow_batches(rows=rows)


def test_large_values_and_full_batches(db: cowtree.Database) -> None:
    pairs = [(b"%03d" % i, random.Random(i).randbytes(i * 3000)) for i in range(60)]
    pairs.append((b"large", bytes(40 << 20)))
    db.load(pairs)
    batches = list(db.snapshot().items().arrow_batches())
    assert pairs_of(pa.Table.from_batches(batches)) == pairs
    assert [batch for batch in batches if batch.nbytes > 17 << 20] == [batches[-1]]
    assert db.snapshot().values(reverse=True).to_arrow().to_pylist() == [v for _, v in pairs[::-1]]


@pytest.mark.parametrize("mapped", [True, False])
def test_a_view_is_of_one_commit(path: Path, mapped: bool) -> None:
    with cowtree.open(path, sync=False, mmap=mapped) as db:
        db.load(PAIRS)
        batches = db.items().arrow_batches(rows=100)
        first = next(batches)
        db.delete_range(b"key 00050", b"key 04000")
        db[b"key 00200"] = b"other"
        rest = list(batches)
        assert pairs_of(pa.Table.from_batches([first, *rest])) == PAIRS


def test_a_transaction_gives_what_it_sees(filled: cowtree.Database) -> None:
    with filled.transaction() as txn:
        txn[b"key 00001"] = b"new"
        del txn[b"key 00003"]
        expected = [(k, b"new" if k == b"key 00001" else v) for k, v in PAIRS]
        del expected[3]
        assert pairs_of(txn.items().to_arrow()) == expected
        assert txn.get_column([b"key 00001", b"key 00003"]).to_pylist() == [b"new", None]
        batches = txn.keys().arrow_batches(rows=10)
        assert next(batches).to_pylist()[-1] == b"key 00010"
        del txn[b"key 00011"]
        assert next(batches).to_pylist()[0] == b"key 00012"


def test_get_column_marks_what_is_missing(filled: cowtree.Database) -> None:
    keys = [b"key %05d" % random.Random(i).randrange(6000) for i in range(3000)]
    expected = filled.get_many(keys)
    column = filled.snapshot().get_column(keys)
    column.validate(full=True)
    assert column.to_pylist() == expected
    assert column.null_count == sum(value is None for value in expected) > 0
    assert filled.get_column([]).to_pylist() == []
    assert filled.get_column([b"key 00001"] * 9).null_count == 0
    assert filled.tree("empty").get_column([b"a", b"b"]).to_pylist() == [None, None]
    with pytest.raises(TypeError):
        filled.get_column(["text"])


def test_get_column_of_large_values_between_small_ones(db: cowtree.Database) -> None:
    pairs = [(b"%d" % i, bytes([i % 256]) * (i * 37 % 9000)) for i in range(600)]
    db.update(pairs)
    assert db.get_column([key for key, _ in pairs]).to_pylist() == [value for _, value in pairs]


def test_stored_bytes_whatever_the_codecs(db: cowtree.Database) -> None:
    tree = db.tree("texts", key=Text, value=Text)
    tree["ä"] = "ö"
    assert pairs_of(tree.items().to_arrow()) == [("ä".encode(), "ö".encode())]
    assert tree.get_column(["ä", "b"]).to_pylist() == ["ö".encode(), None]


def test_arrays_outlive_the_database(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db.load(PAIRS)
    table = db.snapshot().items().to_arrow()
    db.close()
    path.unlink()
    assert pairs_of(table) == PAIRS


def test_other_threads_read_at_the_same_time(filled: cowtree.Database) -> None:
    snap = filled.snapshot()
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(snap.items().to_arrow())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for i in range(50):
        filled[b"key %05d" % i] = b"changed"
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(pairs_of(table) == PAIRS for table in found)


def test_without_pyarrow(filled: cowtree.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (
        filled.items().to_arrow,
        filled.keys().to_arrow,
        lambda: filled.get_column([b"a"]),
    ):
        with pytest.raises(ImportError, match=r"cowtree\[arrow\]"):
            call()


@settings(max_examples=60)
@given(
    st.dictionaries(st.binary(max_size=12), st.integers(0, 4000), max_size=300),
    st.one_of(st.none(), st.binary(max_size=3)),
    st.one_of(st.none(), st.binary(max_size=3)),
    st.booleans(),
    st.integers(1, 50),
)
def test_any_range(
    sizes: dict[bytes, int], start: bytes | None, stop: bytes | None, reverse: bool, rows: int
) -> None:
    with cowtree.open(":memory:") as db:
        db.update({key: key[:1] * size for key, size in sizes.items()})
        items = db.items(start, stop, reverse=reverse)
        assert pairs_of(items.to_arrow()) == list(items)
        batches = list(items.arrow_batches(rows=rows))
        assert [pair for batch in batches for pair in pairs_of(batch)] == list(items)
        assert db.values(start, stop, reverse=reverse).to_arrow().to_pylist() == [
            v for _, v in items
        ]
