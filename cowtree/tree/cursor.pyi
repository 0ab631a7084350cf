"""Iterators over ranges, and the cursor."""

from collections.abc import Iterator
from typing import Any, Generic, final

from typing_extensions import TypeVar

_K = TypeVar("_K", default=bytes)
_V = TypeVar("_V", default=bytes)

class TreeSource:
    """What gives views of one tree: a snapshot, a database, an open transaction."""

class LeafWalk:
    """A position in a tree."""

    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class RangeIterator(LeafWalk, Iterator[Any]):
    """Yields keys, values or items of a range, forwards or backwards."""

    def __iter__(self) -> RangeIterator: ...
    def __next__(self) -> Any: ...

@final
class ValueBuffer:
    """Exports a large value where it lies."""

    def __buffer__(self, flags: int, /) -> memoryview: ...

class Cursor(LeafWalk, Generic[_K, _V]):
    """A position that moves both ways.

    Over a database it sees the commit that was newest when it was made; over a transaction it follows changes and
    keeps its key: after that entry is deleted, `next` and `prev` go on from where it was. Moves return True if they
    landed on an entry, else the cursor is unpositioned. O(log n); next and prev O(1) mostly.
    """

    def __init__(self, source: TreeSource) -> None: ...
    def seek(self, key: object) -> bool: ...
    def first(self) -> bool: ...
    def last(self) -> bool: ...
    def next(self) -> bool: ...
    def prev(self) -> bool: ...
    @property
    def key(self) -> _K: ...
    @property
    def value(self) -> _V: ...
    @property
    def item(self) -> tuple[_K, _V]: ...
