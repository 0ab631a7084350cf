"""How far long work is: how much, how fast, how long yet. On standard error, only where a person looks at it.

With rich (the extra `cli`) it is a bar, else a line that is written over.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from cowtree.cli.display import entries_text, human_size
from cowtree.cli.streams import is_terminal
from cowtree.cli.tables import rich_module

__all__ = ["Progress"]

_QUIET_SECONDS = 1.0  # work that is done by then needs no progress
_BETWEEN_SECONDS = 0.1


class Progress:
    """Use in `with`, which takes what is shown away at the end.

    An instance is what `check`, `backup` and `compact` call as `progress(done, total)` with bytes; `entries` is for
    those who count entries.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._shown: _Line | _Bar | None = None
        self._active = is_terminal(sys.stderr)
        self._began = time.monotonic()
        self._next_time = self._began + _QUIET_SECONDS

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown is not None:
            self._shown.take_away()

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` bytes."""
        if self._active and time.monotonic() >= self._next_time:
            rate = self._rate(done)
            self._show(f"{human_size(done)}, {human_size(int(rate))}/s", done, total, rate)

    def entries(self, done: int, total: int | None = None) -> None:
        """`done` of `total` entries."""
        if self._active and time.monotonic() >= self._next_time:
            rate = self._rate(done)
            self._show(f"{entries_text(done)}, {rate:,.0f}/s", done, total, rate)

    def _rate(self, done: int) -> float:
        """A second, since the beginning."""
        return done / max(1e-9, time.monotonic() - self._began)

    def _show(self, amount: str, done: int, total: int | None, rate: float) -> None:
        if self._shown is None:
            self._shown = _Line() if rich_module("progress") is None else _Bar(self._doing)
        self._shown.show(self._doing, amount, done, total, rate)
        self._next_time = time.monotonic() + _BETWEEN_SECONDS


class _Line:
    def show(self, doing: str, amount: str, done: int, total: int | None, rate: float) -> None:
        share = ""
        if total:
            left = int(max(0, total - done) / rate) if rate else 0
            share = f", {done / total:.0%}, {left // 60}:{left % 60:02} left"
        print(f"\r\x1b[K{doing}: {amount}{share}", end="", file=sys.stderr, flush=True)

    def take_away(self) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, doing: str) -> None:
        console, progress = rich_module("console"), rich_module("progress")
        assert console is not None
        assert progress is not None
        self._progress: Any = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[amount]}"),
            progress.TimeRemainingColumn(),
            console=console.Console(file=sys.stderr, force_terminal=True),
            transient=True,
            auto_refresh=False,
        )
        self._task = self._progress.add_task(doing, total=None, amount="")
        self._progress.start()

    def show(self, _doing: str, amount: str, done: int, total: int | None, _rate: float) -> None:
        self._progress.update(self._task, completed=done, total=total or None, amount=amount)
        self._progress.refresh()

    def take_away(self) -> None:
        self._progress.stop()
