"""Transactions, their trees, savepoints."""

from collections.abc import Iterator
from typing import Generic, Self, overload

from _typeshed import ReadableBuffer
from typing_extensions import TypeVar

from cowtree.codecs import Codec, KeyCodec
from cowtree.feed import Change
from cowtree.history import At
from cowtree.options import All
from cowtree.writer import Writer

_K = TypeVar("_K", default=bytes)
_V = TypeVar("_V", default=bytes)
_KeyIn = TypeVar("_KeyIn", default=_K, contravariant=True)
_ValueIn = TypeVar("_ValueIn", default=_V, contravariant=True)

class Transaction(Writer[bytes, bytes, ReadableBuffer, ReadableBuffer]):
    """One writer's changes: all of them become a commit, or none.

    Begun by `Database.transaction`; bound to no thread; its calls are serialised. It ends by `commit`, `rollback`,
    leaving `with`, or when it is collected (a rollback and a ResourceWarning); after that TransactionError.
    """

    def __init__(self) -> None: ...
    @property
    def commit_id(self) -> int | None: ...
    def commit(self) -> int: ...
    def rollback(self) -> None: ...
    def savepoint(self) -> Savepoint: ...
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
    def trees(self) -> list[str]: ...
    def drop(self, name: str) -> bool: ...
    def rename(self, old: str, new: str) -> None: ...
    def tag(self, name: str, *, move: bool = False) -> None: ...
    def restore(self, at: At, *, tree: str | All | None = ...) -> None: ...
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
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object) -> None: ...
    def __del__(self) -> None: ...

class TransactionTree(Writer[_K, _V, _KeyIn, _ValueIn], Generic[_K, _V, _KeyIn, _ValueIn]):
    """A tree inside a transaction."""

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

class Savepoint:
    """Leaving its `with` by an exception, or `rollback`, undoes what was done since it was made."""

    def rollback(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object) -> None: ...
