"""Compiled; for other compiled modules only."""

from collections.abc import Iterator
from typing import Any

from cowtree.feed import Change

def iterate(
    pairs: list[tuple[str | None, Any, Any]], low: bytes | None, high: bytes | None, values: bool
) -> Iterator[Change[bytes, bytes]]: ...
