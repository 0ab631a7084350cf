"""Read methods: every handle has them. Keys and values are bytes, or objects where the tree was opened with codecs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, final, overload

from typing_extensions import TypeVar

from cowtree.feed import Change
from cowtree.history import At
from cowtree.tree.cursor import Cursor, TreeSource
from cowtree.tree_codecs import TreeCodecs
from cowtree.views import ItemsView, KeysView, ValuesView

_T = TypeVar("_T")
_K = TypeVar("_K", default=bytes)
_V = TypeVar("_V", default=bytes)
# What is taken as a key or value: for bytes any C-contiguous buffer, else the same as what is given.
_KeyIn = TypeVar("_KeyIn", default=_K, contravariant=True)
_ValueIn = TypeVar("_ValueIn", default=_V, contravariant=True)

class Reader(TreeSource, Mapping[_K, _V], Generic[_K, _V, _KeyIn, _ValueIn]):
    """One tree to read: of a database (its newest commit), a snapshot, or an open transaction.

    A key or value that is not a buffer is a TypeError that names the codec to use. Damage met on the way is a
    CorruptionError, a closed handle a ClosedError, an ended transaction a TransactionError.
    """

    def __getitem__(self, key: _KeyIn, /) -> _V: ...  # type: ignore[override]
    @overload  # type: ignore[override]
    def get(self, key: _KeyIn, default: None = None) -> _V | None: ...
    @overload
    def get(self, key: _KeyIn, default: _V) -> _V: ...
    @overload
    def get(self, key: _KeyIn, default: _T) -> _V | _T: ...  # pyright: ignore[reportIncompatibleMethodOverride]
    @overload
    def get_many(self, keys: Iterable[_KeyIn], default: None = None) -> list[_V | None]: ...
    @overload
    def get_many(self, keys: Iterable[_KeyIn], default: _T) -> list[_V | _T]: ...
    def get_column(self, keys: Iterable[_KeyIn]) -> Any: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __iter__(self) -> Iterator[_K]: ...
    def __reversed__(self) -> Iterator[_K]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]
    def keys(
        self,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        *,
        prefix: _KeyIn | None = None,
        reverse: bool = False,
        inclusive: tuple[bool, bool] = (True, False),
    ) -> KeysView[_K]: ...
    def values(
        self,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        *,
        prefix: _KeyIn | None = None,
        reverse: bool = False,
        inclusive: tuple[bool, bool] = (True, False),
    ) -> ValuesView[_V]: ...
    def items(
        self,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        *,
        prefix: _KeyIn | None = None,
        reverse: bool = False,
        inclusive: tuple[bool, bool] = (True, False),
    ) -> ItemsView[_K, _V]: ...
    def first(
        self,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        *,
        prefix: _KeyIn | None = None,
    ) -> tuple[_K, _V] | None: ...
    def last(
        self,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        *,
        prefix: _KeyIn | None = None,
    ) -> tuple[_K, _V] | None: ...
    def floor(self, key: _KeyIn) -> tuple[_K, _V] | None: ...
    def ceiling(self, key: _KeyIn) -> tuple[_K, _V] | None: ...
    def lower(self, key: _KeyIn) -> tuple[_K, _V] | None: ...
    def higher(self, key: _KeyIn) -> tuple[_K, _V] | None: ...
    def nth(self, index: int) -> tuple[_K, _V]: ...
    def nth_many(self, indices: Iterable[int]) -> list[tuple[_K, _V]]: ...
    def rank(self, key: _KeyIn) -> int: ...
    def count(
        self,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        *,
        prefix: _KeyIn | None = None,
    ) -> int: ...
    def split(
        self,
        n: int,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        *,
        prefix: _KeyIn | None = None,
    ) -> list[_K]: ...
    def buffer(self, key: _KeyIn) -> memoryview: ...
    def diff(
        self,
        older: At,
        *,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        prefix: _KeyIn | None = None,
        values: bool = True,
    ) -> Iterator[Change[_K, _V]]: ...
    def cursor(self) -> Cursor[_K, _V]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

class FixedSource(Reader): ...

@final
class TypedCursor(Cursor[Any, Any]):
    def __init__(self, source: TreeSource, codecs: TreeCodecs) -> None: ...

MISSING: object
