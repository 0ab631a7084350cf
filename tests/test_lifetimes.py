"""Handles, transactions, savepoints and iterators in the wrong order: whoever goes first, nothing hangs or lies."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree import codecs

EXITS = {
    "exit": "txn = db.transaction(); txn[b'a'] = b'1'; sys.exit(3)",
    "exception": "def f():\n    txn = db.transaction()\n    txn[b'a'] = b'1'\n    raise KeyError\nf()",
    "handle first": "txn = db.transaction(); txn[b'a'] = b'1'; del db",
    "savepoint": "txn = db.transaction(); sp = txn.savepoint(); txn.tree('t')[b'a'] = b'1'; sys.exit(3)",
    "cycle": "class C: pass\nc = C(); c.c = c; c.txn = db.transaction(); c.db = db; c.txn[b'a'] = b'1'; sys.exit(3)",
}


@pytest.mark.parametrize("where", ["file", ":memory:"])
@pytest.mark.parametrize("case", EXITS)
def test_a_process_with_an_open_transaction_ends(path: Path, case: str, where: str) -> None:
    program = (
        f"import cowtree, sys\ndb = cowtree.open(sys.argv[1])\ndb[b'k'] = b'v'\n{EXITS[case]}\n"
    )
    place = str(path) if where == "file" else where
    command = [sys.executable, "-c", program, place]
    subprocess.run(command, capture_output=True, timeout=30, check=False)
    if where == "file":
        with cowtree.open(path, timeout=0) as db:
            assert dict(db) == {b"k": b"v"}
            db[b"l"] = b"w"


def test_a_transaction_outlives_the_handle_that_it_was_begun_with(path: Path) -> None:
    with cowtree.open(path).transaction() as txn:
        txn[b"a"] = b"1"
    with cowtree.open(path, timeout=0) as db:
        assert dict(db) == {b"a": b"1"}


def test_a_handle_closes_while_a_transaction_of_a_dropped_one_is_open(path: Path) -> None:
    other = cowtree.open(path)
    txn = cowtree.open(path).transaction()
    txn[b"a"] = b"1"
    closing = threading.Thread(target=other.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert txn.commit() == 1
    with cowtree.open(path, timeout=0) as db:
        assert dict(db) == {b"a": b"1"}


def test_what_a_function_leaves_open_is_rolled_back(path: Path) -> None:
    def leave_open() -> None:
        db = cowtree.open(path)
        txn = db.transaction()
        txn[b"a"] = b"1"

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        leave_open()
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    with cowtree.open(path, timeout=0) as db:
        db[b"b"] = b"2"
        assert dict(db) == {b"b": b"2"}


def test_closing_a_handle_ends_its_transaction_and_the_file(path: Path) -> None:
    db = cowtree.open(path)
    txn = db.transaction()
    txn[b"a"] = b"1"
    db.close()
    with pytest.raises(cowtree.TransactionError):
        txn.commit()
    with pytest.raises(cowtree.TransactionError):
        txn.rollback()
    assert path.stat().st_size < 64 << 10  # closed: its tail is cut


def test_a_transaction_that_another_thread_began_and_left(path: Path) -> None:
    """Threads' identifiers are used again: a later thread must not be taken for one that has ended."""
    with cowtree.open(path) as db:
        kept: list[Any] = []
        thread = threading.Thread(target=lambda: kept.append(db.transaction()))
        thread.start()
        thread.join()
        found: list[BaseException] = []

        def begin() -> None:
            try:
                db.transaction(timeout=0)
            except cowtree.Error as error:
                found.append(error)

        for _ in range(20):
            thread = threading.Thread(target=begin)
            thread.start()
            thread.join()
        assert {type(error) for error in found} == {cowtree.LockTimeoutError}
        assert len(found) == 20
        kept[0].rollback()


def test_a_difference_of_a_tree_whose_savepoint_was_undone() -> None:
    with cowtree.open(":memory:") as db, db.transaction() as txn:
        with txn.savepoint() as savepoint:
            new = txn.tree("new")
            new.update((b"%06d" % i, b"v" * 20) for i in range(20000))
            changes = txn.diff(0, tree="new")
            next(changes)
            savepoint.rollback()
        for i in range(3000):
            txn[b"%06d" % i] = b"w" * 20
        assert list(changes) == []
        assert (len(new), txn.trees()) == (0, [])


@pytest.mark.parametrize("name", [None, "new", "old"])
@pytest.mark.parametrize("when", [0, 3000, 5000])
def test_an_update_whose_input_undoes_the_savepoint_around_it(name: str | None, when: int) -> None:
    with cowtree.open(":memory:") as db:
        db.tree("old")[b"k"] = b"v"
        txn = db.transaction()
        txn[b"before"] = b"1"
        savepoint = txn.savepoint()

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            for i in range(5000):
                if i == when:
                    savepoint.rollback()
                yield b"%06d" % i, b"v" * 20
            if when == 5000:
                savepoint.rollback()

        with pytest.raises(cowtree.TransactionError, match="savepoint"):
            txn.tree(name).update(pairs())
        txn.commit()
        assert dict(db) == {b"before": b"1"}
        assert dict(db.tree("old")) == {b"k": b"v"}
        assert db.trees() == ["old"]
        assert db.check().ok


def test_an_update_whose_input_opens_and_ends_savepoints_of_its_own() -> None:
    with cowtree.open(":memory:") as db, db.transaction() as txn:
        t = txn.tree("t")

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            for i in range(100):
                with txn.savepoint() as savepoint:
                    txn.tree("side")[b"%d" % i] = b"x"
                    if i % 2:
                        savepoint.rollback()
                yield b"%02d" % i, b"v"

        t.update(pairs())
        assert (len(t), len(txn.tree("side"))) == (100, 50)


def test_a_savepoint_that_has_ended_touches_no_newer_one() -> None:
    with cowtree.open(":memory:") as db:
        txn = db.transaction()
        outer = txn.savepoint()
        inner = txn.savepoint().__enter__()
        outer.rollback()
        txn.savepoint()
        txn.savepoint()
        txn[b"x"] = b"1"
        inner.__exit__(ValueError, None, None)
        assert list(txn) == [b"x"]
        with pytest.raises(cowtree.TransactionError, match="savepoint has ended"):
            inner.rollback()
        txn.commit()
        assert list(db) == [b"x"]


def test_codecs_are_recorded_with_the_first_change_alone() -> None:
    with cowtree.open(":memory:") as db:
        with db.transaction() as txn:
            with pytest.raises(cowtree.KeyTooLargeError):
                txn.tree("y", key=codecs.Text)["a" * 5000] = b""
            txn.tree("y")[b"\xff\xfe"] = b"raw"
        assert db.tree_codecs("y") == ("", "")
        with db.transaction() as txn:
            text = txn.tree("x", key=codecs.Text)
            assert not text.put("a", b"1", expect=b"0")
            assert not text.delete("a")
            assert text.pop("a", None) is None
            text.clear()
            text.update({})
            txn.tree("x", key=codecs.Int)[1] = b"2"
        assert db.tree_codecs("x") == ("int", "")
        with db.transaction() as txn:
            with txn.savepoint() as savepoint:
                txn.tree("z", key=codecs.Text)["a"] = b"1"
                savepoint.rollback()
            txn.tree("z", key=codecs.Int)[1] = b"2"
        assert db.tree_codecs("z") == ("int", "")


class Named:
    """A codec with a name of its own."""

    def __init__(self, size: int) -> None:
        self.name = "n" * size

    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, data: bytes) -> bytes:
        return data

    def prefix(self, value: bytes) -> tuple[bytes, None]:
        return value, None


def test_names_of_codecs_stay_inside_a_record(path: Path) -> None:
    with cowtree.open(path) as db:
        for size in (256, 1100, 70_000):
            with pytest.raises(ValueError, match="255 bytes"):
                db.tree("x", key=Named(size))
            with pytest.raises(ValueError, match="255 bytes"):
                db.tree("x", value=Named(size))
        name = "t" * (db.key_size_max - 1)
        db.tree(name, key=Named(255), value=Named(255))[b"a"] = b"1"
        db.compact()
        assert db.check().ok
        assert dict(db.tree(name)) == {b"a": b"1"}


@pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="the system does not list what is mapped"
)
def test_a_replaced_file_is_let_go_without_a_collection(path: Path) -> None:
    """Each file that a reference cycle keeps mapped keeps its disk space too."""
    gc.collect()
    gc.disable()
    try:
        with cowtree.open(path, sync=False) as db:
            for turn in range(4):
                for i in range(50):
                    with db.transaction() as txn:
                        txn[b"%d" % i] = b"%d" % turn * 1000
                del txn
                db.compact()
            with open("/proc/self/maps", encoding="utf-8") as maps:
                kept = [line for line in maps if str(path.parent) in line and "deleted" in line]
        assert kept == []
    finally:
        gc.enable()
