"""The handle of a database, and of its trees."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Generic, Self, overload

from _typeshed import ReadableBuffer
from typing_extensions import TypeVar

from cowtree.codecs import Codec, KeyCodec
from cowtree.feed import Change, Changes
from cowtree.history import At, Commit
from cowtree.options import All, Default
from cowtree.snapshot import Snapshot
from cowtree.stats import Report, Settings, Stats
from cowtree.transaction import Transaction
from cowtree.writer import Writer

_K = TypeVar("_K", default=bytes)
_V = TypeVar("_V", default=bytes)
_KeyIn = TypeVar("_KeyIn", default=_K, contravariant=True)
_ValueIn = TypeVar("_ValueIn", default=_V, contravariant=True)

class Database(Writer[bytes, bytes, ReadableBuffer, ReadableBuffer]):
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
        auto_compact: float | Default | None = ...,
        history: int | timedelta | Default | None = ...,
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
    def diff(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        old: At,
        new: At | None = None,
        *,
        tree: str | All | None = ...,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        prefix: ReadableBuffer | None = None,
        values: bool = True,
    ) -> Iterator[Change[bytes, bytes]]: ...
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
    def wait(self, after: int, timeout: float | None = None) -> int | None: ...
    @overload
    def tree(self, name: str | None) -> Writer[bytes, bytes, ReadableBuffer, ReadableBuffer]: ...
    @overload
    def tree(self, name: str | None, *, key: KeyCodec[_K], value: Codec[_V]) -> Writer[_K, _V]: ...
    @overload
    def tree(
        self, name: str | None, *, key: KeyCodec[_K], value: None = None
    ) -> Writer[_K, bytes, _K, ReadableBuffer]: ...
    @overload
    def tree(
        self, name: str | None, *, key: None = None, value: Codec[_V]
    ) -> Writer[bytes, _V, ReadableBuffer, _V]: ...
    def tree_codecs(self, name: str | None) -> tuple[str, str]: ...
    def trees(self) -> list[str]: ...
    def sync(self) -> None: ...
    def configure(
        self,
        *,
        auto_compact: float | Default | None = ...,
        history: int | timedelta | Default | None = ...,
    ) -> None: ...
    @property
    def settings(self) -> Settings: ...
    def require_settings(self, wanted: dict[str, Any]) -> None: ...
    def stats(self, *, deep: bool = False) -> Stats: ...
    def check(self, *, progress: Callable[[int, int | None], object] | None = None) -> Report: ...
    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        at: At | None = None,
        incremental: bool = False,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> None: ...
    def branch(
        self,
        path: str | os.PathLike[str],
        *,
        at: At | None = None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> None: ...
    def compact(self, *, progress: Callable[[int, int | None], object] | None = None) -> None: ...
    def follow(self) -> None: ...
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

class DatabaseTree(Writer[_K, _V, _KeyIn, _ValueIn], Generic[_K, _V, _KeyIn, _ValueIn]):
    """A named tree of a database: reads see the newest commit, each write is a commit of its own."""

    name: str | None
    def __init__(self) -> None: ...
    def diff(
        self,
        older: At,
        *,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        prefix: _KeyIn | None = None,
        values: bool = True,
    ) -> Iterator[Change[_K, _V]]: ...

def reopen_database(path: str, options: dict[str, Any]) -> Database: ...
def reopen_tree(
    database: Database, name: str | None, key: Any, value: Any
) -> DatabaseTree[Any, Any]: ...
