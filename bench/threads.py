"""Threads that begin together."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Threads"]


class Threads:
    """Threads that wait for a common start. `run` starts them, waits for all and raises what one raised."""

    def __init__(self, works: list[Callable[[], None]]) -> None:
        self._start = threading.Barrier(len(works) + 1)
        self._problems: list[Exception] = []
        self._threads = [threading.Thread(target=self._work, args=(work,)) for work in works]
        for thread in self._threads:
            thread.start()

    def run(self) -> None:
        self._start.wait()
        for thread in self._threads:
            thread.join()
        if self._problems:
            raise self._problems[0]

    def _work(self, work: Callable[[], None]) -> None:
        self._start.wait()
        try:
            work()
        except Exception as error:
            self._problems.append(error)
