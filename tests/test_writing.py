"""Every write method, on databases, transactions and their trees: API.md, section Writing."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model import ModelTree, check_equal, pattern

import cowtree


@pytest.fixture(params=["database", "tree", "transaction", "transaction_tree", "memory"])
def writer(path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty tree to write to, of each kind."""
    kind: str = request.param
    with cowtree.open(":memory:" if kind == "memory" else path, sync=False) as db:
        if kind.startswith("transaction"):
            with db.transaction() as txn:
                yield txn.tree("t") if kind.endswith("tree") else txn
        else:
            yield db.tree("t") if kind == "tree" else db
        report = db.check()
        assert report.ok, report.problems


def test_assignment_stores_and_overwrites(writer: Any) -> None:
    writer[b"k"] = b"1"
    assert writer[b"k"] == b"1"
    writer[b"k"] = b"22"
    assert dict(writer) == {b"k": b"22"}
    assert len(writer) == 1


def test_del_removes_or_raises_key_error(writer: Any) -> None:
    writer[b"k"] = b"1"
    del writer[b"k"]
    assert dict(writer) == {}
    with pytest.raises(KeyError) as caught:
        del writer[b"k"]
    assert caught.value.args == (b"k",)


def test_put_says_whether_it_stored(writer: Any) -> None:
    assert writer.put(b"k", b"1") is True
    assert writer.put(b"k", b"2") is True
    assert writer.put(b"k", b"3", overwrite=False) is False
    assert writer[b"k"] == b"2"
    assert writer.put(b"new", b"3", overwrite=False) is True
    assert writer[b"new"] == b"3"


def test_delete_says_whether_the_key_was_there(writer: Any) -> None:
    writer[b"k"] = b"1"
    assert writer.delete(b"k") is True
    assert writer.delete(b"k") is False
    assert len(writer) == 0


@pytest.mark.parametrize("size", [0, 5, 3000, 20_000])
def test_put_with_expect_is_compare_and_set(writer: Any, size: int) -> None:
    old, other = pattern(1, size), pattern(1, size) + b"x"
    assert writer.put(b"k", other, expect=old) is False
    assert b"k" not in writer
    assert writer.put(b"k", old, expect=None) is True
    assert writer.put(b"k", other, expect=None) is False
    assert writer.put(b"k", other, expect=other) is False
    assert writer[b"k"] == old
    assert writer.put(b"k", other, expect=old) is True
    assert writer[b"k"] == other


@pytest.mark.parametrize("size", [0, 5, 3000, 20_000])
def test_delete_with_expect_is_compare_and_delete(writer: Any, size: int) -> None:
    value = pattern(1, size)
    writer[b"k"] = value
    assert writer.delete(b"k", expect=value + b"x") is False
    assert writer.delete(b"k", expect=None) is False
    assert writer[b"k"] == value
    assert writer.delete(b"k", expect=value) is True
    assert writer.delete(b"k", expect=value) is False
    assert writer.delete(b"k", expect=None) is False
    assert b"k" not in writer


def test_expect_takes_any_buffer(writer: Any) -> None:
    writer[b"k"] = b"1"
    assert writer.put(b"k", b"2", expect=bytearray(b"1"))
    assert writer.delete(b"k", expect=memoryview(b"2"))


def test_update_takes_mappings_and_pairs(writer: Any) -> None:
    writer.update({b"a": b"1", b"b": b"2"})
    writer.update([(b"b", b"3"), (b"c", b"4")])
    writer.update((key, b"5") for key in (b"d", b"e"))
    writer.update([])
    expected = {b"a": b"1", b"b": b"3", b"c": b"4", b"d": b"5", b"e": b"5"}
    assert dict(writer) == expected


def test_last_of_equal_keys_in_update_wins(writer: Any) -> None:
    writer.update([(b"k", b"1"), (b"k", b"2"), (b"a", b""), (b"k", b"3")])
    assert dict(writer) == {b"a": b"", b"k": b"3"}


def test_update_from_another_database(writer: Any) -> None:
    with cowtree.open(":memory:") as other:
        other.update({b"%d" % i: b"%d" % -i for i in range(1000)})
        writer.update(other)
        assert writer == other


def test_pop_removes_and_returns(writer: Any) -> None:
    writer[b"k"] = b"1"
    assert writer.pop(b"k") == b"1"
    assert b"k" not in writer
    assert writer.pop(b"k", None) is None
    assert writer.pop(b"k", b"default") == b"default"
    with pytest.raises(KeyError):
        writer.pop(b"k")


def test_setdefault_stores_only_what_is_missing(writer: Any) -> None:
    assert writer.setdefault(b"k", b"1") == b"1"
    assert writer.setdefault(b"k", b"2") == b"1"
    assert writer[b"k"] == b"1"
    with pytest.raises(TypeError):
        writer.setdefault(b"missing")
    assert b"missing" not in writer


def test_popitem_takes_the_last_or_first_item(writer: Any) -> None:
    writer.update({b"a": b"1", b"b": b"2", b"c": b"3"})
    assert writer.popitem() == (b"c", b"3")
    assert writer.popitem(last=False) == (b"a", b"1")
    assert writer.popitem(True) == (b"b", b"2")
    for last in (True, False):
        with pytest.raises(KeyError):
            writer.popitem(last=last)


def test_clear_leaves_nothing(writer: Any) -> None:
    writer.clear()
    writer.update((b"%d" % i, pattern(i, i * 3)) for i in range(2000))
    writer.clear()
    check_equal(writer, ModelTree())
    writer[b"k"] = b"v"
    assert dict(writer) == {b"k": b"v"}


def test_replace_returns_the_old_value(writer: Any) -> None:
    assert writer.replace(b"k", b"1") is None
    assert writer.replace(b"k", b"2") == b"1"
    assert writer.replace(b"k", b"x" * 50_000) == b"2"
    assert writer.replace(b"k", b"") == b"x" * 50_000
    assert writer[b"k"] == b""


@pytest.mark.parametrize(
    ("start", "stop", "prefix"),
    [
        (b"100", b"200", None),
        (b"100", None, None),
        (None, b"100", None),
        (None, None, b"12"),
        (b"121", b"125", b"12"),
        (b"2", b"3", b"12"),
        (b"5", b"4", None),
        (b"", None, None),
        (b"0995", b"0996", None),
    ],
)
def test_delete_range_removes_what_keys_would_list(
    writer: Any, start: bytes | None, stop: bytes | None, prefix: bytes | None
) -> None:
    model = ModelTree((b"%03d" % i, pattern(i, i % 300)) for i in range(1000))
    writer.update(model.items())
    doomed = list(writer.keys(start, stop, prefix=prefix))
    assert doomed == model.range(start, stop, prefix)
    assert writer.delete_range(start, stop, prefix=prefix) == len(doomed)
    model.delete_keys(doomed)
    check_equal(writer, model)
    assert writer.delete_range(start, stop, prefix=prefix) == 0


def test_delete_range_without_any_bound_is_a_type_error(writer: Any) -> None:
    writer[b"k"] = b"v"
    with pytest.raises(TypeError, match="clear"):
        writer.delete_range()
    assert dict(writer) == {b"k": b"v"}


@pytest.mark.parametrize("count", [0, 1, 10, 5000])
@pytest.mark.parametrize("ascending", [True, False])
def test_load_stores_all_pairs(writer: Any, count: int, ascending: bool) -> None:
    pairs = [(b"%06d" % (i * 7), pattern(i, i % 200)) for i in range(count)]
    order = pairs if ascending else [pairs[(i * 6007 + 13) % count] for i in range(count)]
    assert writer.load(iter(order)) == count
    check_equal(writer, ModelTree(pairs))


def test_load_into_a_tree_with_entries_between_and_behind(writer: Any) -> None:
    model = ModelTree((b"%06d" % (i * 10), b"old") for i in range(2000))
    writer.update(model.items())
    for start, step in ((5, 10), (15_000, 1), (50_000, 3)):
        pairs = [(b"%06d" % (start + i * step), pattern(i, 50)) for i in range(3000)]
        assert writer.load(pairs) == 3000
        for key, value in pairs:
            model.put(key, value)
        check_equal(writer, model)


def test_load_with_large_values_and_long_keys(writer: Any) -> None:
    pairs = [(b"%04d" % i + b"k" * (i * 7 % 990), pattern(i, i * 97 % 30_000)) for i in range(600)]
    assert writer.load(pairs) == 600
    check_equal(writer, ModelTree(pairs))


def test_load_in_batches_is_one_commit_each(db: cowtree.Database) -> None:
    pairs = [(b"%04d" % i, b"v") for i in range(1000)]
    assert db.load(pairs, batch=300) == 1000
    assert db.commit_id == 4
    assert len(db) == 1000
    assert db.load([(b"x", b""), (b"y", b"")]) == 2
    assert db.commit_id == 5


def test_load_reports_progress_with_a_last_call_that_is_done(db: cowtree.Database) -> None:
    calls: list[tuple[int, int | None]] = []
    db.load(
        [(b"%04d" % i, b"v" * 100) for i in range(2000)],
        progress=lambda done, total: calls.append((done, total)),
    )
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert done[-1] > 0
    assert calls[-1][1] in (None, done[-1])


# Commits made by the methods of a database.


def test_each_write_method_of_a_database_is_one_commit(db: cowtree.Database) -> None:
    tree = db.tree("t")
    ids = itertools.count(1)
    for target in (db, tree):
        writes = [
            lambda t: t.__setitem__(b"a", b"1"),
            lambda t: t.put(b"b", b"2"),
            lambda t: t.update({b"c": b"3", b"d": b"4", b"e": b"5", b"f": b"6"}),
            lambda t: t.pop(b"a"),
            lambda t: t.setdefault(b"g", b"7"),
            lambda t: t.popitem(),
            lambda t: t.replace(b"b", b"8"),
            lambda t: t.delete(b"b"),
            lambda t: t.__delitem__(b"c"),
            lambda t: t.delete_range(b"d", b"e"),
            lambda t: t.load([(b"h", b"9"), (b"i", b"10")]),
            lambda t: t.clear(),
        ]
        for write in writes:
            write(target)
            assert db.commit_id == next(ids)


def test_calls_that_change_nothing_make_no_commit(db: cowtree.Database) -> None:
    db[b"k"] = b"v"
    for target in (db, db.tree("t")):
        target.delete(b"nope")
        target.put(b"k", b"w", expect=b"nope")
        target.pop(b"nope", None)
        target.update([])
        target.delete_range(b"x", b"y")
        target.load([])
        with pytest.raises(KeyError):
            del target[b"nope"]
    db.tree("t").clear()
    db.setdefault(b"k", b"w")
    db.put(b"k", b"w", overwrite=False)
    db.delete(b"k", expect=b"nope")
    assert db.commit_id == 1
    assert db.trees() == []


def test_update_that_fails_changes_nothing(db: cowtree.Database) -> None:
    db[b"old"] = b"1"

    def pairs() -> Iterator[tuple[bytes, bytes]]:
        yield b"new", b"2"
        yield b"old", b"2"
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        db.update(pairs())
    with pytest.raises(TypeError):
        db.update([(b"new", b"2"), (b"bad", "text")])  # type: ignore[list-item]
    with pytest.raises(RuntimeError):
        db.load(pairs())
    assert dict(db) == {b"old": b"1"}
    assert db.commit_id == 1


def test_values_are_copied_in(writer: Any) -> None:
    key, value = bytearray(b"key"), bytearray(b"value" * 1000)
    writer[key] = value
    key[0] = value[0] = 0
    assert dict(writer) == {b"key": b"value" * 1000}


# Sizes.


def test_empty_keys_and_values_are_legal(writer: Any) -> None:
    writer[b""] = b""
    writer[b"a"] = b""
    assert writer[b""] == b""
    assert list(writer.items()) == [(b"", b""), (b"a", b"")]
    assert writer.first() == writer.nth(0) == writer.floor(b"") == (b"", b"")
    assert b"" in writer
    assert writer.lower(b"") is None
    assert writer.delete(b"") is True
    assert b"" not in writer


def test_key_size_limit_is_exact(path: Path, page_size: int) -> None:
    with cowtree.open(path, sync=False, page_size=page_size) as db:
        longest = db.key_size_max
        assert longest >= 1000
        model = ModelTree()
        for i in range(60):
            key, value = b"%c" % (i + 32) * longest, pattern(i, i * page_size // 25)
            db[key] = value
            model.put(key, value)
        for write in (
            lambda key: db.__setitem__(key, b""),
            lambda key: db.put(key, b""),
            lambda key: db.update([(b"a", b""), (key, b"")]),
            lambda key: db.setdefault(key, b""),
            lambda key: db.replace(key, b""),
            lambda key: db.load([(key, b"")]),
        ):
            with pytest.raises(cowtree.KeyTooLargeError) as caught:
                write(b"~" * (longest + 1))
            assert isinstance(caught.value, ValueError)
        check_equal(db, model)
        assert db.commit_id == 60
        report = db.check()
        assert report.ok, report.problems


@pytest.mark.parametrize("around", [1, 64, 1000, 2028, 4032, 4096, 8192, 65536])
def test_values_of_every_size_around_the_limits_of_pages(path: Path, around: int) -> None:
    model = ModelTree(
        (b"%06d" % size, pattern(size, size)) for size in range(max(0, around - 50), around + 50)
    )
    with cowtree.open(path, sync=False) as db:
        with db.transaction() as txn:
            for key, value in model.items():
                txn[key] = value
            check_equal(txn, model)
        check_equal(db, model)
        for key, _ in model.items():
            assert len(db.buffer(key)) == int(key)
    with cowtree.open(path, sync=False, mmap=False) as db:
        check_equal(db, model)
        report = db.check()
        assert report.ok, report.problems


@pytest.mark.parametrize(
    "size", [5_000_000, pytest.param(64 << 20, marks=pytest.mark.slow, id="64MiB")]
)
def test_large_values_come_back_whole(path: Path, size: int) -> None:
    value = pattern(1, size)
    with cowtree.open(path, sync=False, write_memory=1 << 20) as db:
        with db.transaction() as txn:
            txn[b"large"] = value
            txn[b"small"] = b"1"
            assert txn[b"large"] == value
        assert db[b"large"] == value
        assert db.buffer(b"large") == value
        db[b"large"] = value[:-1] + b"?"
    with cowtree.open(path, readonly=True) as db:
        assert db[b"large"] == value[:-1] + b"?"
        report = db.check()
        assert report.ok, report.problems


def test_growing_and_shrinking_one_value_through_all_sizes(writer: Any) -> None:
    sizes = [0, 1, 2000, 2100, 5000, 100_000, 3, 4096, 4000, 2000, 0]
    writer.update({b"a": b"1", b"z": b"2"})
    for size in sizes:
        writer[b"k"] = pattern(size, size)
        assert dict(writer) == {b"a": b"1", b"k": pattern(size, size), b"z": b"2"}


# Named trees.


def test_trees_are_apart_from_each_other(db: cowtree.Database) -> None:
    db[b"k"] = b"default"
    db.tree("a")[b"k"] = b"in a"
    db.tree("b")[b"k"] = b"in b"
    assert [db[b"k"], db.tree("a")[b"k"], db.tree("b")[b"k"]] == [b"default", b"in a", b"in b"]
    assert len(db) == 1
    assert sorted(db.trees()) == ["a", "b"]
    db.clear()
    assert dict(db.tree("a")) == {b"k": b"in a"}
    db.tree("a").clear()
    assert dict(db.tree("b")) == {b"k": b"in b"}


def test_tree_exists_from_its_first_write_until_dropped(db: cowtree.Database) -> None:
    tree = db.tree("t")
    assert db.trees() == []
    assert tree.get(b"k") is None
    tree[b"k"] = b"v"
    assert db.trees() == ["t"]
    del tree[b"k"]
    assert db.trees() == ["t"]
    with db.transaction() as txn:
        assert txn.drop("t") is True
        assert txn.drop("t") is False
    assert db.trees() == []
    assert dict(tree) == {}
    tree[b"again"] = b"1"
    assert db.trees() == ["t"]
    assert dict(tree) == {b"again": b"1"}


def test_tree_none_is_the_default_tree(db: cowtree.Database) -> None:
    db.tree(None)[b"k"] = b"v"
    assert db[b"k"] == b"v"
    assert db.trees() == []
    assert dict(db.snapshot().tree(None)) == {b"k": b"v"}


@pytest.mark.parametrize(
    ("name", "error"), [("", ValueError), (b"bytes", TypeError), (7, TypeError)]
)
def test_bad_tree_names_are_refused(
    db: cowtree.Database, name: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        db.tree(name)[b"k"] = b"v"
    with db.transaction() as txn:
        with pytest.raises(error):
            txn.tree(name)[b"k"] = b"v"
        with pytest.raises(error):
            txn.drop(name)
        txn[b"still"] = b"usable"
    assert db[b"still"] == b"usable"
    assert db.trees() == []


def test_thousands_of_named_trees(path: Path) -> None:
    names = [f"tree/{i}/\u00e9" for i in range(3000)]
    with cowtree.open(path, sync=False) as db:
        with db.transaction() as txn:
            for number, name in enumerate(names):
                txn.tree(name)[b"number"] = b"%d" % number
        snapshot = db.snapshot()
        with db.transaction() as txn:
            for name in names[::2]:
                assert txn.drop(name)
        assert sorted(db.trees()) == sorted(names[1::2])
        assert sorted(snapshot.trees()) == sorted(names)
        assert snapshot.tree(names[0])[b"number"] == b"0"
    with cowtree.open(path) as db:
        for number, name in enumerate(names):
            assert db.tree(name).get(b"number") == (b"%d" % number if number % 2 else None)
        report = db.check()
        assert report.ok, report.problems


def test_large_trees_beside_the_default_tree_can_be_dropped_and_refilled(path: Path) -> None:
    model = ModelTree((b"%05d" % i, pattern(i, i % 700)) for i in range(5000))
    with cowtree.open(path, sync=False) as db:
        for _ in range(3):
            with db.transaction() as txn:
                txn.tree("big").update(model.items())
                txn[b"k"] = b"v"
            check_equal(db.tree("big"), model)
            with db.transaction() as txn:
                assert txn.drop("big")
            assert dict(db) == {b"k": b"v"}
            assert db.trees() == []
            report = db.check()
            assert report.ok, report.problems


@pytest.mark.slow
def test_values_beyond_two_gibibytes_and_files_beyond_four(path: Path) -> None:
    size = (1 << 31) + 12_345
    with mmap.mmap(-1, size) as value:  # zeros that take no memory until they are written
        value[:9] = value[-9:] = b"begin-end"
        with cowtree.open(path, sync=False, auto_compact=None) as db:
            for key in (b"first", b"second"):
                db[key] = value
            db[b"small"] = b"1"
        assert path.stat().st_size > 1 << 32
        with cowtree.open(path, readonly=True) as db:
            for key in (b"first", b"second"):
                view = db.buffer(key)
                assert len(view) == size
                assert view[:9] == view[-9:] == b"begin-end"
                assert view[9:5000] == bytes(4991)
                view.release()
            assert db[b"small"] == b"1"
            report = db.check()
            assert report.ok, report.problems
