"""The whole API against the model: Hypothesis chooses the calls, every run ends with `check()`.

Set COWTREE_HYPOTHESIS=thorough for many more and longer runs.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from model import (
    Model,
    ModelTree,
    State,
    check_equal,
    check_key,
    check_position,
    check_range,
    check_split,
    check_state,
    pattern,
)
from strategies import NAMES, SHAPES, bounds, flags, keys, names, prefixes, sizes, steps, values

import cowtree


class TreeMachine(RuleBasedStateMachine):
    """One database, at most one transaction with nested savepoints, any number of snapshots."""

    options: ClassVar[dict[str, Any]] = {}
    in_memory: ClassVar[bool] = False

    snapshots = Bundle("snapshots")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="cowtree-"))
        self.model = Model()
        self.db = self.open()
        self.txn: Any = None
        self.savepoints: list[tuple[Any, Any]] = []  # context manager, what its `with` gives

    def open(self) -> cowtree.Database:
        path = ":memory:" if self.in_memory else self.directory / "test.cow"
        return cowtree.open(path, sync=False, **self.options)

    def teardown(self) -> None:
        try:
            if self.txn is not None:
                check_equal(self.txn, self.model.read(None))
                self.txn.rollback()
                self.model.rollback()
            self.check_file()
            check_state(self.db, self.model.committed)
            self.db.close()
            if not self.in_memory:  # a copy: snapshots may keep the engine of the file alive
                shutil.copy(self.directory / "test.cow", self.directory / "copy.cow")
                with cowtree.open(self.directory / "copy.cow", readonly=True, **self.options) as db:
                    check_state(db, self.model.committed)
                    assert db.commit_id == self.model.commit_id
                    assert db.check().ok
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    @rule()
    def check_file(self) -> None:
        report = self.db.check()
        assert report.ok, report.problems

    # What the rules act on.

    def tree(self, name: str | None) -> Any:
        """The tree in the open transaction, or else of the database."""
        owner = self.db if self.txn is None else self.txn
        return owner if name is None else owner.tree(name)

    @contextlib.contextmanager
    def writing(self, name: str | None) -> Iterator[tuple[Any, ModelTree]]:
        """The tree and its model; outside a transaction the body is one commit."""
        yield self.tree(name), self.model.read(name)
        if self.txn is None:
            self.model.settle(self.db.commit_id)

    def reader(self, name: str | None, through_database: bool) -> tuple[Any, ModelTree]:
        """The tree in the transaction, or of the newest commit, which that does not change."""
        if not through_database:
            return self.tree(name), self.model.read(name)
        tree: Any = self.db if name is None else self.db.tree(name)
        return tree, self.model.read(name, committed=True)

    # Writing.

    @initialize(shape=st.sampled_from(sorted(SHAPES)), count=st.integers(0, 400), size=sizes)
    def fill_first(self, shape: str, count: int, size: int) -> None:
        self.fill(None, shape, 0, count, size, False)

    @rule(name=names, key=keys, value=values)
    def put(self, name: str | None, key: bytes, value: bytes) -> None:
        with self.writing(name) as (tree, _):
            tree[key] = value
            self.model.put(name, key, value)

    @rule(name=names, value=values, longer=st.integers(0, 1))
    def put_longest_key(self, name: str | None, value: bytes, longer: int) -> None:
        key = b"k" * (self.db.key_size_max + longer)
        with self.writing(name) as (tree, _):
            if longer:
                with pytest.raises(cowtree.KeyTooLargeError):
                    tree.put(key, value)
            else:
                assert tree.put(key, value)
                self.model.put(name, key, value)

    @rule(name=names, key=keys, value=values)
    def put_if_absent(self, name: str | None, key: bytes, value: bytes) -> None:
        with self.writing(name) as (tree, expected):
            absent = key not in expected
            assert tree.put(key, value, overwrite=False) is absent
            if absent:
                self.model.put(name, key, value)

    @rule(name=names, key=keys, value=values, guess=st.one_of(st.none(), values), right=flags)
    def put_expecting(
        self, name: str | None, key: bytes, value: bytes, guess: bytes | None, right: bool
    ) -> None:
        with self.writing(name) as (tree, expected):
            guess = expected.get(key) if right else guess
            matches = expected.get(key) == guess
            assert tree.put(key, value, expect=guess) is matches
            if matches:
                self.model.put(name, key, value)

    @rule(name=names, key=keys, value=values)
    def replace(self, name: str | None, key: bytes, value: bytes) -> None:
        with self.writing(name) as (tree, expected):
            assert tree.replace(key, value) == expected.get(key)
            self.model.put(name, key, value)

    @rule(name=names, key=keys, value=values)
    def setdefault(self, name: str | None, key: bytes, value: bytes) -> None:
        with self.writing(name) as (tree, expected):
            old = expected.get(key)
            assert tree.setdefault(key, value) == (value if old is None else old)
            if old is None:
                self.model.put(name, key, value)

    @rule(name=names, pairs=st.lists(st.tuples(keys, values), max_size=12), as_mapping=flags)
    def update(self, name: str | None, pairs: list[tuple[bytes, bytes]], as_mapping: bool) -> None:
        with self.writing(name) as (tree, _):
            tree.update(dict(pairs) if as_mapping else pairs)
            for key, value in pairs:
                self.model.put(name, key, value)

    @rule(
        name=names,
        shape=st.sampled_from(sorted(SHAPES)),
        start=st.integers(0, 300),
        count=st.integers(1, 300),
        size=sizes,
        descending=flags,
    )
    def fill(
        self, name: str | None, shape: str, start: int, count: int, size: int, descending: bool
    ) -> None:
        order = range(start, start + count)[:: -1 if descending else 1]
        size = min(size, 2_000_000 // max(count, 1))
        pairs = [(SHAPES[shape](i), pattern(i, size)) for i in order]
        self.update(name, pairs, False)

    @rule(name=names, key=keys, use_existing=flags, form=st.integers(0, 3))
    def delete(self, name: str | None, key: bytes, use_existing: bool, form: int) -> None:
        with self.writing(name) as (tree, expected):
            if use_existing and len(expected):
                item = expected.ceiling(key) or expected.item_at(0)
                assert item is not None
                key = item[0]
            old = expected.get(key)
            if form == 0:
                assert tree.delete(key) is (old is not None)
            elif form == 1:
                assert tree.pop(key, None) == old
            elif old is None:
                with pytest.raises(KeyError):
                    tree.pop(key) if form == 2 else tree.__delitem__(key)
            elif form == 2:
                assert tree.pop(key) == old
            else:
                del tree[key]
            self.model.delete(name, key)

    @rule(name=names, key=keys, guess=st.one_of(st.none(), values), right=flags)
    def delete_expecting(
        self, name: str | None, key: bytes, guess: bytes | None, right: bool
    ) -> None:
        with self.writing(name) as (tree, expected):
            old = expected.get(key)
            guess = old if right else guess
            deletes = old is not None and old == guess
            assert tree.delete(key, expect=guess) is deletes
            if deletes:
                self.model.delete(name, key)

    @rule(name=names, last=flags)
    def popitem(self, name: str | None, last: bool) -> None:
        with self.writing(name) as (tree, expected):
            item = expected.item_at(len(expected) - 1 if last else 0)
            if item is None:
                with pytest.raises(KeyError):
                    tree.popitem(last=last)
            else:
                assert tree.popitem(last=last) == item
                self.model.delete(name, item[0])

    @rule(name=names, start=bounds, stop=bounds, prefix=prefixes)
    def delete_range(
        self, name: str | None, start: bytes | None, stop: bytes | None, prefix: bytes | None
    ) -> None:
        with self.writing(name) as (tree, expected):
            if start is None and stop is None and prefix is None:
                with pytest.raises(TypeError):
                    tree.delete_range()
                return
            found = expected.range(start, stop, prefix)
            assert tree.delete_range(start, stop, prefix=prefix) == len(found)
            self.model.delete_range(name, found)

    @rule(name=names)
    def clear(self, name: str | None) -> None:
        with self.writing(name) as (tree, expected):
            tree.clear()
            self.model.delete_range(name, list(expected.keys))

    # Transactions.

    @precondition(lambda self: self.txn is None)
    @rule()
    def begin(self) -> None:
        self.txn = self.db.transaction()
        self.model.begin()

    @precondition(lambda self: self.txn is not None)
    @rule()
    def commit(self) -> None:
        while self.savepoints:
            self.leave_savepoint(False)
        assert self.txn.commit_id is None
        commit_id = self.txn.commit()
        assert self.txn.commit_id == commit_id == self.db.commit_id
        self.model.commit(commit_id)
        self.txn = None

    @precondition(lambda self: self.txn is not None)
    @rule()
    def rollback(self) -> None:
        while self.savepoints:
            self.leave_savepoint(False)
        self.txn.rollback()
        self.model.rollback()
        self.txn = None

    @precondition(lambda self: self.txn is not None and len(self.savepoints) < 6)
    @rule()
    def savepoint(self) -> None:
        manager = self.txn.savepoint()
        self.savepoints.append((manager, manager.__enter__()))
        self.model.savepoint()

    @precondition(lambda self: self.savepoints)
    @rule(fails=flags)
    def leave_savepoint(self, fails: bool) -> None:
        manager, _ = self.savepoints.pop()
        if fails:
            error = RuntimeError("leaves the savepoint")
            assert not manager.__exit__(RuntimeError, error, None)
            self.model.rollback_to_savepoint()
        else:
            manager.__exit__(None, None, None)
        self.model.release()

    @precondition(lambda self: self.savepoints)
    @rule()
    def rollback_savepoint(self) -> None:
        manager, savepoint = self.savepoints.pop()
        savepoint.rollback()
        manager.__exit__(None, None, None)
        self.model.rollback_to_savepoint()
        self.model.release()

    @precondition(lambda self: self.txn is not None)
    @rule(name=st.sampled_from(sorted({name for name in NAMES if name is not None})))
    def drop(self, name: str) -> None:
        assert self.txn.drop(name) is self.model.drop(name)

    @rule(
        trees=st.tuples(names, names),
        script=st.lists(steps, min_size=12, max_size=40),
        end=st.integers(0, 3),
    )
    def scripted_transaction(
        self,
        trees: tuple[str | None, str | None],
        script: list[tuple[str, int, bytes, bytes]],
        end: int,
    ) -> None:
        """Many steps in one transaction: savepoints nest and end in every way."""
        if self.txn is None:
            self.begin()
        for what, tree, key, value in script:
            name = trees[tree]
            if what == "put":
                self.put(name, key, value)
            elif what == "update":
                self.update(name, [(key, value), (key + b"+", value), (key, b"last")], True)
            elif what == "delete":
                self.delete(name, key, True, 2)
            elif what == "range":
                self.delete_range(name, key, None, key[:3])
            elif what == "fill":
                self.fill(name, "number", len(key), 100, len(value), bool(value))
            elif what == "clear":
                self.clear(name)
            elif what == "drop" and name is not None:
                self.drop(name)
            elif what == "read":
                check_equal(self.tree(name), self.model.read(name))
            elif what == "savepoint" and len(self.savepoints) < 6:
                self.savepoint()
            elif what in ("keep", "fail") and self.savepoints:
                self.leave_savepoint(what == "fail")
            elif what == "undo" and self.savepoints:
                self.rollback_savepoint()
        self.read_everything(False)
        self.read_everything(True)
        if end == 0:
            self.rollback()
        elif end < 3:
            self.commit()

    @precondition(lambda self: self.txn is not None)
    @rule(key=keys, name=names)
    def write_beside_own_transaction(self, key: bytes, name: str | None) -> None:
        tree: Any = self.db if name is None else self.db.tree(name)
        with pytest.raises(cowtree.TransactionError):
            tree[key] = b"never stored"

    @rule(name=names, wrong=st.sampled_from(["text", 7, None, 1.5, (b"k",)]))
    def wrong_type(self, name: str | None, wrong: Any) -> None:
        with self.writing(name) as (tree, _):
            with pytest.raises(TypeError):
                tree[wrong] = b"value"
            with pytest.raises(TypeError):
                tree[b"key"] = wrong

    # Reading.

    @rule(
        name=names,
        start=bounds,
        stop=bounds,
        prefix=prefixes,
        inclusive=st.tuples(flags, flags),
        db=flags,
    )
    def read_range(
        self,
        name: str | None,
        start: bytes | None,
        stop: bytes | None,
        prefix: bytes | None,
        inclusive: tuple[bool, bool],
        db: bool,
    ) -> None:
        reader, expected = self.reader(name, db)
        check_range(reader, expected, start, stop, prefix, inclusive)

    @rule(name=names, some=st.lists(keys, min_size=1, max_size=8), db=flags)
    def read_keys(self, name: str | None, some: list[bytes], db: bool) -> None:
        reader, expected = self.reader(name, db)
        for key in some:
            check_key(reader, expected, key)
        some += expected.keys[:: max(1, len(expected) // 10)]
        assert reader.get_many(some) == [expected.get(key) for key in some]
        assert reader.get_many(some, b"?") == [expected.values.get(key, b"?") for key in some]

    @rule(name=names, index=st.integers(-700, 700), size=st.integers(0, 20), db=flags)
    def read_positions(self, name: str | None, index: int, size: int, db: bool) -> None:
        reader, expected = self.reader(name, db)
        check_position(reader, expected, index)
        if len(expected):
            indices = [(index + step * 37) % len(expected) for step in range(size)]
            assert reader.nth_many(indices) == [expected.item_at(i) for i in indices]
        view = reader.items()
        assert list(view[index : index + size]) == expected.items()[index : index + size]

    @rule(name=names, parts=st.integers(1, 12), start=bounds, stop=bounds, prefix=prefixes)
    def read_split(
        self,
        name: str | None,
        parts: int,
        start: bytes | None,
        stop: bytes | None,
        prefix: bytes | None,
    ) -> None:
        check_split(self.tree(name), self.model.read(name), parts, start, stop, prefix)

    @rule(
        name=names,
        moves=st.lists(
            st.one_of(st.sampled_from(["first", "last", "next", "next", "prev", "prev"]), keys),
            max_size=20,
        ),
        db=flags,
    )
    def walk_cursor(self, name: str | None, moves: list[str | bytes], db: bool) -> None:
        reader, expected = self.reader(name, db)
        cursor = reader.cursor()
        item = None
        for move in moves:
            if isinstance(move, bytes):
                item, moved = expected.ceiling(move), cursor.seek(move)
            elif move in ("first", "last"):
                item = expected.item_at(0 if move == "first" else len(expected) - 1)
                moved = getattr(cursor, move)()
            elif item is None:
                continue
            else:
                item = (expected.higher if move == "next" else expected.lower)(item[0])
                moved = getattr(cursor, move)()
            assert moved is (item is not None)
            if item is None:
                with pytest.raises(LookupError):
                    _ = cursor.key
            else:
                assert (cursor.key, cursor.value) == cursor.item == item

    @precondition(lambda self: self.model.committed[None].keys)
    @rule(index=st.integers(0, 1000))
    def read_buffer(self, index: int) -> None:
        expected = self.model.committed[None]
        item = expected.item_at(index % len(expected))
        assert item is not None
        with self.db.buffer(item[0]) as view:
            assert view.readonly
            assert bytes(view) == item[1]

    @rule(
        name=names,
        start=st.one_of(st.none(), bounds),
        reverse=flags,
        changes=st.lists(st.tuples(st.integers(0, 7), keys, values), min_size=1, max_size=30),
        shape=st.sampled_from(sorted(SHAPES)),
    )
    def iterate_while_changing(
        self,
        name: str | None,
        start: bytes | None,
        reverse: bool,
        changes: list[tuple[int, bytes, bytes]],
        shape: str,
    ) -> None:
        """Whatever happens to the tree, an iteration goes on at the next key as it is then."""
        if self.txn is None:
            self.begin()
        tree = self.tree(name)
        if len(tree) < 20:
            self.fill(name, shape, 0, 100, 100, False)
        iterator = iter(tree.items(start, reverse=reverse))
        last: bytes | None = None
        for kind, key, value in [*changes, (9, b"", b"")]:
            current = self.model.read(name)
            remaining = current.range(start)
            if last is not None:
                remaining = [k for k in remaining if (k < last if reverse else k > last)]
            if not remaining:
                assert next(iterator, None) is None
                return
            last = remaining[-1 if reverse else 0]
            assert next(iterator) == (last, current.values[last])
            if kind == 0:
                self.put(name, key, value)
            elif kind == 1:
                self.put(name, last, value)
            elif kind == 2:
                self.put(name, last[:900] + b"\0", value)
            elif kind == 3:
                self.delete(name, last, False, 3)
            elif kind == 4:
                self.delete(name, key, False, 0)
            elif kind == 5:  # the next one in the order of the iteration
                self.delete(
                    name, remaining[-2 if reverse else 1] if remaining[1:] else key, False, 0
                )
            elif kind == 6:
                self.delete_range(name, key, key + b"\xff", None)
            elif kind == 7:
                self.delete_range(name, last, last + b"\xff", None)

    @rule(db=flags)
    def read_everything(self, db: bool) -> None:
        for name in dict.fromkeys(NAMES):
            reader, expected = self.reader(name, db)
            check_equal(reader, expected)
        assert sorted(self.db.trees()) == self.model.names(committed=True)

    # Snapshots, the file as a whole.

    @rule(target=snapshots)
    def take_snapshot(self) -> tuple[Any, State, int]:
        snapshot = self.db.snapshot()
        assert snapshot.commit_id == self.model.commit_id
        return snapshot, self.model.freeze(), self.model.commit_id

    @rule(
        taken=snapshots, some=st.lists(keys, max_size=3), start=bounds, stop=bounds, prefix=prefixes
    )
    def read_snapshot(
        self,
        taken: tuple[Any, State, int],
        some: list[bytes],
        start: bytes | None,
        stop: bytes | None,
        prefix: bytes | None,
    ) -> None:
        snapshot, state, commit_id = taken
        assert snapshot.commit_id == commit_id
        check_state(snapshot, state)
        check_range(snapshot, state[None], start, stop, prefix)
        for key in some:
            check_key(snapshot, state[None], key)

    @rule(target=snapshots, taken=consumes(snapshots))
    def close_snapshot(self, taken: tuple[Any, State, int]) -> Any:
        snapshot, state, _ = taken
        check_state(snapshot, state)
        snapshot.close()
        with pytest.raises(cowtree.ClosedError):
            snapshot.get(b"a")
        return multiple()

    @precondition(lambda self: self.txn is None and not self.in_memory)
    @rule()
    def reopen(self) -> None:
        self.db.close()
        self.db = self.open()
        assert self.db.commit_id == self.model.commit_id
        check_state(self.db, self.model.committed)

    @invariant()
    def sizes_agree(self) -> None:
        assert len(self.db) == len(self.model.committed[None])
        assert self.db.commit_id == self.model.commit_id
        if self.txn is not None:
            assert len(self.txn) == len(self.model.read(None))


class SpillMachine(TreeMachine):
    """So little memory for dirty pages that most transactions spill."""

    options: ClassVar[dict[str, Any]] = {"write_memory": 1 << 16}


class MemoryMachine(TreeMachine):
    in_memory: ClassVar[bool] = True


class PositionalMachine(TreeMachine):
    """Reads by position instead of through a mapping."""

    options: ClassVar[dict[str, Any]] = {"mmap": False}


class LargePageMachine(TreeMachine):
    """The largest page size: offsets at the limit of 16 bits."""

    options: ClassVar[dict[str, Any]] = {"page_size": 65536}


TestFile = TreeMachine.TestCase
TestSpill = SpillMachine.TestCase
TestMemory = MemoryMachine.TestCase
TestPositional = PositionalMachine.TestCase
TestLargePages = LargePageMachine.TestCase
