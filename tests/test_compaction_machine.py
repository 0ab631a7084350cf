"""The past as a state machine: commits, tags, restores, differences, compaction and reopening, beside a model.

The model is a dict of whole states by commit id; every difference is compared with a full comparison.
"""

from __future__ import annotations

import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from strategies import keys, names, values
from test_diff import State, expected_changes, without_values

import cowtree
from cowtree import ALL, SnapshotGoneError

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
        self.folder = tempfile.TemporaryDirectory()
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

    @rule()
    def compact(self) -> None:
        self.db.compact()
        ids = sorted(self.states)
        kept = {0, self.newest, *self.tags.values(), *ids[max(0, len(ids) - (self.history or 0)) :]}
        kept |= {snapshot.commit_id for snapshot, _ in self.snapshots}
        gone = [commit_id for commit_id in ids if commit_id not in kept]
        for commit_id in gone:
            del self.states[commit_id]
            with pytest.raises(SnapshotGoneError):
                self.db.snapshot(commit_id)
        report = self.db.check()
        assert report.ok, report.problems

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
