"""The reference model: sorted dicts, copied for snapshots; and how a reader compares with it.

Model       levels[0] = committed state, levels[1] = open transaction, levels[2..] = savepoints
State       name of a tree (None: the default tree) -> ModelTree
ModelTree   a dict and its sorted keys
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

Item = tuple[bytes, bytes]


def pattern(seed: int, size: int) -> bytes:
    """`size` bytes that differ for different seeds (if long enough) and along the value."""
    if size < 64:
        return (b"%d|" % seed * (size // 2 + 1))[:size]
    block = b"".join(b"%d:%d;" % (seed, position) for position in range(64))
    return (block * (size // len(block) + 1))[:size]


class ModelTree:
    """One tree as a dict and the sorted list of its keys."""

    __slots__ = ("keys", "values")

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.values: dict[bytes, bytes] = dict(items)
        self.keys: list[bytes] = sorted(self.values)

    def copy(self) -> ModelTree:
        tree = ModelTree()
        tree.values = dict(self.values)
        tree.keys = list(self.keys)
        return tree

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: bytes) -> bool:
        return key in self.values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelTree) and self.values == other.values

    __hash__ = None  # type: ignore[assignment]

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self.values:
            insort(self.keys, key)
        self.values[key] = value

    def delete(self, key: bytes) -> bool:
        if key not in self.values:
            return False
        del self.values[key]
        del self.keys[bisect_left(self.keys, key)]
        return True

    def clear(self) -> None:
        self.values.clear()
        self.keys.clear()

    def delete_keys(self, keys: Sequence[bytes]) -> None:
        """Remove a contiguous, ascending piece of `self.keys`."""
        if keys:
            low = bisect_left(self.keys, keys[0])
            assert self.keys[low : low + len(keys)] == list(keys)
            del self.keys[low : low + len(keys)]
            for key in keys:
                del self.values[key]

    def range(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        inclusive: tuple[bool, bool] = (True, False),
    ) -> list[bytes]:
        """The keys between the bounds that begin with the prefix, ascending."""
        low, high = 0, len(self.keys)
        if start is not None:
            low = (bisect_left if inclusive[0] else bisect_right)(self.keys, start)
        if stop is not None:
            high = (bisect_right if inclusive[1] else bisect_left)(self.keys, stop)
        found = self.keys[low:high]
        return [key for key in found if key.startswith(prefix)] if prefix is not None else found

    def items(self, keys: Iterable[bytes] | None = None) -> list[Item]:
        return [(key, self.values[key]) for key in (self.keys if keys is None else keys)]

    def item_at(self, index: int) -> Item | None:
        if not 0 <= index < len(self.keys):
            return None
        return self.keys[index], self.values[self.keys[index]]

    def rank(self, key: bytes) -> int:
        return bisect_left(self.keys, key)

    def ceiling(self, key: bytes) -> Item | None:
        return self.item_at(bisect_left(self.keys, key))

    def higher(self, key: bytes) -> Item | None:
        return self.item_at(bisect_right(self.keys, key))

    def floor(self, key: bytes) -> Item | None:
        return self.item_at(bisect_right(self.keys, key) - 1)

    def lower(self, key: bytes) -> Item | None:
        return self.item_at(bisect_left(self.keys, key) - 1)


State = dict[str | None, ModelTree]


class Model:
    """A database: commit, transaction and savepoints as a stack; what the commit id must be."""

    def __init__(self) -> None:
        self.levels: list[State] = [{None: ModelTree()}]
        self.commit_id = 0
        self._touched = False  # something was stored or created, perhaps without effect
        self._changed = False  # entries are not what they were

    @property
    def committed(self) -> State:
        return self.levels[0]

    @property
    def in_transaction(self) -> bool:
        return len(self.levels) > 1

    def freeze(self) -> State:
        """A copy of the committed state, for a snapshot."""
        return {name: tree.copy() for name, tree in self.committed.items()}

    def read(self, name: str | None, *, committed: bool = False) -> ModelTree:
        """The tree as the newest level (or commit) has it; a missing one is empty."""
        return self.levels[0 if committed else -1].get(name) or ModelTree()

    def names(self, *, committed: bool = False) -> list[str]:
        return sorted(name for name in self.levels[0 if committed else -1] if name is not None)

    def put(self, name: str | None, key: bytes, value: bytes) -> None:
        tree = self.levels[-1].setdefault(name, ModelTree())
        self._touched = True
        self._changed |= tree.get(key) != value
        tree.put(key, value)

    def delete(self, name: str | None, key: bytes) -> bool:
        found = self.levels[-1].get(name, ModelTree()).delete(key)
        self._changed |= found
        return found

    def delete_range(self, name: str | None, keys: Sequence[bytes]) -> None:
        self.levels[-1].get(name, ModelTree()).delete_keys(keys)
        self._changed |= bool(keys)

    def drop(self, name: str) -> bool:
        tree = self.levels[-1].pop(name, None)
        self._touched |= tree is not None
        self._changed |= bool(tree)
        return tree is not None

    def begin(self) -> None:
        self.levels.append({name: tree.copy() for name, tree in self.levels[-1].items()})

    savepoint = begin

    def release(self) -> None:
        """Leave the innermost savepoint and keep what was done."""
        self.levels[-2:] = [self.levels[-1]]

    def rollback_to_savepoint(self) -> None:
        """Undo what the innermost savepoint did; it stays open."""
        self.levels.pop()
        self.begin()

    def rollback(self) -> None:
        del self.levels[1:]
        self._touched = self._changed = False

    def commit(self, commit_id: int) -> None:
        """End the transaction; `commit_id` is what the database returned."""
        assert len(self.levels) == 2
        changed = self._entries(self.levels[1]) != self._entries(self.levels[0])
        self._touched |= self._changed
        self._changed = changed
        self.levels[:2] = [self.levels[1]]
        self.settle(commit_id)

    def settle(self, commit_id: int) -> None:
        """A commit ended with this id: new if entries changed, not new if nothing was stored."""
        if self._changed:
            assert commit_id == self.commit_id + 1
        elif self._touched:
            assert commit_id in (self.commit_id, self.commit_id + 1)
        else:
            assert commit_id == self.commit_id
        self.commit_id = commit_id
        self._touched = self._changed = False

    @staticmethod
    def _entries(state: State) -> dict[str | None, dict[bytes, bytes]]:
        return {name: tree.values for name, tree in state.items() if tree.values}


# Comparisons. `reader` is a database, snapshot or transaction, or a tree of one.


def check_equal(reader: Any, tree: ModelTree) -> None:
    """Everything is there, in order, with the right values, and nothing else."""
    assert list(reader.items()) == tree.items()
    assert len(reader) == len(tree)
    assert bool(reader) == bool(tree.keys)


def check_range(
    reader: Any,
    tree: ModelTree,
    start: bytes | None,
    stop: bytes | None,
    prefix: bytes | None,
    inclusive: tuple[bool, bool] = (True, False),
) -> None:
    """Views of a range in both directions, its length and ends."""
    keys = tree.range(start, stop, prefix, inclusive)
    options: dict[str, Any] = {"prefix": prefix, "inclusive": inclusive}
    assert list(reader.keys(start, stop, **options)) == keys
    assert list(reader.values(start, stop, **options)) == [tree.values[key] for key in keys]
    assert list(reader.items(start, stop, reverse=True, **options)) == tree.items(keys[::-1])
    assert len(reader.keys(start, stop, **options)) == len(keys)
    keys = tree.range(start, stop, prefix)
    assert reader.count(start, stop, prefix=prefix) == len(keys)
    ends = tree.items([keys[0], keys[-1]]) if keys else [None, None]
    assert [
        reader.first(start, stop, prefix=prefix),
        reader.last(start, stop, prefix=prefix),
    ] == ends


def check_key(reader: Any, tree: ModelTree, key: bytes) -> None:
    """One key by every method that takes one, and its neighbours."""
    value = tree.get(key)
    assert reader.get(key) == value
    assert (key in reader) == (value is not None)
    if value is None:
        try:
            found = reader[key]
        except KeyError:
            pass
        else:
            raise AssertionError(f"{key!r} is not there, but [] found {found!r}")
    else:
        assert reader[key] == value
    assert reader.floor(key) == tree.floor(key)
    assert reader.ceiling(key) == tree.ceiling(key)
    assert reader.lower(key) == tree.lower(key)
    assert reader.higher(key) == tree.higher(key)
    assert reader.rank(key) == tree.rank(key)


def check_position(reader: Any, tree: ModelTree, index: int) -> None:
    """`nth` from both ends; IndexError outside."""
    size = len(tree)
    if -size <= index < size:
        assert reader.nth(index) == tree.item_at(index % size)
        return
    try:
        found = reader.nth(index)
    except IndexError:
        return
    raise AssertionError(f"nth({index}) of {size} found {found!r}")


def check_split(
    reader: Any,
    tree: ModelTree,
    parts: int,
    start: bytes | None = None,
    stop: bytes | None = None,
    prefix: bytes | None = None,
) -> None:
    """Cuts are keys of the range, ascending; the parts are nearly equal, none is empty."""
    keys = tree.range(start, stop, prefix)
    cuts = reader.split(parts, start, stop, prefix=prefix)
    assert len(cuts) <= parts - 1
    positions = [keys.index(cut) for cut in cuts]
    assert positions == sorted(set(positions))
    if len(keys) >= parts:
        edges = [0, *positions, len(keys)]
        sizes = [high - low for low, high in pairwise(edges)]
        assert len(cuts) == parts - 1
        assert min(sizes) >= 1
        assert max(sizes) <= len(keys) / parts * 1.1 + 1


def check_state(reader: Any, state: State) -> None:
    """All trees of a database or snapshot."""
    assert sorted(reader.trees()) == sorted(name for name in state if name is not None)
    for name, tree in state.items():
        check_equal(reader if name is None else reader.tree(name), tree)
