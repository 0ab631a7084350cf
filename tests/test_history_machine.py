"""The past against the model: commits, tags, settings, restores and differences in the order Hypothesis chooses.

Each run ends with `check()`, a new handle, and a look at every commit. Set COWTREE_HYPOTHESIS=thorough for more.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from history_model import (
    Kept,
    Part,
    Past,
    Trees,
    check_trees,
    copied,
    differences,
    microsecond_after,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
)
from model import pattern
from strategies import NAMES, bounds, flags, keys, names, prefixes

import cowtree
from cowtree import ALL

pytestmark = pytest.mark.usefixtures("left_large")

NAMED = sorted({name for name in NAMES if name is not None})
TAGS = ("a", "b.1", "_", "release/1:x-y", "Z")

tag_names = st.sampled_from(TAGS)
named = st.sampled_from(NAMED)
values = st.builds(pattern, st.integers(0, 9), st.sampled_from([0, 5, 5, 40, 900, 2100, 9000]))
notes = st.sampled_from([b"", b"", b"note", bytes(1024)])
# What names a commit: its form, and which of those there are.
ats = st.tuples(
    st.sampled_from(["id", "id", "tag", "commit", "snapshot", "time", "after", "none"]),
    st.integers(0, 400),
)
parts = st.builds(
    Part,
    st.one_of(st.just(ALL), st.just(ALL), names),
    bounds,
    bounds,
    prefixes,
    st.sampled_from([True, True, False]),
)
steps = st.one_of(
    st.tuples(st.just("put"), names, keys, values),
    st.tuples(st.just("put"), names, keys, values),
    st.tuples(st.just("delete"), names, st.integers(0, 400)),
    st.tuples(
        st.just("fill"), names, st.integers(0, 400), st.integers(1, 150), st.sampled_from([5, 60])
    ),
    st.tuples(st.just("range"), names, bounds, bounds),
    st.tuples(st.just("clear"), names),
    st.tuples(st.just("drop"), named),
    st.tuples(st.just("rename"), named, named),
    st.tuples(st.just("restore"), ats, st.one_of(st.just(ALL), names)),
    st.tuples(st.just("tag"), tag_names, flags),
    st.tuples(st.just("diff"), ats, parts),
    st.tuples(st.sampled_from(["savepoint", "savepoint", "keep", "undo", "undo", "read"])),
)


class Draft:
    """The model of an open transaction: trees, tags of its own, what a savepoint brings back."""

    def __init__(self, past: Past) -> None:
        self.trees = copied(past.trees)
        self.own_tags: set[str] = set()
        self.touched = False
        self.saved: list[tuple[Any, Trees, set[str], bool]] = []

    def tree(self, name: str | None) -> dict[bytes, bytes]:
        """To write: it exists from here on."""
        self.touched = True
        return self.trees.setdefault(name, {})


class HistoryMachine(RuleBasedStateMachine):
    """One database, its whole past, and snapshots kept open or pickled."""

    options: ClassVar[dict[str, Any]] = {}
    in_memory: ClassVar[bool] = False

    kept = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="cowtree-"))
        self.path = ":memory:" if self.in_memory else self.directory / "test.cow"
        self.db = self.open()
        with self.db.snapshot(0) as snapshot:
            self.past = Past({0: Kept({None: {}}, b"", snapshot.time)})
        self.feeds = [0]  # positions of consumers, and what they have seen
        self.seen: list[Trees] = [{}]

    def open(self) -> cowtree.Database:
        return cowtree.open(self.path, sync=False, **self.options)

    def teardown(self) -> None:
        try:
            self.check_everything()
            self.db.close()
            if not self.in_memory:
                with self.open() as self.db:
                    self.check_everything()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def check_everything(self) -> None:
        report = self.db.check()
        assert report.ok, report.problems
        assert self.db.tags() == self.past.tags
        self.list_history(("none", 0), ("none", 0), True)
        for commit_id, kept in self.past.commits.items():
            with self.db.snapshot(commit_id) as snapshot:
                check_trees(snapshot, kept.trees)
        check_trees(self.db, self.past.trees)
        self.read_settings()

    # What the rules act on.

    def at(self, chosen: tuple[str, int]) -> tuple[Any, int]:
        """An `At` of the wanted form, and the commit that it has to name."""
        form, index = chosen
        ids = sorted(self.past.commits)
        commit_id = ids[index % len(ids)]
        if form == "tag" and self.past.tags:
            name = sorted(self.past.tags)[index % len(self.past.tags)]
            return name, self.past.tags[name]
        if form == "snapshot":
            return self.db.snapshot(commit_id), commit_id
        if form == "commit" and commit_id:
            found = list(self.db.history(commit_id, commit_id + 1))
            assert [commit.id for commit in found] == [commit_id]
            return found[0], commit_id
        if form in ("time", "after"):
            time = self.past.commits[commit_id].time
            time = time if form == "time" else microsecond_after(time)
            named_at = self.past.at_time(time)
            assert named_at is not None and named_at >= commit_id
            return time, named_at
        return commit_id, commit_id

    def keep_commit(self, commit_id: int, trees: Trees, note: bytes, touched: bool) -> None:
        """A writing call returned this id."""
        if self.past.committed(commit_id, trees, note, touched):
            with self.db.snapshot(commit_id) as snapshot:
                self.past.commits[commit_id] = Kept(trees, note, snapshot.time)
        assert self.db.commit_id == commit_id

    # Commits.

    @initialize(count=st.integers(0, 400), size=st.sampled_from([5, 100]))
    def fill_first(self, count: int, size: int) -> None:
        self.transact([("fill", None, 0, count, size)], b"first", True)

    @rule(name=names, key=keys, value=values)
    def put(self, name: str | None, key: bytes, value: bytes) -> None:
        tree: Any = self.db if name is None else self.db.tree(name)
        tree[key] = value
        trees = copied(self.past.trees)
        trees.setdefault(name, {})[key] = value
        self.keep_commit(self.db.commit_id, trees, b"", True)

    @rule(
        script=st.lists(steps, min_size=1, max_size=8),
        note=notes,
        commits=st.sampled_from([True, True, True, False]),
    )
    def transact(self, script: list[tuple[Any, ...]], note: bytes, commits: bool) -> None:
        """A transaction of many steps; its differences and trees are read on the way."""
        draft = Draft(self.past)
        with self.db.transaction(note=note) as txn:
            for what, *arguments in script:
                getattr(self, f"step_{what}")(txn, draft, *arguments)
            while draft.saved:
                self.step_keep(txn, draft)
            check_trees(txn, draft.trees)
            if not commits:
                txn.rollback()
                return
        assert txn.commit_id is not None
        self.keep_commit(txn.commit_id, draft.trees, note, draft.touched)
        for name in draft.own_tags:
            self.past.tags[name] = txn.commit_id

    def step_put(self, txn: Any, draft: Draft, name: str | None, key: bytes, value: bytes) -> None:
        txn.tree(name)[key] = value
        draft.tree(name)[key] = value

    def step_delete(self, txn: Any, draft: Draft, name: str | None, index: int) -> None:
        tree = draft.trees.get(name, {})
        key = sorted(tree)[index % len(tree)] if tree else b"absent"
        assert txn.tree(name).delete(key) is bool(tree)
        if tree:
            del draft.tree(name)[key]

    def step_fill(
        self, txn: Any, draft: Draft, name: str | None, start: int, count: int, size: int
    ) -> None:
        items = {b"%06d" % i: pattern(i, size) for i in range(start, start + count)}
        txn.tree(name).update(items)
        if items:
            draft.tree(name).update(items)

    def step_range(
        self, txn: Any, draft: Draft, name: str | None, start: bytes | None, stop: bytes | None
    ) -> None:
        if start is None and stop is None:
            return
        part = Part(name, start, stop, None, True)
        found = [key for key in draft.trees.get(name, {}) if part.holds(key)]
        assert txn.tree(name).delete_range(start, stop) == len(found)
        for key in found:
            del draft.tree(name)[key]

    def step_clear(self, txn: Any, draft: Draft, name: str | None) -> None:
        txn.tree(name).clear()
        if draft.trees.get(name):
            draft.tree(name).clear()

    def step_drop(self, txn: Any, draft: Draft, name: str) -> None:
        assert txn.drop(name) is (name in draft.trees)
        if draft.trees.pop(name, None) is not None:
            draft.touched = True

    def step_rename(self, txn: Any, draft: Draft, old: str, new: str) -> None:
        if old not in draft.trees:
            with pytest.raises(KeyError):
                txn.rename(old, new)
        elif new in draft.trees and new != old:
            with pytest.raises(ValueError):
                txn.rename(old, new)
        else:
            txn.rename(old, new)
            draft.touched |= old != new
            draft.trees[new] = draft.trees.pop(old)

    def step_restore(self, txn: Any, draft: Draft, at: tuple[str, int], tree: Any) -> None:
        wanted, commit_id = self.at(at)
        old = copied(self.past.commits[commit_id].trees)
        txn.restore(wanted, tree=tree)
        draft.touched = True
        if tree is ALL:
            draft.trees = old
        elif tree in old:
            draft.trees[tree] = old[tree]
        else:
            draft.trees.pop(tree, None)

    def step_tag(self, txn: Any, draft: Draft, name: str, move: bool) -> None:
        if not move and (name in self.past.tags or name in draft.own_tags):
            with pytest.raises(ValueError):
                txn.tag(name)
        else:
            txn.tag(name, move=move)
            draft.own_tags.add(name)

    def step_diff(self, txn: Any, draft: Draft, at: tuple[str, int], part: Part) -> None:
        wanted, commit_id = self.at(at)
        expected = differences(self.past.commits[commit_id].trees, draft.trees, part, ALL)
        assert list(txn.diff(wanted, **part.options())) == expected

    def step_savepoint(self, txn: Any, draft: Draft) -> None:
        if len(draft.saved) < 3:
            savepoint = txn.savepoint()
            savepoint.__enter__()
            draft.saved.append((savepoint, copied(draft.trees), set(draft.own_tags), draft.touched))

    def step_keep(self, txn: Any, draft: Draft) -> None:
        if draft.saved:
            draft.saved.pop()[0].__exit__(None, None, None)

    def step_undo(self, txn: Any, draft: Draft) -> None:
        if draft.saved:
            savepoint, draft.trees, draft.own_tags, draft.touched = draft.saved.pop()
            savepoint.rollback()

    def step_read(self, txn: Any, draft: Draft) -> None:
        check_trees(txn, draft.trees)
        check_trees(self.db, self.past.trees)

    @rule(at=ats)
    def restore(self, at: tuple[str, int]) -> None:
        wanted, commit_id = self.at(at)
        trees = copied(self.past.commits[commit_id].trees)
        self.keep_commit(self.db.restore(wanted), trees, b"", True)

    # Administrative records.

    @rule(name=tag_names, at=ats, move=flags)
    def tag(self, name: str, at: tuple[str, int], move: bool) -> None:
        wanted, commit_id = (None, self.past.newest) if at[0] == "none" else self.at(at)
        if name in self.past.tags and not move:
            with pytest.raises(ValueError):
                self.db.tag(name, wanted)
        else:
            self.db.tag(name, wanted, move=move)
            self.past.tags[name] = commit_id
        assert self.db.commit_id == self.past.newest

    @rule(name=tag_names)
    def untag(self, name: str) -> None:
        if self.past.tags.pop(name, None) is None:
            with pytest.raises(KeyError):
                self.db.untag(name)
        else:
            self.db.untag(name)

    @rule(
        changed=st.fixed_dictionaries(
            {},
            optional={
                "auto_compact": st.sampled_from([None, 1.5, 2.0, 7.25]),
                "history": st.sampled_from(
                    [None, 0, 3, 2**40, timedelta(0), timedelta(days=9, microseconds=1)]
                ),
            },
        )
    )
    def configure(self, changed: dict[str, Any]) -> None:
        self.db.configure(**changed)
        self.past.settings |= changed
        assert self.db.commit_id == self.past.newest
        self.read_settings()

    @rule()
    def read_settings(self) -> None:
        found = self.db.settings
        assert {"auto_compact": found.auto_compact, "history": found.history} == self.past.settings
        assert self.db.tags() == self.past.tags

    # Reading the past.

    @rule(at=ats)
    def read_at(self, at: tuple[str, int]) -> None:
        wanted, commit_id = self.at(at)
        kept = self.past.commits[commit_id]
        with self.db.snapshot(wanted) as snapshot:
            assert (snapshot.commit_id, snapshot.time) == (commit_id, kept.time)
            check_trees(snapshot, kept.trees)

    @rule(step=st.integers(1, 2**64), name=tag_names)
    def name_what_is_not_there(self, step: int, name: str) -> None:
        long_ago = datetime(1971, 1, 1, tzinfo=UTC)
        for wanted in (self.past.newest + step, -step, long_ago):
            with pytest.raises(cowtree.SnapshotGoneError):
                self.db.snapshot(wanted)
            with pytest.raises(cowtree.SnapshotGoneError):
                self.db.restore(wanted)
        for unknown in {name, name + "?", ""} - self.past.tags.keys():
            with pytest.raises(KeyError):
                self.db.snapshot(unknown)

    @rule(start=ats, stop=ats, reverse=flags)
    def list_history(self, start: tuple[str, int], stop: tuple[str, int], reverse: bool) -> None:
        first, low = (None, None) if start[0] == "none" else self.at(start)
        last, high = (None, None) if stop[0] == "none" else self.at(stop)
        found = list(self.db.history(first, last, reverse=reverse))
        assert [commit.id for commit in found] == self.past.listed(low, high, reverse)
        for commit in found:
            kept = self.past.commits[commit.id]
            assert (commit.note, commit.entries, commit.time) == (
                kept.note,
                kept.entries,
                kept.time,
            )
            assert commit.tags == self.past.tags_at(commit.id)

    @rule(old=ats, new=ats, part=parts)
    def diff(self, old: tuple[str, int], new: tuple[str, int], part: Part) -> None:
        before, first = self.at(old)
        after, last = (None, self.past.newest) if new[0] == "none" else self.at(new)
        trees = (self.past.commits[first].trees, self.past.commits[last].trees)
        expected = differences(*trees, part, ALL)
        assert list(self.db.diff(before, after, **part.options())) == expected
        with self.db.snapshot(after) as snapshot:
            assert list(snapshot.diff(before, **part.options())) == expected
            if part.tree is not ALL:
                options = {name: value for name, value in part.options().items() if name != "tree"}
                assert list(snapshot.tree(part.tree).diff(before, **options)) == expected
                if after is None:
                    assert list(self.db.tree(part.tree).diff(before, **options)) == expected

    @rule(interrupted=flags)
    def follow(self, interrupted: bool) -> None:
        """A consumer that applies the feed to a copy of its own: in the end it has what the database has."""
        changes = self.db.changes(self.feeds[-1])
        if interrupted and next(iter(changes), None) is not None:
            assert changes.position == self.feeds[-1]
        mirror = copied(self.seen[-1])
        for change in changes:
            tree = mirror.setdefault(change.tree, {})
            assert tree.get(change.key) == change.old
            if change.kind == "removed":
                del tree[change.key]
            else:
                assert change.new is not None
                tree[change.key] = change.new
        assert changes.position == self.past.newest
        assert {n: t for n, t in mirror.items() if t} == {
            n: t for n, t in self.past.trees.items() if t
        }
        self.feeds.append(changes.position)
        self.seen.append(mirror)

    # Snapshots that outlive what comes after them, and handles.

    @rule(target=kept, at=ats, pickled=flags)
    def keep_snapshot(self, at: tuple[str, int], pickled: bool) -> tuple[Any, int]:
        wanted, commit_id = self.at(at)
        snapshot = self.db.snapshot(wanted)
        if not pickled:
            return snapshot, commit_id
        with snapshot:
            if self.in_memory:
                with pytest.raises(TypeError):
                    pickle.dumps(snapshot)
                return self.db.snapshot(wanted), commit_id
            return pickle.dumps(snapshot), commit_id

    @rule(target=kept, found=consumes(kept), old=ats)
    def read_kept(self, found: tuple[Any, int], old: tuple[str, int]) -> Any:
        snapshot, commit_id = found
        if isinstance(snapshot, bytes):
            snapshot = pickle.loads(snapshot)
        assert snapshot.commit_id == commit_id
        check_trees(snapshot, self.past.commits[commit_id].trees)
        with self.db.snapshot(snapshot) as same:
            check_trees(same, self.past.commits[commit_id].trees)
        before, first = self.at(old)
        everything = Part(ALL, None, None, None, True)
        trees = (self.past.commits[first].trees, self.past.commits[commit_id].trees)
        assert list(self.db.diff(before, snapshot)) == differences(*trees, everything, ALL)
        snapshot.close()
        return multiple()

    @precondition(lambda self: not self.in_memory)
    @rule()
    def reopen(self) -> None:
        self.db.close()
        self.db = self.open()
        assert self.db.commit_id == self.past.newest
        self.read_settings()
        check_trees(self.db, self.past.trees)


class SpillMachine(HistoryMachine):
    """So little memory for dirty pages that transactions spill."""

    options: ClassVar[dict[str, Any]] = {"write_memory": 1 << 14}


class PositionalMachine(HistoryMachine):
    options: ClassVar[dict[str, Any]] = {"mmap": False}


class MemoryMachine(HistoryMachine):
    in_memory: ClassVar[bool] = True


TestFile = HistoryMachine.TestCase
TestSpill = SpillMachine.TestCase
TestPositional = PositionalMachine.TestCase
TestMemory = MemoryMachine.TestCase
for _case in (TestFile, TestSpill, TestPositional, TestMemory):
    _case.settings = settings(max_examples=settings.default.max_examples // 3)
del _case
