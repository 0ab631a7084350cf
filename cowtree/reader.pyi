"""Read methods: every handle has them. Keys and values are bytes; any C-contiguous buffer is taken."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, overload

from _typeshed import ReadableBuffer

from cowtree.tree.cursor import Cursor, RangeIterator, TreeSource
from cowtree.views import ItemsView, KeysView, ValuesView

_T = TypeVar("_T")

class Reader(TreeSource, Mapping[bytes, bytes]):
    """One tree to read: of a database (its newest commit), a snapshot, or an open transaction.

    A key or value that is not a buffer is a TypeError that names the codec to use. Damage met on the way is a
    CorruptionError, a closed handle a ClosedError, an ended transaction a TransactionError.
    """

    def __getitem__(self, key: ReadableBuffer, /) -> bytes: ...
    @overload
    def get(self, key: ReadableBuffer, default: None = None) -> bytes | None: ...
    @overload
    def get(self, key: ReadableBuffer, default: bytes) -> bytes: ...
    @overload
    def get(self, key: ReadableBuffer, default: _T) -> bytes | _T: ...
    @overload
    def get_many(
        self, keys: Iterable[ReadableBuffer], default: None = None
    ) -> list[bytes | None]: ...
    @overload
    def get_many(self, keys: Iterable[ReadableBuffer], default: _T) -> list[bytes | _T]: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __iter__(self) -> RangeIterator: ...
    def __reversed__(self) -> RangeIterator: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]
    def keys(
        self,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        *,
        prefix: ReadableBuffer | None = None,
        reverse: bool = False,
        inclusive: tuple[bool, bool] = (True, False),
    ) -> KeysView: ...
    def values(
        self,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        *,
        prefix: ReadableBuffer | None = None,
        reverse: bool = False,
        inclusive: tuple[bool, bool] = (True, False),
    ) -> ValuesView: ...
    def items(
        self,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        *,
        prefix: ReadableBuffer | None = None,
        reverse: bool = False,
        inclusive: tuple[bool, bool] = (True, False),
    ) -> ItemsView: ...
    def first(
        self,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        *,
        prefix: ReadableBuffer | None = None,
    ) -> tuple[bytes, bytes] | None: ...
    def last(
        self,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        *,
        prefix: ReadableBuffer | None = None,
    ) -> tuple[bytes, bytes] | None: ...
    def floor(self, key: ReadableBuffer) -> tuple[bytes, bytes] | None: ...
    def ceiling(self, key: ReadableBuffer) -> tuple[bytes, bytes] | None: ...
    def lower(self, key: ReadableBuffer) -> tuple[bytes, bytes] | None: ...
    def higher(self, key: ReadableBuffer) -> tuple[bytes, bytes] | None: ...
    def nth(self, index: int) -> tuple[bytes, bytes]: ...
    def nth_many(self, indices: Iterable[int]) -> list[tuple[bytes, bytes]]: ...
    def rank(self, key: ReadableBuffer) -> int: ...
    def count(
        self,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        *,
        prefix: ReadableBuffer | None = None,
    ) -> int: ...
    def split(
        self,
        n: int,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        *,
        prefix: ReadableBuffer | None = None,
    ) -> list[bytes]: ...
    def buffer(self, key: ReadableBuffer) -> memoryview: ...
    def cursor(self) -> Cursor: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

class FixedSource(Reader): ...

MISSING: object
