"""Compiled; for other compiled modules only."""

from collections.abc import Iterator
from typing import Any, final

ADDED: str
REMOVED: str
CHANGED: str

@final
class DiffSide: ...

@final
class DiffIterator(Iterator[tuple[bytes, str, bytes | None, bytes | None]]):
    """Yields (key, kind, old value or None, new value or None) in key order."""

    def __iter__(self) -> DiffIterator: ...
    def __next__(self) -> tuple[bytes, str, bytes | None, bytes | None]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
