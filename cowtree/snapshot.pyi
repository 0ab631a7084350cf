"""One commit to read."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Generic, Self, overload

from _typeshed import ReadableBuffer
from typing_extensions import TypeVar

from cowtree.codecs import Codec, KeyCodec
from cowtree.feed import Change
from cowtree.history import At
from cowtree.options import All
from cowtree.reader import Reader

_K = TypeVar("_K", default=bytes)
_V = TypeVar("_V", default=bytes)
_KeyIn = TypeVar("_KeyIn", default=_K, contravariant=True)
_ValueIn = TypeVar("_ValueIn", default=_V, contravariant=True)

class Snapshot(Reader[bytes, bytes, ReadableBuffer, ReadableBuffer]):
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
    ) -> Iterator[Change[bytes, bytes]]: ...
    @overload
    def tree(
        self, name: str | None
    ) -> SnapshotTree[bytes, bytes, ReadableBuffer, ReadableBuffer]: ...
    @overload
    def tree(
        self, name: str | None, *, key: KeyCodec[_K], value: Codec[_V]
    ) -> SnapshotTree[_K, _V]: ...
    @overload
    def tree(
        self, name: str | None, *, key: KeyCodec[_K], value: None = None
    ) -> SnapshotTree[_K, bytes, _K, ReadableBuffer]: ...
    @overload
    def tree(
        self, name: str | None, *, key: None = None, value: Codec[_V]
    ) -> SnapshotTree[bytes, _V, ReadableBuffer, _V]: ...
    def tree_codecs(self, name: str | None) -> tuple[str, str]: ...
    def trees(self) -> list[str]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...

class SnapshotTree(Reader[_K, _V, _KeyIn, _ValueIn], Generic[_K, _V, _KeyIn, _ValueIn]):
    """A tree of a snapshot; read-only."""

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

def reopen_snapshot(
    path: str, uuid: bytes, commit_id: int, nonce: int, mapped: bool, any_file_system: bool
) -> Snapshot: ...
def reopen_snapshot_tree(
    snapshot: Snapshot, name: str | None, key: Any, value: Any
) -> SnapshotTree[Any, Any]: ...
def check_name(name: object) -> None: ...
