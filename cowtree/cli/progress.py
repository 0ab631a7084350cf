"""How far long work is: a line on standard error that is written over, only where a person looks at it."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from cowtree.cli.display import entries_text, human_size
from cowtree.cli.streams import is_terminal

__all__ = ["Progress"]

_QUIET_SECONDS = 1.0  # work that is done by then needs no progress
_BETWEEN_SECONDS = 0.1


class Progress:
    """Use in `with`, which takes the line away at the end.

    An instance is what `check`, `backup` and `load` call as `progress(done, total)` with bytes; `entries` is for those
    who count entries.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._shown = False
        self._active = is_terminal(sys.stderr)
        self._next_time = time.monotonic() + _QUIET_SECONDS

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` bytes."""
        if self._due():
            self._show(human_size(done), None if not total else done / total)

    def entries(self, done: int, total: int | None = None) -> None:
        """`done` of `total` entries."""
        if self._due():
            self._show(entries_text(done), None if not total else done / total)

    def _due(self) -> bool:
        return self._active and time.monotonic() >= self._next_time

    def _show(self, amount: str, part: float | None) -> None:
        share = "" if part is None else f", {part:.0%}"
        print(f"\r\x1b[K{self._doing}: {amount}{share}", end="", file=sys.stderr, flush=True)
        self._shown = True
        self._next_time = time.monotonic() + _BETWEEN_SECONDS
