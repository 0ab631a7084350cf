"""One commit to read."""

from collections.abc import Iterator
from datetime import datetime
from typing import Self

from _typeshed import ReadableBuffer

from cowtree.feed import Change
from cowtree.history import At
from cowtree.options import All
from cowtree.reader import Reader

class Snapshot(Reader):
    """One commit of a database, stable for ever, shareable between threads, readable in a forked child.

    It pins its pages until it is closed or collected. Made by `Database.snapshot`.
    """

    def __init__(self) -> None: ...
    @property
    def commit_id(self) -> int: ...
    @property
    def time(self) -> datetime: ...
    @property
    def closed(self) -> bool: ...
    def diff(
        self,
        older: At,
        *,
        tree: str | All | None = ...,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        prefix: ReadableBuffer | None = None,
        values: bool = True,
    ) -> Iterator[Change]: ...
    def tree(self, name: str | None) -> SnapshotTree: ...
    def trees(self) -> list[str]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...

class SnapshotTree(Reader):
    """A tree of a snapshot; read-only."""

    name: str | None
    def __init__(self) -> None: ...
    def diff(
        self,
        older: At,
        *,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        prefix: ReadableBuffer | None = None,
        values: bool = True,
    ) -> Iterator[Change]: ...

def check_name(name: object) -> None: ...
