"""Write methods: on a database each is one atomic commit, on a transaction a part of it."""

from collections.abc import Callable, Iterable, MutableMapping
from typing import Generic, overload

from _typeshed import ReadableBuffer, SupportsKeysAndGetItem
from typing_extensions import TypeVar

from cowtree.options import Default
from cowtree.reader import Reader

_T = TypeVar("_T")
_K = TypeVar("_K", default=bytes)
_V = TypeVar("_V", default=bytes)
_KeyIn = TypeVar("_KeyIn", default=_K, contravariant=True)
_ValueIn = TypeVar("_ValueIn", default=_V, contravariant=True)

class Writer(
    Reader[_K, _V, _KeyIn, _ValueIn], MutableMapping[_K, _V], Generic[_K, _V, _KeyIn, _ValueIn]
):
    """One tree to read and write. The public name is `Tree`."""

    def put(
        self,
        key: _KeyIn,
        value: _ValueIn,
        *,
        overwrite: bool = True,
        expect: _ValueIn | Default | None = ...,
    ) -> bool: ...
    def __setitem__(self, key: _KeyIn, value: _ValueIn, /) -> None: ...  # type: ignore[override]
    def delete(self, key: _KeyIn, *, expect: _ValueIn | Default | None = ...) -> bool: ...
    def __delitem__(self, key: _KeyIn, /) -> None: ...  # type: ignore[override]
    def replace(self, key: _KeyIn, value: _ValueIn) -> _V | None: ...
    def setdefault(self, key: _KeyIn, default: _ValueIn | None = None) -> _V: ...  # type: ignore[override]
    @overload  # type: ignore[override]
    def pop(self, key: _KeyIn) -> _V: ...
    @overload
    def pop(self, key: _KeyIn, default: _V) -> _V: ...
    @overload
    def pop(self, key: _KeyIn, default: _T) -> _V | _T: ...  # pyright: ignore[reportIncompatibleMethodOverride]
    def expected(self, expect: object) -> object: ...
    def popitem(self, last: bool = True) -> tuple[_K, _V]: ...
    def clear(self) -> None: ...
    def delete_range(
        self,
        start: _KeyIn | None = None,
        stop: _KeyIn | None = None,
        *,
        prefix: _KeyIn | None = None,
    ) -> int: ...
    def update(  # type: ignore[override]
        self,
        pairs: SupportsKeysAndGetItem[_K, _ValueIn] | Iterable[tuple[_KeyIn, _ValueIn]] = (),
        /,
    ) -> None: ...
    def load(
        self,
        pairs: SupportsKeysAndGetItem[_K, _ValueIn] | Iterable[tuple[_KeyIn, _ValueIn]],
        *,
        batch: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> int: ...

class Meter:
    progress: Callable[[int, int | None], object]
    bytes: int
    next_call: float
    def __init__(self, progress: Callable[[int, int | None], object]) -> None: ...
    def count(
        self, pairs: Iterable[tuple[ReadableBuffer, ReadableBuffer]]
    ) -> Iterable[tuple[ReadableBuffer, ReadableBuffer]]: ...
    def finish(self) -> None: ...

MISSING: object
