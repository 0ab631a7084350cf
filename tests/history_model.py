"""The reference model of a past: every commit with all its trees, the tags and the settings.

Past        commit id -> Kept; names of tags; the settings; the open transaction
Trees       name of a tree (None: the default tree) -> dict; a tree that exists may be empty
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cowtree import Change

Trees = dict[str | None, dict[bytes, bytes]]
Settings = dict[str, Any]


def copied(trees: Trees) -> Trees:
    return {name: dict(tree) for name, tree in trees.items()}


def entries_of(trees: Trees) -> Trees:
    """Without the trees that are empty, which no difference shows."""
    return {name: tree for name, tree in trees.items() if tree}


def names_of(trees: Trees) -> list[str]:
    return sorted((name for name in trees if name is not None), key=str.encode)


@dataclass
class Kept:
    """One commit."""

    trees: Trees
    note: bytes
    time: datetime

    @property
    def entries(self) -> int:
        return sum(map(len, self.trees.values()))


@dataclass
class Past:
    """What a database has to know."""

    commits: dict[int, Kept]
    tags: dict[str, int] = field(default_factory=dict)
    settings: Settings = field(default_factory=lambda: {"auto_compact": 2.0, "history": None})

    @property
    def newest(self) -> int:
        return max(self.commits)

    @property
    def trees(self) -> Trees:
        return self.commits[self.newest].trees

    def committed(self, commit_id: int, trees: Trees, note: bytes, touched: bool) -> bool:
        """Hold an id against what was done; True if it is a new commit, which the caller keeps."""
        before = self.newest
        if entries_of(trees) != entries_of(self.trees):
            assert commit_id == before + 1
        elif touched:
            assert commit_id in (before, before + 1)
        else:
            assert commit_id == before
        if commit_id == before:
            assert trees == self.trees, "trees came or went without a commit"
        return commit_id != before

    def at_time(self, time: datetime) -> int | None:
        """The newest commit not after a time."""
        found = [number for number, kept in self.commits.items() if kept.time <= time]
        return max(found, default=None)

    def listed(self, start: int | None, stop: int | None, reverse: bool) -> list[int]:
        """Ids that `history` has to list."""
        ids = [
            number
            for number in sorted(self.commits)
            if number > 0 and (start is None or number >= start) and (stop is None or number < stop)
        ]
        return ids[::-1] if reverse else ids

    def tags_at(self, commit_id: int) -> tuple[str, ...]:
        return tuple(sorted(name for name, at in self.tags.items() if at == commit_id))


@dataclass(frozen=True)
class Part:
    """What a difference is asked for: which trees, which keys, with values or without."""

    tree: Any  # ALL, a name or None
    start: bytes | None
    stop: bytes | None
    prefix: bytes | None
    values: bool

    def options(self) -> dict[str, Any]:
        return {
            "tree": self.tree,
            "start": self.start,
            "stop": self.stop,
            "prefix": self.prefix,
            "values": self.values,
        }

    def holds(self, key: bytes) -> bool:
        return (
            (self.start is None or key >= self.start)
            and (self.stop is None or key < self.stop)
            and (self.prefix is None or key.startswith(self.prefix))
        )


def differences(
    old: Trees, new: Trees, part: Part, all_trees: object
) -> list[Change[bytes, bytes]]:
    """A full comparison: the default tree first, then the others in the order of their UTF-8 bytes."""
    names = [None, *names_of({**old, **new})] if part.tree is all_trees else [part.tree]
    found: list[Change[bytes, bytes]] = []
    for name in names:
        before, after = old.get(name, {}), new.get(name, {})
        for key in filter(part.holds, sorted(before.keys() | after.keys())):
            a, b = before.get(key), after.get(key)
            if a == b:
                continue
            old_value, new_value = (a, b) if part.values else (None, None)
            if a is None:
                found.append(Change(name, key, "added", None, new_value))
            elif b is None:
                found.append(Change(name, key, "removed", old_value, None))
            else:
                found.append(Change(name, key, "changed", old_value, new_value))
    return found


def check_trees(reader: Any, trees: Trees) -> None:
    """All trees of a database, snapshot or transaction."""
    assert reader.trees() == names_of(trees)
    for name, tree in trees.items():
        part = reader if name is None else reader.tree(name)
        assert list(part.items()) == sorted(tree.items()), name
        assert len(part) == len(tree)


def microsecond_after(time: datetime) -> datetime:
    return time + timedelta(microseconds=1)
