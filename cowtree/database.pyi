"""The handle of a database, and of its trees."""

import os
from collections.abc import Callable
from typing import Self

from cowtree.options import Default
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
    def snapshot(self) -> Snapshot: ...
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

def check_page_size(page_size: object) -> None: ...
