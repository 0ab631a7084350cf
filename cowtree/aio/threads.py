"""Work in threads, awaited: a thread that does things in turn, the pool of the loop, and what can be stopped midway."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Progress", "WorkThread", "in_thread", "settled", "stoppable"]

T = TypeVar("T")
Progress = Callable[[int, int | None], object]


class WorkThread:
    """A thread that does one thing after another until it is told to stop."""

    def __init__(self) -> None:
        self.stopped = False
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        threading.Thread(
            target=_serve, args=(self._work,), name="cowtree transaction", daemon=True
        ).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._work.put((work, future))
        return future

    def stop(self) -> None:
        """End when what was submitted is done."""
        if not self.stopped:
            self.stopped = True
            self._work.put(None)


def _serve(queue: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]) -> None:
    while (item := queue.get()) is not None:
        _carry_out(*item)
        del (
            item
        )  # nothing is held while there is nothing to do: a transaction let go has to be collected


def _carry_out(work: Callable[[], T], future: Future[T]) -> None:
    """Do it, and have what came of it given, or raised, where the future is awaited."""
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


async def in_thread(work: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """The result of work in a thread of the loop's pool. Cancelled, waits for its end, then undoes its result."""
    future: Future[T] = Future()
    asyncio.get_running_loop().run_in_executor(None, _carry_out, work, future)
    return await settled(future, undo)


async def settled(future: Future[T], undo: Callable[[T], object] | None = None) -> T:
    """The result of a future. Cancelled, CancelledError comes when the future is done, after its result is undone."""
    settling = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(settling)
    except asyncio.CancelledError as cancelled:
        while not settling.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([settling])
        error = settling.exception()
        if error is None and undo is not None:
            undo(settling.result())
        raise cancelled from error


class _Stopped(Exception):
    """Raised by `progress` in a thread: nobody waits for the result any more."""


async def stoppable(work: Callable[..., T], progress: Progress | None) -> T:
    """Work that reports progress, in a thread, with `progress` in the loop's; stopped by what that raises."""
    loop = asyncio.get_running_loop()
    unwanted = threading.Event()
    failures: list[BaseException] = []

    def tell(done: int, total: int | None) -> None:
        if progress is not None and not failures:
            try:
                progress(done, total)
            except BaseException as error:  # raised below
                failures.append(error)
                unwanted.set()

    def report(done: int, total: int | None) -> None:
        if unwanted.is_set():
            raise _Stopped
        if progress is not None:
            loop.call_soon_threadsafe(tell, done, total)

    working = asyncio.ensure_future(in_thread(functools.partial(work, progress=report)))
    try:
        result = await asyncio.shield(working)
    except asyncio.CancelledError:
        unwanted.set()
        while not working.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        working.exception()  # looked at
        raise
    except _Stopped:
        raise failures[0] from None
    if failures:
        raise failures[0]
    return result
