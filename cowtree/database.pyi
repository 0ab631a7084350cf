"""The handle of a database, and of its trees."""

import os
from collections.abc import Callable, Iterator
from typing import Self

from _typeshed import ReadableBuffer

from cowtree.feed import Change, Changes
from cowtree.history import At, Commit
from cowtree.options import All, Default
from cowtree.snapshot import Snapshot
from cowtree.stats import Report, Stats
from cowtree.transaction import Transaction
from cowtree.writer import Writer

class Database(Writer):
    """An open database. Thread-safe; several handles of one file in a process share one engine."""

    readonly: bool
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        readonly: bool = False,
        mode: int = 0o666,
        page_size: int | Default = ...,
        sync: bool = True,
        timeout: float | None = None,
        mmap: bool = True,
        write_memory: int = ...,
        any_file_system: bool = False,
    ) -> None: ...
    def transaction(
        self,
        *,
        sync: bool | Default = ...,
        timeout: float | Default | None = ...,
        note: bytes | bytearray | memoryview = b"",
    ) -> Transaction: ...
    def snapshot(self, at: At | None = None) -> Snapshot: ...
    def history(
        self, start: At | None = None, stop: At | None = None, *, reverse: bool = True
    ) -> Iterator[Commit]: ...
    def tag(self, name: str, at: At | None = None, *, move: bool = False) -> None: ...
    def untag(self, name: str) -> None: ...
    def tags(self) -> dict[str, int]: ...
    def restore(self, at: At) -> int: ...
    def diff(
        self,
        old: At,
        new: At | None = None,
        *,
        tree: str | All | None = ...,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        prefix: ReadableBuffer | None = None,
        values: bool = True,
    ) -> Iterator[Change]: ...
    def changes(
        self,
        since: At,
        *,
        tree: str | All | None = ...,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        prefix: ReadableBuffer | None = None,
        values: bool = True,
    ) -> Changes: ...
    def tree(self, name: str | None) -> DatabaseTree: ...
    def trees(self) -> list[str]: ...
    def sync(self) -> None: ...
    def stats(self) -> Stats: ...
    def check(self, *, progress: Callable[[int, int | None], object] | None = None) -> Report: ...
    def close(self) -> None: ...
    @property
    def commit_id(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    @property
    def page_size(self) -> int: ...
    @property
    def key_size_max(self) -> int: ...
    @property
    def value_size_max(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...

class DatabaseTree(Writer):
    """A named tree of a database: reads see the newest commit, each write is a commit of its own."""

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

def check_page_size(page_size: object) -> None: ...
