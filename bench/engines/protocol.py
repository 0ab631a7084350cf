"""The interface of an engine. A workload gets bound methods, so that no wrapper is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Protocol

__all__ = ["Engine", "Feature", "Keys", "Pairs"]

Keys = list[bytes]
Pairs = Iterable[tuple[bytes, bytes]]


class Feature(Enum):
    """What not every engine has; a workload that needs it leaves out those that lack it."""

    COUNTS = "count, rank and nth without a scan"
    HISTORY = "the past: snapshots of any commit, differences, a snapshot for another process"
    SNAPSHOTS = "a snapshot may be held while others write"
    TREES = "several named trees in one database"
    THREADS = "threads read and write one database"
    PROCESSES = "several processes open one database"


class Engine(Protocol):
    """One store in a folder of its own."""

    name: str
    features: frozenset[Feature]

    def open(self, folder: str, *, sync: bool, trees: int = 0) -> None:
        """Create or open; `sync`: are commits durable when they return? `trees`: how many named ones."""

    def close(self) -> None: ...
    def sync(self) -> None:
        """Nothing written so far is still on its way to the disk."""

    def put_all(self, pairs: Pairs) -> None:
        """One transaction, one put each."""

    def put_ascending(self, pairs: Pairs) -> None:
        """Likewise, with what the store offers for keys in order."""

    def load_ascending(self, pairs: Pairs) -> None:
        """One transaction, the store's bulk call for pairs in order."""

    def delete_all(self, keys: Iterable[bytes]) -> None:
        """One transaction, one delete each; the keys are there."""

    def put_one(self) -> Callable[[bytes, bytes], object]:
        """One put, one commit."""

    def get_one(self) -> Callable[[bytes], bytes | None]:
        """One get of the newest commit."""

    def put_in_trees(self, entries: Iterable[tuple[int, bytes, bytes]]) -> None:
        """One transaction, one put each, in the tree with that number."""

    def get_from_trees(self, snapshot: Any) -> Callable[[int, bytes], bytes | None]:
        """A get from the tree with that number."""

    def snapshot(self) -> Callable[[], Any]:
        """Takes a snapshot, which has `get` and ends when it is dropped."""

    def end(self, snapshot: Any) -> None:
        """End it now."""

    def get_many(self, snapshot: Any) -> Callable[[Keys], Any]:
        """The store's batched get, its result as it comes."""

    def values_of(self, result: Any, keys: Keys) -> list[bytes | None]:
        """What `get_many` found, in the order of the keys (not timed)."""

    def scan(self, snapshot: Any) -> Iterator[tuple[bytes, bytes]]:
        """All items in order."""

    def scan_from(self, snapshot: Any) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
        """Items from a key on."""

    def version(self) -> str: ...
    def settings(self) -> dict[str, object]:
        """What is not the store's default, and what is worth knowing."""
