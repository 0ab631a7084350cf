"""The past as a state machine: commits, tags, restores, differences, compaction, other processes and kills.

The model is a dict of whole states by commit id; every difference is compared with a full comparison.
"""

from __future__ import annotations

import copy
import os
import pickle
import signal
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_device import in_memory
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from strategies import keys, names, values
from test_diff import State, expected_changes, without_values

import cowtree
from cowtree import ALL, SnapshotGoneError, registry
from cowtree.auto_compaction import Worker
from cowtree.storage.file_system import FileSystem

TAGS = st.sampled_from(["a", "b/c", "v1.0"])


def tidy(state: State) -> State:
    """Without what cannot be told from a missing tree."""
    return {name: tree for name, tree in state.items() if tree}


class History(RuleBasedStateMachine):
    """Everything that names, compares, keeps or drops commits."""

    page_size = 4096
    in_memory = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=in_memory())
        self.path: Any = ":memory:" if self.in_memory else Path(self.folder.name) / "h.cow"
        self.db = cowtree.open(self.path, sync=False, page_size=self.page_size)
        self.states: dict[int, State] = {0: {}}
        self.notes: dict[int, bytes] = {}
        self.tags: dict[str, int] = {}
        self.snapshots: list[tuple[cowtree.Snapshot, State]] = []
        self.history: int | None = None

    @property
    def newest(self) -> int:
        return max(self.states)

    def committed(self, commit_id: int, state: State, note: bytes = b"") -> None:
        assert self.db.commit_id == commit_id
        if commit_id != self.newest:
            assert commit_id == self.newest + 1 or not self.states
            self.states[commit_id] = state
            self.notes[commit_id] = note

    @initialize(count=st.integers(0, 400))
    def fill(self, count: int) -> None:
        tree = {b"fill %05d" % i: b"x" * (i % 90) for i in range(count)}
        self.db.update(tree)
        self.committed(self.db.commit_id, {None: tree})

    @rule(
        changes=st.lists(st.tuples(names, keys, st.one_of(st.none(), values)), max_size=12),
        cut=st.one_of(st.none(), st.tuples(names, keys, keys)),
        drop=st.one_of(st.none(), names),
        note=st.binary(max_size=20),
        tag=st.one_of(st.none(), TAGS),
    )
    def commit(self, changes: Any, cut: Any, drop: Any, note: bytes, tag: str | None) -> None:
        state = copy.deepcopy(self.states[self.newest])
        with self.db.transaction(note=note) as txn:
            if drop is not None:
                txn.drop(drop)
                state.pop(drop, None)
            for name, key, value in changes:
                tree = txn.tree(name)
                if value is None:
                    tree.delete(key)
                    state.get(name, {}).pop(key, None)
                else:
                    tree[key] = value
                    state.setdefault(name, {})[key] = value
            if cut is not None:
                name, low, high = cut
                txn.tree(name).delete_range(low, high)
                for key in [key for key in state.get(name, {}) if low <= key < high]:
                    del state[name][key]
            if tag is not None:
                txn.tag(tag, move=True)
            before = self.states[self.newest]
            assert list(txn.diff(self.newest)) == expected_changes(before, state)
        assert txn.commit_id is not None
        self.committed(txn.commit_id, state, note)
        if tag is not None:
            self.tags[tag] = self.newest

    @rule(data=st.data(), name=TAGS)
    def tag(self, data: Any, name: str) -> None:
        at = data.draw(st.sampled_from(sorted(self.states)))
        self.db.tag(name, at, move=True)
        self.tags[name] = at

    @precondition(lambda self: self.tags)
    @rule(data=st.data())
    def untag(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.tags)))
        self.db.untag(name)
        del self.tags[name]

    @rule(data=st.data())
    def restore(self, data: Any) -> None:
        at = data.draw(st.sampled_from(sorted(self.states)))
        self.committed(self.db.restore(at), copy.deepcopy(self.states[at]))

    @rule(data=st.data(), name=names)
    def restore_one_tree(self, data: Any, name: str | None) -> None:
        at = data.draw(st.sampled_from(sorted(self.states)))
        state = copy.deepcopy(self.states[self.newest])
        state.pop(name, None)
        if name in self.states[at]:
            state[name] = dict(self.states[at][name])
        with self.db.transaction() as txn:
            txn.restore(at, tree=name)
        assert txn.commit_id is not None
        self.committed(txn.commit_id, state)

    @rule(data=st.data(), low=st.one_of(st.none(), keys), high=st.one_of(st.none(), keys))
    def difference(self, data: Any, low: bytes | None, high: bytes | None) -> None:
        a, b = (data.draw(st.sampled_from(sorted(self.states))) for _ in range(2))
        expected = expected_changes(self.states[a], self.states[b], low, high)
        assert list(self.db.diff(a, b, start=low, stop=high)) == expected
        assert list(self.db.diff(a, b, start=low, stop=high, values=False)) == without_values(
            expected
        )
        name = data.draw(names)
        assert list(self.db.diff(a, b, tree=name, start=low, stop=high)) == [
            change for change in expected if change.tree == name
        ]

    @rule(data=st.data())
    def feed(self, data: Any) -> None:
        since = data.draw(st.sampled_from(sorted(self.states)))
        feed = self.db.changes(since, tree=ALL)
        assert list(feed) == expected_changes(self.states[since], self.states[self.newest])
        assert feed.position == self.newest

    @precondition(lambda self: len(self.snapshots) < 6)
    @rule(data=st.data(), pickled=st.booleans())
    def take(self, data: Any, pickled: bool) -> None:
        at = data.draw(st.sampled_from(sorted(self.states)))
        snapshot = self.db.snapshot(at)
        if pickled and not self.in_memory:
            snapshot = pickle.loads(pickle.dumps(snapshot))
        self.snapshots.append((snapshot, self.states[at]))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def give_up(self, data: Any) -> None:
        position = data.draw(st.integers(0, len(self.snapshots) - 1))
        self.snapshots.pop(position)[0].close()

    @rule(history=st.one_of(st.none(), st.integers(0, 4)))
    def configure(self, history: int | None) -> None:
        self.db.configure(history=history)
        self.history = history

    def needed(self) -> set[int]:
        """What a compaction has to keep; a forked process knows the snapshots of its parent."""
        ids = sorted(self.states)
        kept = {0, self.newest, *self.tags.values(), *ids[max(0, len(ids) - (self.history or 0)) :]}
        return kept | {snapshot.commit_id for snapshot, _ in self.snapshots}

    def dropped(self, kept: set[int]) -> None:
        """Only these commits are there now."""
        for commit_id in [commit_id for commit_id in self.states if commit_id not in kept]:
            del self.states[commit_id]
            with pytest.raises(SnapshotGoneError):
                self.db.snapshot(commit_id)
        report = self.db.check()
        assert report.ok, report.problems

    @rule()
    def compact(self) -> None:
        needed = self.needed()
        self.db.compact()
        self.dropped(needed)

    @precondition(lambda self: not self.in_memory and self.newest)
    @rule()
    def compact_by_itself(self) -> None:
        """As in the background; young commits are kept as well, if they cost little."""
        needed = self.needed()
        relocate(self.path)
        kept = {0, *(commit.id for commit in self.db.history())}
        assert needed & self.states.keys() <= kept <= self.states.keys()
        self.dropped(kept)

    @precondition(lambda self: not self.in_memory)
    @rule(
        changes=st.lists(st.tuples(names, keys, values), min_size=1, max_size=6),
        tag=st.one_of(st.none(), TAGS),
        killed=st.booleans(),
    )
    def another_process_commits(self, changes: Any, tag: str | None, killed: bool) -> None:
        def work(db: cowtree.Database) -> int:
            with db.transaction(note=b"other") as txn:
                for name, key, value in changes:
                    txn.tree(name)[key] = value
                if tag is not None:
                    txn.tag(tag, move=True)
            return txn.commit_id or 0

        before = self.states[self.newest]
        state = copy.deepcopy(before)
        for name, key, value in changes:
            state.setdefault(name, {})[key] = value
        made = in_another_process(self.path, work, killed=killed)
        assert made is not None
        self.committed(made, state, b"other")
        if tag is not None:
            self.tags[tag] = self.newest

    @precondition(lambda self: not self.in_memory)
    @rule(killed=st.sampled_from([None, "before", "after"]))
    def another_process_compacts(self, killed: str | None) -> None:
        """It is killed before or after the new file has the path, or ends by itself."""
        needed = self.needed()

        def work(db: cowtree.Database) -> int:
            rename = FileSystem.rename

            def kill(system: FileSystem, source: str, target: str) -> None:
                if killed == "after":
                    rename(system, source, target)
                os.kill(os.getpid(), signal.SIGKILL)

            if killed is not None:
                FileSystem.rename = kill  # type: ignore[method-assign]
            db.compact()
            return db.commit_id

        done = in_another_process(self.path, work, killed=False)
        assert (done is None) == (killed is not None)
        if killed != "before":
            self.dropped(needed)

    @precondition(lambda self: not self.in_memory)
    @rule()
    def reopen(self) -> None:
        self.db.close()
        self.db = cowtree.open(self.path, sync=False)

    @invariant()
    def tags_and_history_agree(self) -> None:
        assert self.db.tags() == self.tags
        listed = list(self.db.history(reverse=False))
        assert [commit.id for commit in listed] == sorted(self.states)[1:]
        for commit in listed:
            assert commit.note == self.notes[commit.id]
            assert commit.entries == sum(map(len, self.states[commit.id].values()))
            assert set(commit.tags) == {n for n, i in self.tags.items() if i == commit.id}

    @invariant()
    def states_agree(self) -> None:
        for snapshot, state in self.snapshots:
            assert read(snapshot) == tidy(state)
        for name, commit_id in self.tags.items():
            assert read(self.db.snapshot(name)) == tidy(self.states[commit_id])
        with self.db.snapshot() as newest:
            assert read(newest) == tidy(self.states[self.newest])

    def teardown(self) -> None:
        for commit_id, state in self.states.items():
            assert read(self.db.snapshot(commit_id)) == tidy(state)
        report = self.db.check()
        assert report.ok, report.problems
        self.db.close()
        self.folder.cleanup()


def relocate(path: Path) -> None:
    """Compact as it is done in the background, in this thread."""
    engine = registry.engine_for(
        str(path), create=False, readonly=False, mode=0o666, page_size=None, mapped=True
    )
    try:
        worker: Any = Worker(engine)
        worker.worthwhile = lambda needed, pages: True
        engine.compactor = worker
        worker.run()
        assert engine.compaction_problem is None, engine.compaction_problem
    finally:
        registry.release(engine)


def in_another_process(
    path: Path, work: Callable[[cowtree.Database], int], *, killed: bool
) -> int | None:
    """What `work` returns there; None: it was killed inside. `killed`: it is afterwards, without closing anything."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            db = cowtree.open(path, sync=False)
            os.write(writing, b"%d" % work(db))
            if killed:
                os.kill(os.getpid(), signal.SIGKILL)
            db.close()
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    while piece := os.read(reading, 1 << 16):
        said += piece
    os.close(reading)
    os.waitpid(child, 0)
    assert not said or said.isdigit(), said.decode()
    return int(said) if said else None


def read(snapshot: cowtree.Snapshot) -> State:
    state: State = {name: dict(snapshot.tree(name)) for name in snapshot.trees()}
    state[None] = dict(snapshot)
    return tidy(state)


class InMemory(History):
    in_memory = True


class LargePages(History):
    page_size = 65536


FEWER = settings(max_examples=40, stateful_step_count=30)
TestHistory = History.TestCase
TestHistory.settings = FEWER
TestHistoryInMemory = InMemory.TestCase
TestHistoryInMemory.settings = settings(FEWER, max_examples=15)
TestHistoryLargePages = LargePages.TestCase
TestHistoryLargePages.settings = settings(FEWER, max_examples=10)
