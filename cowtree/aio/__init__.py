"""A database in an asyncio program: what may wait is awaited, what takes microseconds is a plain call.

    from cowtree import aio

    async with await aio.open("people.cow") as db:
        async with db.transaction() as txn:      # waits for the lock in a thread
            txn[b"ada"] = b"1815"                # a plain call
        print(db[b"ada"])                        # a plain call
        async for change in db.changes(0):       # what was committed, then what will be, in any process
            print(change.key)

Awaited: opening, the beginning and the end of a transaction, `wait`, `changes`, `sync`, `compact`, `backup`, `check`,
`close`, and `put`, `delete`, `update`, `load`, which commit. Plain calls: all that reads, and what is done to a
transaction before its end.

**Cancellation.** A thread cannot be stopped, so CancelledError comes when it is known what became of its work. A commit
is then done or not, and `txn.commit_id` says which (an id: done). A begin ends at once, and whenever the lock comes, it
is given up; a wait ends at once. `compact`, `backup` and `check` stop at their next report of progress, with nothing
changed.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Generic, Self, TypeVar, final

import cowtree
from cowtree.aio.threads import Progress, WorkThread, in_thread, settled, stoppable
from cowtree.codecs import Codec, KeyCodec
from cowtree.feed import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Change
from cowtree.feed import Changes as Feed
from cowtree.history import At
from cowtree.options import ALL, DEFAULT, All, Default
from cowtree.stats import Report

__all__ = ["Changes", "Database", "Transaction", "Tree", "open"]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

# A thread that waits for the lock looks so often whether anybody still wants it.
LOOK_SECONDS = 0.5
# Changes that a thread reads at a time.
BATCH_CHANGES = 256

# Methods that only read, of databases and trees: they are called as they are.
_READS = frozenset(
    {
        "buffer",
        "ceiling",
        "commit_id",
        "count",
        "cursor",
        "diff",
        "first",
        "floor",
        "get_column",
        "get_many",
        "higher",
        "history",
        "items",
        "key_size_max",
        "keys",
        "last",
        "lower",
        "nth",
        "nth_many",
        "page_size",
        "path",
        "rank",
        "readonly",
        "settings",
        "snapshot",
        "split",
        "stats",
        "tags",
        "tree_codecs",
        "trees",
        "value_size_max",
        "values",
    }
)


async def open(path: str | os.PathLike[str], **options: Any) -> Database:
    """Open a database: the arguments and errors of `cowtree.open`, whose recovery may take a while."""
    opening = functools.partial(cowtree.open, path, **options)
    return Database(await in_thread(opening, undo=cowtree.Database.close))


class _Handle(Generic[K, V]):
    """What a database and its trees have in common: reads as they are, writes awaited."""

    def __init__(self, source: Any, owners: _Owners) -> None:
        self._source = source
        self._owners = owners

    def __getitem__(self, key: K) -> V:
        value: V = self._source[key]
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._source

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[K]:
        return iter(self._source)

    def get(self, key: K, default: Any = None) -> V | Any:
        """The value, or `default`. O(log n)."""
        return self._source.get(key, default)

    def __getattr__(self, name: str) -> Any:
        if name in _READS:
            return getattr(self._source, name)
        raise AttributeError(f"cowtree.aio's {type(self).__name__} has no {name!r}")

    async def put(self, key: K, value: V, **options: Any) -> bool:
        """As `Tree.put`: one commit."""
        return bool(await self._write(self._source.put, key, value, **options))

    async def delete(self, key: K, **options: Any) -> bool:
        """As `Tree.delete`: one commit."""
        return bool(await self._write(self._source.delete, key, **options))

    async def update(self, pairs: Mapping[K, V] | Iterable[tuple[K, V]]) -> None:
        """As `Tree.update`: one commit. `pairs` is iterated over in a thread."""
        await self._write(self._source.update, pairs)

    async def load(self, pairs: Mapping[K, V] | Iterable[tuple[K, V]], **options: Any) -> int:
        """As `Tree.load`, without `progress`. `pairs` is iterated over in a thread."""
        return int(await self._write(self._source.load, pairs, **options))

    async def _write(self, method: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
        self._owners.refuse_nesting()
        return await in_thread(functools.partial(method, *arguments, **options))


@final
class Tree(_Handle[K, V]):
    """A named tree. Made by `Database.tree`."""

    def __repr__(self) -> str:
        return f"<cowtree.aio tree {self._source.name!r}>"


@final
class Database(_Handle[bytes, bytes]):
    """An open database. Made by `open`, or of a `cowtree.Database` that is open already.

    It has the reads of that (`get`, `items`, `count`, `snapshot`, `history`, `stats`, ...) as plain calls. It has no
    `db[key] = value`, which would hold the loop while the disk writes.
    """

    def __init__(self, database: cowtree.Database) -> None:
        super().__init__(database, _Owners())
        self._database = database

    @property
    def database(self) -> cowtree.Database:
        """The database itself. What commits, called in the loop's thread, waits there, for a transaction's end too."""
        return self._database

    @property
    def closed(self) -> bool:
        """Is it closed?"""
        return self._database.closed

    def __repr__(self) -> str:
        return f"<cowtree.aio {self._database!r}>"

    def tree(
        self, name: str | None, *, key: KeyCodec[K] | None = None, value: Codec[V] | None = None
    ) -> Tree[K, V]:
        """A named tree. Arguments and errors as `Database.tree`."""
        untyped: Any = self._database
        return Tree(untyped.tree(name, key=key, value=value), self._owners)

    def transaction(
        self,
        *,
        sync: bool | Default = DEFAULT,
        timeout: float | Default | None = DEFAULT,
        note: bytes = b"",
    ) -> Transaction:
        """A transaction, begun by `async with` or `await txn.begin()`. Arguments as `Database.transaction`."""
        begin = functools.partial(self._database.transaction, sync=sync, note=note)
        return Transaction(begin, timeout, self._owners)

    async def sync(self) -> None:
        """Make every commit durable."""
        await in_thread(self._database.sync)

    async def check(self, *, progress: Progress | None = None) -> Report:
        """As `Database.check`; `progress` is called in the loop's thread."""
        return await stoppable(self._database.check, progress)

    async def compact(self, *, progress: Progress | None = None) -> None:
        """As `Database.compact`; `progress` is called in the loop's thread."""
        self._owners.refuse_nesting()
        await stoppable(self._database.compact, progress)

    async def backup(
        self, path: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any
    ) -> None:
        """As `Database.backup`; `progress` is called in the loop's thread."""
        await stoppable(functools.partial(self._database.backup, path, **options), progress)

    async def wait(self, after: int, timeout: float | None = None) -> int | None:
        """The id of a commit newer than `after`, made in any process, within 50 ms; None after `timeout` seconds.

        Needs no thread: a look costs some microseconds.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        pause = FIRST_PAUSE_SECONDS
        while (found := self._database.wait(after, 0)) is None:
            if deadline is not None:
                left = deadline - loop.time()
                if left <= 0:
                    return None
                pause = min(pause, left)
            await asyncio.sleep(pause)
            pause = min(max(pause, FIRST_PAUSE_SECONDS) * 1.5, LONGEST_PAUSE_SECONDS)
        return found

    def changes(
        self, since: At, *, tree: str | All | None = ALL, follow: bool = True, **options: Any
    ) -> Changes:
        """What changed since a commit, then what changes; up to the newest commit alone with `follow=False`.

        Arguments and errors as `Database.changes`.
        """
        begin = functools.partial(self._database.changes, tree=tree, **options)
        return Changes(begin, since, self.wait if follow else None)

    async def close(self) -> None:
        """Close the database, in a thread; again does nothing."""
        await in_thread(self._database.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()


@final
class Changes:
    """`async for change in db.changes(since)`. It is read in a thread, some hundred changes at a time."""

    def __init__(
        self,
        begin: Callable[[At], Feed],
        since: At,
        wait: Callable[[int], Any] | None,
    ) -> None:
        self._begin = begin
        self._wait = wait
        self._feed = begin(since)

    @property
    def position(self) -> int:
        """What to store and to pass as `since`: the commit up to which everything was given and taken."""
        return self._feed.position

    async def __aiter__(self) -> AsyncIterator[Change[bytes, bytes]]:
        while True:
            changes = iter(self._feed)
            while batch := await in_thread(lambda changes=changes: _take(changes)):  # type: ignore[misc]
                for change in batch:
                    yield change
            if self._wait is None:
                return
            await self._wait(self.position)
            self._feed = self._begin(self.position)


@final
class Transaction:
    """`async with db.transaction() as txn`: commits at the end, or rolls back on an exception, CancelledError too.

    Inside, `txn` is the `cowtree.Transaction` itself, whose reads and writes are plain calls.

    A transaction has a thread of its own from begin to end, as the engine tells by its thread that a writer would wait
    for itself. Here that is told by the task: to begin another, or to write outside of it, is a TransactionError.
    """

    def __init__(
        self,
        begin: Callable[..., cowtree.Transaction],
        timeout: float | Default | None,
        owners: _Owners,
    ) -> None:
        self._begin = begin
        self._timeout = timeout
        self._owners = owners
        self._transaction: cowtree.Transaction | None = None
        self._thread: WorkThread | None = None
        self._owner: asyncio.Task[Any] | None = None

    @property
    def commit_id(self) -> int | None:
        """The id of the commit, once there is one: after a cancellation this says whether it was made."""
        return None if self._transaction is None else self._transaction.commit_id

    async def begin(self) -> cowtree.Transaction:
        """Wait for the lock. LockTimeoutError after `timeout` seconds; TransactionError: it has begun before."""
        if self._thread is not None:
            raise cowtree.TransactionError("this transaction has begun before")
        self._owners.refuse_nesting()
        thread = self._thread = WorkThread()
        unwanted = threading.Event()
        waiting = thread.submit(functools.partial(self._take_lock, unwanted))
        try:
            transaction = await asyncio.shield(asyncio.wrap_future(waiting))
        except BaseException:
            unwanted.set()
            waiting.add_done_callback(_roll_back)  # at once, or in that thread when the lock comes
            thread.stop()
            raise
        self._transaction = transaction
        self._owner = self._owners.add()
        return transaction

    async def commit(self) -> int:
        """Commit. Cancelled, it is done or not when CancelledError comes, and `commit_id` tells."""
        return await self._end(self._begun().commit)

    async def rollback(self) -> None:
        """Roll back."""
        await self._end(self._begun().rollback)

    async def __aenter__(self) -> cowtree.Transaction:
        return await self.begin()

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self._end(functools.partial(self._begun().__exit__, kind, error, traceback))

    def __del__(self) -> None:
        self._let_go()

    async def _end(self, end: Callable[[], T]) -> T:
        if self._thread is None or self._thread.stopped:
            return end()  # it has ended: a TransactionError, or nothing
        try:
            return await settled(self._thread.submit(end))
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._owners.remove(self._owner)
        if self._thread is not None:
            self._thread.stop()

    def _begun(self) -> cowtree.Transaction:
        if self._transaction is None:
            raise cowtree.TransactionError("this transaction has not begun")
        return self._transaction

    def _take_lock(self, unwanted: threading.Event) -> cowtree.Transaction:
        """In the thread: begin; in short waits, so that the thread ends soon when nobody wants it any more."""
        if self._timeout is not None:
            return self._begin(timeout=self._timeout)
        while True:
            try:
                return self._begin(timeout=LOOK_SECONDS)
            except cowtree.LockTimeoutError:
                if unwanted.is_set():
                    raise


class _Owners:
    """The tasks that have a transaction open through one Database."""

    def __init__(self) -> None:
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    def refuse_nesting(self) -> None:
        if asyncio.current_task() in self._tasks:
            raise cowtree.TransactionError(
                "this task has a transaction open: it would wait for itself; use the transaction"
            )

    def add(self) -> asyncio.Task[Any] | None:
        """The task that runs, which has a transaction open from now on."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        return task

    def remove(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None:
            self._tasks.discard(task)


def _take(changes: Iterator[Change[bytes, bytes]]) -> list[Change[bytes, bytes]]:
    return list(itertools.islice(changes, BATCH_CHANGES))


def _roll_back(future: Future[cowtree.Transaction]) -> None:
    if future.exception() is None:
        future.result().rollback()
