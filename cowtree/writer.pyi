"""Write methods: on a database each is one atomic commit, on a transaction a part of it."""

from collections.abc import Callable, Iterable, MutableMapping
from typing import TypeVar, overload

from _typeshed import ReadableBuffer, SupportsKeysAndGetItem

from cowtree.options import Default
from cowtree.reader import Reader

_T = TypeVar("_T")

class Writer(Reader, MutableMapping[bytes, bytes]):
    """One tree to read and write. The public name is `Tree`."""

    def put(
        self,
        key: ReadableBuffer,
        value: ReadableBuffer,
        *,
        overwrite: bool = True,
        expect: ReadableBuffer | Default | None = ...,
    ) -> bool: ...
    def __setitem__(self, key: ReadableBuffer, value: ReadableBuffer, /) -> None: ...
    def delete(
        self, key: ReadableBuffer, *, expect: ReadableBuffer | Default | None = ...
    ) -> bool: ...
    def __delitem__(self, key: ReadableBuffer, /) -> None: ...
    def replace(self, key: ReadableBuffer, value: ReadableBuffer) -> bytes | None: ...
    def setdefault(self, key: ReadableBuffer, default: ReadableBuffer | None = None) -> bytes: ...
    @overload
    def pop(self, key: ReadableBuffer) -> bytes: ...
    @overload
    def pop(self, key: ReadableBuffer, default: bytes) -> bytes: ...
    @overload
    def pop(self, key: ReadableBuffer, default: _T) -> bytes | _T: ...
    def popitem(self, last: bool = True) -> tuple[bytes, bytes]: ...
    def clear(self) -> None: ...
    def delete_range(
        self,
        start: ReadableBuffer | None = None,
        stop: ReadableBuffer | None = None,
        *,
        prefix: ReadableBuffer | None = None,
    ) -> int: ...
    def update(
        self,
        pairs: SupportsKeysAndGetItem[bytes, ReadableBuffer]
        | Iterable[tuple[ReadableBuffer, ReadableBuffer]] = (),
        /,
    ) -> None: ...
    def load(
        self,
        pairs: SupportsKeysAndGetItem[bytes, ReadableBuffer]
        | Iterable[tuple[ReadableBuffer, ReadableBuffer]],
        *,
        batch: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> int: ...

class Meter:
    progress: Callable[[int, int | None], object] | None
    entries: int
    bytes: int
    next_call: float
    def __init__(self, progress: Callable[[int, int | None], object] | None) -> None: ...
    def count(
        self, pairs: Iterable[tuple[ReadableBuffer, ReadableBuffer]]
    ) -> Iterable[tuple[ReadableBuffer, ReadableBuffer]]: ...
    def finish(self) -> None: ...

MISSING: object
