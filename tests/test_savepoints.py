"""Savepoints: what they keep, what they undo, how they nest."""

from __future__ import annotations

from pathlib import Path

import pytest
from model import ModelTree, check_equal, pattern

import cowtree


def test_savepoint_keeps_its_writes_on_success(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        txn[b"a"] = b"1"
        with txn.savepoint():
            txn[b"b"] = b"2"
        assert txn[b"b"] == b"2"
    assert dict(db) == {b"a": b"1", b"b": b"2"}


def test_savepoint_rolls_back_to_its_start_on_exception(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        txn[b"a"] = b"1"
        with pytest.raises(RuntimeError), txn.savepoint():
            txn[b"a"] = b"changed"
            txn[b"b"] = b"2"
            txn.tree("t")[b"c"] = b"3"
            raise RuntimeError
        assert dict(txn) == {b"a": b"1"}
        assert dict(txn.tree("t")) == {}
        txn[b"d"] = b"4"
    assert dict(db) == {b"a": b"1", b"d": b"4"}
    assert db.trees() == []


def test_savepoint_rolls_back_when_told_to(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        txn[b"a"] = b"1"
        with txn.savepoint() as savepoint:
            txn.clear()
            txn[b"b"] = b"2"
            savepoint.rollback()
            assert dict(txn) == {b"a": b"1"}
        txn[b"c"] = b"3"
    assert dict(db) == {b"a": b"1", b"c": b"3"}


def test_savepoints_nest(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        txn[b"0"] = b""
        with txn.savepoint():
            txn[b"1"] = b""
            with txn.savepoint() as inner:
                txn[b"2"] = b""
                with txn.savepoint():
                    txn[b"3"] = b""
                assert len(txn) == 4
                inner.rollback()
            assert list(txn) == [b"0", b"1"]
            with txn.savepoint():
                txn[b"4"] = b""
        assert list(txn) == [b"0", b"1", b"4"]
    assert list(db) == [b"0", b"1", b"4"]


def test_outer_rollback_undoes_kept_inner_savepoints(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        txn[b"0"] = b""
        with txn.savepoint() as outer:
            with txn.savepoint():
                txn[b"1"] = b""
            with txn.savepoint():
                del txn[b"0"]
            assert list(txn) == [b"1"]
            outer.rollback()
        assert list(txn) == [b"0"]
    assert list(db) == [b"0"]


def test_exception_through_all_savepoints_rolls_all_back(db: cowtree.Database) -> None:
    with pytest.raises(KeyboardInterrupt), db.transaction() as txn:
        txn[b"0"] = b""
        with txn.savepoint():
            txn[b"1"] = b""
            with txn.savepoint():
                txn[b"2"] = b""
                raise KeyboardInterrupt
    assert dict(db) == {}
    assert db.commit_id == 0


def test_savepoint_brings_dropped_and_changed_trees_back(db: cowtree.Database) -> None:
    big = ModelTree((b"%05d" % i, pattern(i, i % 300)) for i in range(3000))
    db.tree("t").update(big.items())
    with db.transaction() as txn:
        with txn.savepoint() as savepoint:
            assert txn.drop("t")
            txn.tree("t")[b"new"] = b"1"
            savepoint.rollback()
        check_equal(txn.tree("t"), big)
        with txn.savepoint() as savepoint:
            txn.tree("t").delete_range(b"00100", b"02900")
            savepoint.rollback()
        check_equal(txn.tree("t"), big)
        txn[b"k"] = b"v"
    check_equal(db.tree("t"), big)


def test_savepoint_of_an_ended_transaction_is_of_no_use(db: cowtree.Database) -> None:
    with db.transaction() as txn, txn.savepoint() as savepoint:
        txn[b"a"] = b"1"
        txn.commit()
        with pytest.raises(cowtree.TransactionError):
            savepoint.rollback()
    assert dict(db) == {b"a": b"1"}


def test_writes_after_a_rollback_inside_the_block_are_kept(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        with txn.savepoint() as savepoint:
            txn[b"a"] = b"undone"
            savepoint.rollback()
            txn[b"b"] = b"kept"
        assert dict(txn) == {b"b": b"kept"}
    assert dict(db) == {b"b": b"kept"}


def test_many_savepoints_one_after_the_other_and_deeply_nested(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        for i in range(2000):
            with txn.savepoint() as savepoint:
                txn[b"%04d" % i] = b"v" * 50
                if i % 2:
                    savepoint.rollback()
        assert list(txn) == [b"%04d" % i for i in range(0, 2000, 2)]
        nest(txn, 100)
        assert txn.count(prefix=b"depth") == 50
    assert db.count(prefix=b"depth") == 50


def nest(txn: cowtree.Transaction, depth: int) -> None:
    """Savepoints in each other; the inner 50 are undone, from the inside to the outside."""
    if depth == 0:
        return
    with txn.savepoint() as savepoint:
        txn[b"depth %03d" % depth] = b""
        nest(txn, depth - 1)
        if depth <= 50:
            savepoint.rollback()
            assert txn.count(prefix=b"depth") == 100 - depth


@pytest.mark.parametrize("write_memory", [1 << 16, 64 << 20], ids=["spilling", "in_memory"])
def test_large_savepoints_roll_back_exactly(path: Path, write_memory: int) -> None:
    model = ModelTree((b"%06d" % i, pattern(i, 100)) for i in range(8000))
    with cowtree.open(path, sync=False, write_memory=write_memory) as db:
        with db.transaction() as txn:
            txn.update(model.items())
            for round_number in range(3):
                with txn.savepoint() as savepoint:
                    for i in range(0, 12_000, 3):
                        txn[b"%06d" % i] = pattern(i + round_number, 120)
                    txn.delete_range(b"002000", b"003000")
                    savepoint.rollback()
                check_equal(txn, model)
        check_equal(db, model)
        report = db.check()
        assert report.ok, report.problems


def test_large_value_of_before_a_savepoint_outlives_a_spill_inside_it(path: Path) -> None:
    """The spill must not write it: a rollback gives up every page written since the savepoint."""
    with cowtree.open(path, sync=False, write_memory=1 << 16) as db:
        with db.transaction() as txn:
            txn[b"a"] = b"x" * 12_000
            with txn.savepoint() as savepoint:
                for i in range(200):
                    txn[b"a%03d" % i] = b"y" * 1500
                savepoint.rollback()
        assert dict(db) == {b"a": b"x" * 12_000}
        assert db.check().ok
