"""Every read method, on every kind of reader: API.md, section Reading."""

from __future__ import annotations

import array
import mmap
import random
from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
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

ITEMS = {b"%03d" % i: b"value %d" % i for i in range(0, 1000, 2)}
MODEL = ModelTree(ITEMS.items())
KINDS = [
    "database",
    "tree",
    "snapshot",
    "snapshot_tree",
    "transaction",
    "transaction_tree",
    "readonly",
    "memory",
]


def make_reader(kind: str, path: Path) -> Iterator[Any]:
    """A reader of ITEMS of one kind; half of a transaction's items are its own writes."""
    where = ":memory:" if kind == "memory" else path
    in_tree = kind.endswith("tree")
    with cowtree.open(where, sync=False) as db:
        with db.transaction() as txn:
            first = list(ITEMS.items())[: 250 if kind.startswith("transaction") else None]
            (txn.tree("t") if in_tree else txn).update(first)
        if kind.startswith("transaction"):
            with db.transaction() as txn:
                reader = txn.tree("t") if in_tree else txn
                reader.update(list(ITEMS.items())[250:])
                yield reader
        elif kind.startswith("snapshot"):
            snapshot = db.snapshot()
            (db.tree("t") if in_tree else db)[b"later"] = b"not in the snapshot"
            yield snapshot.tree("t") if in_tree else snapshot
        elif kind == "readonly":
            with cowtree.open(path, readonly=True) as other:
                yield other
        else:
            yield db.tree("t") if in_tree else db


@pytest.fixture(params=KINDS)
def reader(path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from make_reader(request.param, path)


def test_reader_holds_exactly_what_was_written(reader: Any) -> None:
    check_equal(reader, MODEL)
    assert dict(reader) == ITEMS
    assert list(reader) == MODEL.keys
    assert list(reversed(reader)) == MODEL.keys[::-1]


@pytest.mark.parametrize("key", [b"", b"000", b"001", b"500", b"501", b"50", b"998", b"999", b"z"])
def test_key_and_its_neighbours(reader: Any, key: bytes) -> None:
    check_key(reader, MODEL, key)


def test_get_gives_default_for_missing_key(reader: Any) -> None:
    assert reader.get(b"nope") is None
    assert reader.get(b"nope", b"x") == b"x"
    marker = object()
    assert reader.get(b"nope", default=marker) is marker
    assert reader.get(b"000", marker) == b"value 0"


def test_missing_key_is_a_key_error_that_names_it(reader: Any) -> None:
    with pytest.raises(KeyError) as caught:
        reader[b"nope"]
    assert caught.value.args == (b"nope",)


def test_get_many_keeps_the_order_of_the_keys_given(reader: Any) -> None:
    keys = [b"998", b"nope", b"000", b"000", b""]
    assert reader.get_many(keys) == [b"value 998", None, b"value 0", b"value 0", None]
    assert reader.get_many(iter(keys), default=7) == [b"value 998", 7, b"value 0", b"value 0", 7]
    assert reader.get_many([]) == []
    assert reader.get_many(list(ITEMS)) == list(ITEMS.values())


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("count", [0, 1, 40, 3000])
def test_get_many_of_batches_of_every_size(path: Path, count: int, mapped: bool) -> None:
    """Keys of one prefix and of none, values in the leaf and in runs; trees of one page and of several levels."""
    model = {b"%06d" % (7 * i): pattern(i, (5, 100, 1500, 9000)[i % 4]) for i in range(count)}
    model |= {bytes([i % 256]) * (i % 900 + 1): b"%d" % i for i in range(count // 4)}
    with cowtree.open(path, sync=False) as db:
        db.update(model)
    rng = random.Random(5)
    keys = [*model, *(b"%06d" % i for i in range(50)), b"", b"0", b"\xff" * 5000, bytes(70000)]
    with cowtree.open(path, readonly=True, mmap=mapped) as db:
        for size in (1, 2, 15, 16, 17, 31, 33, 255, 256, 257, 512, 1000):
            asked = rng.choices(keys, k=size)
            assert db.get_many(asked) == [model.get(key) for key in asked]
            assert db.snapshot().get_many(asked, b"?") == [model.get(key, b"?") for key in asked]


@pytest.mark.parametrize("inclusive", [(True, False), (True, True), (False, False), (False, True)])
@pytest.mark.parametrize("prefix", [None, b"", b"1", b"10", b"100", b"1001", b"x"])
@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (None, None),
        (b"100", None),
        (None, b"100"),
        (b"100", b"200"),
        (b"101", b"199"),
        (b"100", b"100"),
        (b"200", b"100"),
        (b"", b""),
        (b"zzz", None),
    ],
)
def test_ranges_in_both_directions(
    path: Path,
    start: bytes | None,
    stop: bytes | None,
    prefix: bytes | None,
    inclusive: tuple[bool, bool],
) -> None:
    with cowtree.open(":memory:") as db:
        db.update(ITEMS)
        check_range(db, MODEL, start, stop, prefix, inclusive)
        check_range(db.snapshot(), MODEL, start, stop, prefix, inclusive)
        with db.transaction() as txn:
            check_range(txn, MODEL, start, stop, prefix, inclusive)


def test_prefix_of_ff_bytes_reaches_to_the_end() -> None:
    with cowtree.open(":memory:") as db:
        db.update({b"\xfe": b"", b"\xff": b"1", b"\xff\xff": b"2", b"\xff\xff\0": b"3"})
        assert list(db.keys(prefix=b"\xff")) == [b"\xff", b"\xff\xff", b"\xff\xff\0"]
        assert list(db.keys(prefix=b"\xff\xff", reverse=True)) == [b"\xff\xff\0", b"\xff\xff"]
        assert db.count(prefix=b"\xff\xff") == 2
        assert db.last(prefix=b"\xff") == (b"\xff\xff\0", b"3")
        assert db.delete_range(prefix=b"\xff\xff") == 2


def test_bounds_may_be_longer_than_any_key(reader: Any) -> None:
    bound = b"500" + b"\0" * 100_000
    assert next(iter(reader.keys(bound))) == b"502"
    assert reader.count(None, bound) == 251
    assert reader.count(prefix=bound) == 0


def test_reverse_swaps_no_bounds(reader: Any) -> None:
    assert list(reader.keys(b"100", b"106", reverse=True)) == [b"104", b"102", b"100"]


def test_first_and_last_of_ranges(reader: Any) -> None:
    assert reader.first() == (b"000", b"value 0")
    assert reader.last() == (b"998", b"value 998")
    assert reader.first(b"101") == (b"102", b"value 102")
    assert reader.last(None, b"100") == (b"098", b"value 98")
    assert reader.first(prefix=b"77") == (b"770", b"value 770")
    assert reader.last(prefix=b"77") == (b"778", b"value 778")
    assert reader.first(b"999") is None
    assert reader.last(b"100", b"100") is None


@pytest.mark.parametrize("index", [0, 1, 249, 499, 500, 10**30, -1, -500, -501, -(10**30)])
def test_nth_counts_from_both_ends(reader: Any, index: int) -> None:
    check_position(reader, MODEL, index)


def test_nth_many_gives_items_in_the_order_asked(reader: Any) -> None:
    assert reader.nth_many([3, -1, 3]) == [
        (b"006", b"value 6"),
        (b"998", b"value 998"),
        (b"006", b"value 6"),
    ]
    assert reader.nth_many([]) == []
    with pytest.raises(IndexError):
        reader.nth_many([0, 500])


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 100, 500, 501, 5000])
def test_split_cuts_into_nearly_equal_parts(reader: Any, parts: int) -> None:
    check_split(reader, MODEL, parts)
    check_split(reader, MODEL, parts, b"100", b"300")
    check_split(reader, MODEL, parts, prefix=b"4")
    assert reader.split(parts, b"x") == []


@pytest.mark.parametrize("parts", [0, -1])
def test_split_into_less_than_one_part_is_a_value_error(reader: Any, parts: int) -> None:
    with pytest.raises(ValueError):
        reader.split(parts)


def test_rank_and_count_agree_with_positions(reader: Any) -> None:
    for position in (0, 17, 499):
        key, _ = reader.nth(position)
        assert reader.rank(key) == position
        assert reader.count(None, key) == position
        assert reader.count(key) == 500 - position
    assert reader.rank(b"") == 0
    assert reader.rank(b"zzz") == 500
    assert reader.count() == len(reader) == 500


def test_equality_with_mappings(reader: Any) -> None:
    assert reader == ITEMS
    assert ITEMS == reader
    assert reader == reader
    assert reader != {**ITEMS, b"more": b""}
    assert reader != {**ITEMS, b"000": b"other"}
    assert reader != {}
    assert reader != [1]


def test_equality_between_databases(path: Path) -> None:
    with cowtree.open(path, sync=False) as one, cowtree.open(":memory:") as two:
        assert one == two
        one[b"a"] = two[b"a"] = b"1"
        assert one == two
        assert one.snapshot() == two
        two[b"a"] = b"2"
        assert one != two


def test_empty_reader_is_false_and_reads_as_empty(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        for empty in (db, db.snapshot(), db.tree("missing"), db.transaction()):
            check_equal(empty, ModelTree())
            assert empty == {}
            assert list(empty) == list(reversed(empty)) == []
            assert empty.first() is None
            assert empty.last() is None
            assert empty.rank(b"x") == empty.count() == 0
            assert empty.split(4) == []
            assert empty.floor(b"x") is empty.higher(b"x") is None
            assert not empty.cursor().first()
            with pytest.raises(IndexError):
                empty.nth(0)
        assert db.trees() == []


def test_readers_are_mappings_and_only_writers_are_mutable(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        txn = db.transaction()
        snapshot = db.snapshot()
        for writer in (db, db.tree("t"), txn, txn.tree("t")):
            assert isinstance(writer, Mapping)
            assert isinstance(writer, MutableMapping)
        for reader in (snapshot, snapshot.tree("t")):
            assert isinstance(reader, Mapping)
            assert not isinstance(reader, MutableMapping)
            with pytest.raises((TypeError, AttributeError)):
                reader[b"k"] = b"v"
        txn.rollback()


# Views.


def test_views_are_the_abstract_views(reader: Any) -> None:
    assert isinstance(reader.keys(), KeysView)
    assert isinstance(reader.values(), ValuesView)
    assert isinstance(reader.items(), ItemsView)
    assert isinstance(reader.items(b"1", reverse=True), ItemsView)


def test_set_operators_on_views_give_sets(reader: Any) -> None:
    keys = reader.keys(b"100", b"106")
    assert keys & {b"100", b"x"} == {b"100"}
    assert keys | {b"x"} == {b"100", b"102", b"104", b"x"}
    assert keys - {b"100"} == {b"102", b"104"}
    assert keys ^ {b"100", b"x"} == {b"102", b"104", b"x"}
    assert {b"100", b"x"} & keys == {b"100"}
    assert {b"100", b"x"} - keys == {b"x"}
    assert type(keys & {b"100"}) is set
    assert type(keys | {b"100"}) is set
    assert keys == {b"100", b"102", b"104"}
    assert keys <= {b"100", b"102", b"104", b"106"}
    assert keys > {b"100"}
    assert keys.isdisjoint({b"x"})
    items = reader.items(b"100", b"106")
    assert items & {(b"100", b"value 100"), (b"102", b"?")} == {(b"100", b"value 100")}
    assert type(items - set()) is set


def test_membership_in_views_respects_their_bounds(reader: Any) -> None:
    keys, items, values = (
        view(b"100", b"106") for view in (reader.keys, reader.items, reader.values)
    )
    assert b"104" in keys
    assert b"106" not in keys
    assert b"098" not in keys
    assert b"103" not in keys
    assert (b"104", b"value 104") in items
    assert (b"104", b"value 106") not in items
    assert (b"106", b"value 106") not in items
    assert b"value 104" in values
    assert b"value 106" not in values
    assert b"106" in reader.keys(b"100", b"106", inclusive=(True, True))
    assert b"100" not in reader.keys(b"100", b"106", inclusive=(False, True))
    assert b"110" not in reader.keys(b"100", prefix=b"10")


@pytest.mark.parametrize("reverse", [False, True])
def test_views_are_indexed_and_sliced_in_their_order(reader: Any, reverse: bool) -> None:
    options: dict[str, Any] = {"reverse": reverse}
    for view in (
        reader.keys(b"1", b"3", **options),
        reader.values(b"1", b"3", **options),
        reader.items(b"1", b"3", **options),
    ):
        expected = list(view)
        assert len(view) == len(expected) == 100
        for index in (0, 1, 57, 99, -1, -100):
            assert view[index] == expected[index]
        for index in (100, -101):
            with pytest.raises(IndexError):
                view[index]
        for piece in (
            slice(None),
            slice(10, 20),
            slice(-5, None),
            slice(None, -90),
            slice(90, 1000),
            slice(20, 10),
            slice(500, 600),
        ):
            assert list(view[piece]) == expected[piece]


def test_view_of_a_database_is_live_and_of_a_snapshot_frozen(db: cowtree.Database) -> None:
    db[b"a"] = b"1"
    snapshot = db.snapshot()
    live, frozen = db.keys(), snapshot.keys()
    db[b"b"] = b"2"
    assert list(live) == [b"a", b"b"]
    assert len(live) == 2
    assert b"b" in live
    assert list(frozen) == [b"a"]
    assert len(frozen) == 1
    assert b"b" not in frozen


def test_view_of_a_transaction_sees_its_later_writes(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        view = txn.items()
        txn[b"a"] = b"1"
        assert list(view) == [(b"a", b"1")]


# Iterators.


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", [None, "t"])
def test_iteration_over_a_database_sees_one_commit_from_start_to_end(
    db: cowtree.Database, name: str | None, reverse: bool
) -> None:
    tree: Any = db if name is None else db.tree(name)
    tree.update(ITEMS)
    iterator = iter(tree.items(reverse=reverse))
    seen = [next(iterator)]
    tree.clear()
    tree[b"500"] = b"changed"
    tree[b"501"] = b"new"
    seen += iterator
    assert seen == MODEL.items()[:: -1 if reverse else 1]


def test_exhausted_iterator_stays_exhausted(reader: Any) -> None:
    iterator = iter(reader.keys(b"99"))
    assert list(iterator) == [b"990", b"992", b"994", b"996", b"998"]
    assert next(iterator, None) is None
    assert next(iterator, None) is None


def test_iterators_are_lazy(db: cowtree.Database) -> None:
    db.update(ITEMS)
    db.update({b"big%d" % i: b"x" * 1_000_000 for i in range(20)})
    for _ in range(1000):
        assert next(iter(db.items())) == (b"000", b"value 0")


def test_many_iterators_of_one_view_are_independent(reader: Any) -> None:
    view = reader.keys()
    assert list(zip(view, view, strict=True)) == [(key, key) for key in MODEL.keys]


# Cursors.


def test_cursor_walks_in_both_directions(reader: Any) -> None:
    cursor = reader.cursor()
    assert cursor.seek(b"101")
    assert cursor.item == (cursor.key, cursor.value) == (b"102", b"value 102")
    assert cursor.next()
    assert cursor.key == b"104"
    assert cursor.prev()
    assert cursor.prev()
    assert cursor.key == b"100"
    assert cursor.first()
    assert cursor.key == b"000"
    assert not cursor.prev()
    assert cursor.last()
    assert cursor.value == b"value 998"
    assert not cursor.next()
    seen = []
    moved = cursor.first()
    while moved:
        seen.append(cursor.item)
        moved = cursor.next()
    assert seen == MODEL.items()


def test_cursor_that_has_no_position_raises_lookup_error(reader: Any) -> None:
    cursor = reader.cursor()
    for attribute in ("key", "value", "item"):
        with pytest.raises(LookupError):
            getattr(cursor, attribute)
    assert cursor.first()
    assert not cursor.seek(b"999")
    for attribute in ("key", "value", "item"):
        with pytest.raises(LookupError):
            getattr(cursor, attribute)


# Buffers.


def test_buffer_is_a_read_only_view_of_the_value(db: cowtree.Database) -> None:
    db.update({b"small": b"abc", b"empty": b"", b"large": b"0123456789" * 10_000})
    for reader in (db, db.snapshot()):
        for key in (b"small", b"empty", b"large"):
            view = reader.buffer(key)
            assert isinstance(view, memoryview)
            assert view.readonly
            assert view.contiguous
            assert bytes(view) == db[key]
    with pytest.raises(TypeError):
        db.buffer(b"small")[0] = 1  # type: ignore[index]
    with pytest.raises(KeyError):
        db.buffer(b"nope")


def test_buffer_works_on_trees(db: cowtree.Database) -> None:
    db.tree("t")[b"k"] = b"v" * 9000
    assert bytes(db.tree("t").buffer(b"k")) == b"v" * 9000
    assert bytes(db.snapshot().tree("t").buffer(b"k")) == b"v" * 9000


def test_transaction_has_no_buffer(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        txn[b"k"] = b"v"
        with pytest.raises((AttributeError, TypeError, cowtree.TransactionError)):
            txn.buffer(b"k")  # type: ignore[attr-defined]


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("size", [16, 3000, 300_000])
def test_buffer_stays_valid_after_its_snapshot_and_database_are_closed(
    path: Path, mapped: bool, size: int
) -> None:
    value = b"0123456789abcdef" * (size // 16)
    with cowtree.open(path, sync=False, mmap=mapped) as db:
        db[b"k"] = value
        snapshot = db.snapshot()
        views = [snapshot.buffer(b"k"), db.buffer(b"k")]
        snapshot.close()
        db[b"k"] = b"other"
        assert [bytes(view) for view in views] == [value, value]
    del snapshot, db
    assert [bytes(view) for view in views] == [value, value]


# Kinds of keys.


@pytest.mark.parametrize(
    "make",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: array.array("B", data),
        lambda data: memoryview(bytearray(b"__" + data))[2:],
    ],
)
def test_any_contiguous_buffer_is_a_key(db: cowtree.Database, make: Callable[[bytes], Any]) -> None:
    db[b"key"] = b"value"
    assert db[make(b"key")] == b"value"
    assert db.get(make(b"key")) == b"value"
    assert make(b"key") in db
    assert db.get_many([make(b"key")]) == [b"value"]
    assert db.ceiling(make(b"ke")) == (b"key", b"value")
    assert list(db.keys(make(b"k"), make(b"l"), prefix=make(b"ke"))) == [b"key"]
    assert db.cursor().seek(make(b"k"))


def test_keys_and_values_come_back_as_bytes(db: cowtree.Database) -> None:
    with mmap.mmap(-1, 4096) as memory:
        memory[:5] = b"hello"
        db[bytearray(b"k")] = memory
    assert type(db[b"k"]) is bytes
    assert db[b"k"] == b"hello" + bytes(4091)
    assert [type(key) for key in db] == [bytes]
    key, value = db.popitem()
    assert type(key) is type(value) is bytes


def test_a_range_is_split_into_no_more_parts_than_it_has_keys(db: cowtree.Database) -> None:
    keys = [b"%02d" % i for i in range(50)]
    db.update(dict.fromkeys(keys, b""))
    assert db.split(10**30) == keys[1:]
    assert db.split(51) == keys[1:]
    assert db.split(10**30, b"10", b"13") == [b"11", b"12"]
    assert db.split(10**30, b"x") == []
