"""Transactions, savepoints, commit ids and snapshots: API.md, sections Writing and Commits."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model import ModelTree, check_equal, pattern

import cowtree

TRANSACTION_ENDED = (cowtree.TransactionError, cowtree.ClosedError)


# The life of a transaction.


def test_with_block_commits_at_its_end(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        txn[b"a"] = b"1"
        txn.tree("t")[b"b"] = b"2"
        assert txn.commit_id is None
        assert db.get(b"a") is None
        assert db.trees() == []
    assert txn.commit_id == 1 == db.commit_id
    assert dict(db) == {b"a": b"1"}
    assert dict(db.tree("t")) == {b"b": b"2"}


@pytest.mark.parametrize(
    "error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError]
)
def test_any_exception_in_the_with_block_rolls_back(
    db: cowtree.Database, error: type[BaseException]
) -> None:
    db[b"a"] = b"old"
    with pytest.raises(error), db.transaction() as txn:
        txn[b"a"] = b"new"
        txn.tree("t")[b"b"] = b"2"
        txn.delete(b"a")
        raise error
    assert dict(db) == {b"a": b"old"}
    assert db.trees() == []
    assert db.commit_id == 1
    assert txn.commit_id is None
    db[b"next"] = b"works"
    assert db.commit_id == 2


def test_commit_returns_the_id_and_with_does_nothing_more(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        txn[b"a"] = b"1"
        assert txn.commit() == 1
        assert txn.commit_id == 1
        assert db[b"a"] == b"1"
        db[b"b"] = b"2"
    assert db.commit_id == 2
    with db.transaction() as txn:
        txn[b"a"] = b"3"
        txn.rollback()
    assert dict(db) == {b"a": b"1", b"b": b"2"}


def test_transaction_begins_without_with(db: cowtree.Database) -> None:
    txn = db.transaction()
    txn[b"a"] = b"1"
    assert txn.commit() == 1
    txn = db.transaction()
    txn[b"a"] = b"2"
    txn.rollback()
    assert db[b"a"] == b"1"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_every_call_after_the_end_is_a_transaction_error(db: cowtree.Database, end: str) -> None:
    db[b"k"] = b"v"
    txn = db.transaction()
    txn[b"k"] = b"w"
    tree = txn.tree("t")
    tree[b"k"] = b"v"
    getattr(txn, end)()
    calls: list[Callable[[], object]] = [txn.commit, txn.savepoint, lambda: txn.drop("t")]
    for target in (txn, tree):
        calls += [
            lambda t=target: t[b"k"],
            lambda t=target: t.get(b"k"),
            lambda t=target: b"k" in t,
            lambda t=target: len(t),
            lambda t=target: list(t),
            lambda t=target: t.first(),
            lambda t=target: t.get_many([b"k"]),
            lambda t=target: t.put(b"k", b"x"),
            lambda t=target: t.delete(b"k"),
            lambda t=target: t.update({b"k": b"x"}),
            lambda t=target: t.clear(),
            lambda t=target: t.pop(b"k"),
            lambda t=target: t.delete_range(b"a"),
        ]
    for call in calls:
        with pytest.raises(cowtree.TransactionError):
            call()
    repr(txn)
    repr(tree)
    assert db[b"k"] == (b"w" if end == "commit" else b"v")
    db[b"next"] = b"works"


def test_iterators_and_cursors_of_an_ended_transaction_fail_rather_than_end(
    db: cowtree.Database,
) -> None:
    db.update({b"%d" % i: b"" for i in range(100)})
    txn = db.transaction()
    iterators = [iter(txn), iter(txn.items()), reversed(txn), iter(txn.values())]
    for iterator in iterators:
        next(iterator)
    cursor = txn.cursor()
    cursor.first()
    txn.commit()
    for iterator in iterators * 2:
        with pytest.raises(TRANSACTION_ENDED):
            next(iterator)
    with pytest.raises(TRANSACTION_ENDED):
        cursor.next()


def test_collected_transaction_rolls_back_with_a_resource_warning(db: cowtree.Database) -> None:
    held = [db.transaction()]
    held[0][b"a"] = b"1"
    with pytest.warns(ResourceWarning):
        held.clear()
    assert dict(db) == {}
    db[b"next"] = b"works"


def test_collected_ended_transaction_warns_of_nothing(
    db: cowtree.Database, recwarn: pytest.WarningsRecorder
) -> None:
    for end in ("commit", "rollback"):
        txn = db.transaction()
        txn[b"a"] = b"1"
        getattr(txn, end)()
        del txn
    gc.collect()
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]


def test_closing_the_database_rolls_its_transaction_back(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    txn = db.transaction()
    txn[b"a"] = b"1"
    db.close()
    for call in (txn.commit, lambda: txn.get(b"a"), lambda: txn.put(b"b", b"")):
        with pytest.raises(TRANSACTION_ENDED):
            call()
    with cowtree.open(path, timeout=0) as db:
        assert dict(db) == {}
        db[b"next"] = b"works"


def test_transaction_may_end_in_another_thread(
    db: cowtree.Database, run_threads: Callable[..., list[object]]
) -> None:
    txn = db.transaction()
    txn[b"a"] = b"1"

    def elsewhere() -> int:
        assert txn[b"a"] == b"1"
        txn[b"b"] = b"2"
        return txn.commit()

    assert run_threads(elsewhere) == [1]
    assert dict(db) == {b"a": b"1", b"b": b"2"}
    with db.transaction() as txn:
        txn[b"c"] = b"3"


def test_calls_on_one_transaction_from_many_threads_are_serialised(
    db: cowtree.Database, run_threads: Callable[..., list[object]]
) -> None:
    txn = db.transaction()

    def work(number: int) -> None:
        for step in range(300):
            txn[b"%d/%03d" % (number, step)] = b"%d" % step
            assert txn.count(prefix=b"%d/" % number) == step + 1

    run_threads(*(lambda n=n: work(n) for n in range(4)))
    txn.commit()
    assert len(db) == 1200


# One writer at a time.


def test_writing_beside_ones_own_transaction_is_an_error_at_once(
    db: cowtree.Database, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(path)
    db[b"k"] = b"v"
    with cowtree.open(path) as second, cowtree.open(tmp_path / "link") as third:
        with db.transaction() as txn:
            for handle in (db, second, third):
                writes: list[Callable[[], object]] = [
                    handle.transaction,
                    lambda h=handle: h.transaction(timeout=0),
                    lambda h=handle: h.__setitem__(b"k", b"w"),
                    lambda h=handle: h.__delitem__(b"k"),
                    lambda h=handle: h.put(b"k", b"w"),
                    lambda h=handle: h.delete(b"k"),
                    lambda h=handle: h.update({b"k": b"w"}),
                    lambda h=handle: h.pop(b"k"),
                    lambda h=handle: h.popitem(),
                    lambda h=handle: h.setdefault(b"new", b"w"),
                    lambda h=handle: h.replace(b"k", b"w"),
                    lambda h=handle: h.delete_range(b"a"),
                    lambda h=handle: h.load([(b"k", b"w")]),
                    lambda h=handle: h.clear(),
                    lambda h=handle: h.tree("t").put(b"k", b"w"),
                ]
                for write in writes:
                    with pytest.raises(cowtree.TransactionError):
                        write()
                assert handle[b"k"] == b"v"
            txn[b"k"] = b"mine"
        assert [handle[b"k"] for handle in (db, second, third)] == [b"mine"] * 3


def test_other_databases_can_be_written_inside_a_transaction(
    db: cowtree.Database, tmp_path: Path
) -> None:
    with cowtree.open(tmp_path / "other.cow", sync=False) as other:
        with db.transaction() as txn:
            txn[b"a"] = b"1"
            other[b"b"] = b"2"
            with other.transaction() as inner:
                inner[b"c"] = b"3"
        assert dict(db) == {b"a": b"1"}
        assert dict(other) == {b"b": b"2", b"c": b"3"}


def test_two_writing_threads_wait_for_each_other(
    db: cowtree.Database, run_threads: Callable[..., list[object]]
) -> None:
    db[b"counter"] = b"0"

    def increment() -> None:
        for _ in range(200):
            with db.transaction() as txn:
                txn[b"counter"] = b"%d" % (int(txn[b"counter"]) + 1)

    run_threads(increment, increment)
    assert db[b"counter"] == b"400"
    assert db.commit_id == 401


def test_waiting_thread_goes_on_when_the_transaction_ends(
    db: cowtree.Database, run_threads: Callable[..., list[object]]
) -> None:
    started = threading.Event()

    def second() -> None:
        started.set()
        with db.transaction() as mine:
            mine[b"k"] = mine[b"k"] + b" second"

    txn = db.transaction()

    def first() -> None:
        started.wait()
        txn[b"k"] = b"first"
        txn.commit()

    run_threads(second, first)
    assert db.commit_id == 2
    assert db[b"k"] == b"first second"


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_timeout_is_a_lock_timeout_error_that_changes_nothing(
    db: cowtree.Database, path: Path, run_threads: Callable[..., list[object]], timeout: float
) -> None:
    def other_thread() -> None:
        with pytest.raises(cowtree.LockTimeoutError) as caught:
            db.transaction(timeout=timeout)
        assert isinstance(caught.value, TimeoutError)
        with cowtree.open(path, timeout=timeout) as second:
            with pytest.raises(cowtree.LockTimeoutError):
                second[b"k"] = b"2"
            with pytest.raises(cowtree.LockTimeoutError):
                second.transaction()

    with db.transaction() as txn:
        txn[b"k"] = b"1"
        run_threads(other_thread)
    assert dict(db) == {b"k": b"1"}
    assert db.commit_id == 1


# Transactions larger than memory.


def test_transaction_larger_than_write_memory(path: Path) -> None:
    model = ModelTree()
    with cowtree.open(path, sync=False, write_memory=1 << 16) as db:
        with db.transaction() as txn:
            for i in range(30_000):
                key = b"%08d" % (i * 7919 % 100_003)
                value = pattern(i, 40)
                txn[key] = value
                model.put(key, value)
                if i % 3 == 0:
                    doomed = b"%08d" % ((i // 2) * 7919 % 100_003)
                    assert txn.delete(doomed) is model.delete(doomed)
            check_equal(txn, model)
            assert len(db) == 0
        check_equal(db, model)
        assert db.commit_id == 1
    with cowtree.open(path, readonly=True) as db:
        check_equal(db, model)
        report = db.check()
        assert report.ok, report.problems


def test_rollback_of_a_spilled_transaction_leaves_no_trace(path: Path) -> None:
    with cowtree.open(path, sync=False, write_memory=1 << 16) as db:
        db[b"k"] = b"v"
        for _ in range(3):
            txn = db.transaction()
            txn.update((b"%06d" % i, pattern(i, 300)) for i in range(10_000))
            txn.rollback()
        assert dict(db) == {b"k": b"v"}
        assert db.commit_id == 1
        db[b"l"] = b"w"
        report = db.check()
        assert report.ok, report.problems
    assert path.stat().st_size < 1_000_000
    with cowtree.open(path) as db:
        assert dict(db) == {b"k": b"v", b"l": b"w"}


# Iterating while changing.


def test_iteration_in_a_transaction_goes_on_at_the_next_key(db: cowtree.Database) -> None:
    db.update({b"%03d" % i: b"" for i in range(0, 100, 10)})
    with db.transaction() as txn:
        seen = []
        for key in txn:
            seen.append(key)
            if key == b"010":
                txn[b"005"] = b"behind: not seen"
                txn[b"015"] = b"ahead: seen"
                del txn[b"020"]
            if key == b"030":
                del txn[key]
            if key == b"050":
                txn.delete_range(b"060", b"080")
            if key == b"080":
                txn.delete_range(b"000", b"081")
        assert seen == [b"000", b"010", b"015", b"030", b"040", b"050", b"080", b"090"]
        assert list(txn) == [b"090"]


def test_reverse_iteration_in_a_transaction_goes_on_at_the_next_key(db: cowtree.Database) -> None:
    db.update({b"%03d" % i: b"" for i in range(0, 60, 10)})
    with db.transaction() as txn:
        seen = []
        for key in reversed(txn):
            seen.append(key)
            if key == b"040":
                txn[b"045"] = b"behind: not seen"
                txn[b"035"] = b"ahead: seen"
                del txn[b"040"]
                del txn[b"030"]
        assert seen == [b"050", b"040", b"035", b"020", b"010", b"000"]


def test_everything_can_be_deleted_or_rewritten_while_iterating(db: cowtree.Database) -> None:
    keys = [b"%05d" % i for i in range(5000)]
    db.update({key: key * 10 for key in keys})
    with db.transaction() as txn:
        for key, value in txn.items():
            txn[key] = value * 5
        assert [key for key in txn if txn.delete(key)] == keys
        assert len(txn) == 0
        assert list(txn) == []
    assert len(db) == 0


def test_clearing_ends_an_iteration(db: cowtree.Database) -> None:
    db.update({b"%05d" % i: b"" for i in range(1000)})
    with db.transaction() as txn:
        seen = []
        for key in txn:
            seen.append(key)
            if len(seen) == 10:
                txn.clear()
        assert len(seen) == 10


def test_items_give_the_value_as_it_is_when_reached(db: cowtree.Database) -> None:
    db.update({b"a": b"1", b"b": b"1", b"c": b"1"})
    with db.transaction() as txn:
        iterator = iter(txn.items())
        assert next(iterator) == (b"a", b"1")
        txn[b"b"] = b"2" * 5000
        assert next(iterator) == (b"b", b"2" * 5000)


def test_cursor_of_a_transaction_follows_its_changes(db: cowtree.Database) -> None:
    db.update({b"a": b"1", b"c": b"3", b"e": b"5"})
    with db.transaction() as txn:
        cursor = txn.cursor()
        assert cursor.seek(b"c")
        txn[b"d"] = b"4"
        txn[b"b"] = b"2"
        assert cursor.next()
        assert cursor.item == (b"d", b"4")
        del txn[b"c"]
        assert cursor.prev()
        assert cursor.item == (b"b", b"2")


# Argument errors.


def bad_calls(txn: Any, longest: int) -> list[tuple[type[Exception], Callable[[], object]]]:
    too_long = b"x" * (longest + 1)
    return [
        (TypeError, lambda: txn.put("text", b"")),
        (TypeError, lambda: txn.put(b"k", 7)),
        (TypeError, lambda: txn.put(None, b"")),
        (TypeError, lambda: txn.get("text")),
        (TypeError, lambda: txn.update([(b"new", b""), (b"k", None)])),
        (TypeError, lambda: txn.update([(b"new", b""), ("text", b"")])),
        (TypeError, lambda: txn.delete_range()),
        (TypeError, lambda: txn.delete_range("a")),
        (TypeError, lambda: txn.put()),
        (TypeError, lambda: txn.put(b"k", b"", expect="text")),
        (KeyError, lambda: txn[b"nope"]),
        (KeyError, lambda: txn.__delitem__(b"nope")),
        (KeyError, lambda: txn.pop(b"nope")),
        (ValueError, lambda: txn.update([(b"new", b""), (b"three", b"in", b"one")])),
        (ValueError, lambda: txn.split(0)),
        (ValueError, lambda: txn.tree("")),
        (IndexError, lambda: txn.nth(99)),
        (cowtree.KeyTooLargeError, lambda: txn.put(too_long, b"")),
        (cowtree.KeyTooLargeError, lambda: txn.update([(b"new", b""), (too_long, b"")])),
        (cowtree.KeyTooLargeError, lambda: txn.setdefault(too_long, b"")),
    ]


def test_argument_errors_leave_the_transaction_as_it_was(db: cowtree.Database) -> None:
    db[b"k"] = b"v"
    with db.transaction() as txn:
        txn[b"mine"] = b"1"
        for error, call in bad_calls(txn, db.key_size_max):
            with pytest.raises(error):
                call()
            assert dict(txn) == {b"k": b"v", b"mine": b"1"}
        txn[b"more"] = b"2"
    assert dict(db) == {b"k": b"v", b"mine": b"1", b"more": b"2"}


# Commit ids.


def test_commit_ids_count_from_one(db: cowtree.Database) -> None:
    assert db.commit_id == 0
    assert db.snapshot().commit_id == 0
    for expected in (1, 2, 3):
        with db.transaction() as txn:
            txn[b"k"] = b"%d" % expected
        assert txn.commit_id == expected == db.commit_id == db.snapshot().commit_id


def test_commit_ids_go_on_after_reopening(path: Path) -> None:
    for expected in range(1, 6):
        with cowtree.open(path) as db:
            assert db.commit_id == expected - 1
            db[b"k"] = b"%d" % expected
            assert db.commit_id == expected


def test_transaction_without_changes_returns_the_id_it_stood_on(db: cowtree.Database) -> None:
    assert db.transaction().commit() == 0
    db[b"k"] = b"v"
    with db.transaction() as txn:
        assert txn[b"k"] == b"v"
        assert txn.delete(b"nope") is False
        with txn.savepoint() as savepoint:
            txn[b"undone"] = b""
            savepoint.rollback()
    assert txn.commit_id == 1
    assert db.commit_id == 1


def test_rolled_back_transactions_use_no_id(db: cowtree.Database) -> None:
    for _ in range(5):
        txn = db.transaction()
        txn[b"k"] = b"v"
        txn.rollback()
    db[b"k"] = b"v"
    assert db.commit_id == 1


def test_renamed_tree_keeps_its_entries(db: cowtree.Database) -> None:
    db.tree("old").update({b"%d" % i: b"" for i in range(1000)})
    with db.transaction() as txn:
        txn.rename("old", "new")
        assert len(txn.tree("new")) == 1000
        assert len(txn.tree("old")) == 0
    assert db.trees() == ["new"]
    assert len(db.tree("new")) == 1000


def test_transaction_takes_its_own_sync_timeout_and_note(db: cowtree.Database) -> None:
    with db.transaction(sync=True, timeout=5, note=b"why") as txn:
        txn[b"k"] = b"v"
    assert txn.commit_id == 1
