"""`cowtree.aio`: what is awaited, what a cancellation leaves behind, the feed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree import aio
from cowtree.codecs import Int, Text

PATIENCE_SECONDS = 60.0


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run an async function, which fails instead of hanging."""

    async def bounded() -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await main()

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until a condition holds; the timeout of `run` bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


def test_reads_are_plain_calls_and_commits_are_awaited(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            async with db.transaction(note=b"first") as txn:
                txn[b"a"] = b"1"
                assert txn[b"a"] == b"1" and b"a" not in db
            assert db[b"a"] == db.get(b"a") == b"1" and b"a" in db and len(db) == 1
            assert await db.put(b"b", b"2") and not await db.put(b"b", b"3", expect=None)
            await db.update({b"c": b"3"})
            assert await db.load([(b"d", b"4")]) == 1
            assert await db.delete(b"d") and list(db) == [b"a", b"b", b"c"]
            assert db.count() == 3 and db.snapshot()[b"c"] == b"3" and db.last() == (b"c", b"3")
            tree = db.tree("numbers", key=Text, value=Int)
            assert await tree.put("x", 5) and tree["x"] == 5 and list(tree.items()) == [("x", 5)]
            await db.sync()
            assert (await db.check()).ok
            assert [commit.note for commit in db.history()][-1] == b"first"
            with pytest.raises(AttributeError, match="clear"):
                db.clear()
        assert db.closed
        await db.close()
        with pytest.raises(cowtree.ClosedError):
            db[b"a"]
        with pytest.raises(FileNotFoundError):
            await aio.open(path.with_name("missing"), create=False)

    run(main)


def test_an_exception_rolls_back_and_an_explicit_end_is_kept(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            with pytest.raises(LookupError):
                async with db.transaction() as txn:
                    txn[b"a"] = b"1"
                    raise LookupError
            assert len(db) == 0
            transaction = db.transaction()
            with pytest.raises(cowtree.TransactionError):
                await transaction.commit()
            (await transaction.begin())[b"a"] = b"1"
            assert transaction.commit_id is None
            assert await transaction.commit() == transaction.commit_id == db.commit_id
            with pytest.raises(cowtree.TransactionError):
                await transaction.commit()
            with pytest.raises(cowtree.TransactionError):
                await transaction.begin()
            second = db.transaction()
            async with second as txn:
                txn[b"b"] = b"1"
                await second.rollback()
            assert list(db) == [b"a"]

    run(main)


def test_a_loop_goes_on_while_its_tasks_take_turns_to_write(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path, sync=False) as db:

            async def add() -> None:
                async with db.transaction() as txn:
                    count = int(txn.get(b"n", b"0"))
                    await asyncio.sleep(0)  # others run, and wait for the lock
                    txn[b"n"] = b"%d" % (count + 1)

            await asyncio.gather(*(add() for _ in range(50)))
            assert db[b"n"] == b"50"
            await asyncio.gather(*(db.put(b"%d" % i, b"") for i in range(50)))
            assert len(db) == 51

    run(main)


def test_a_task_that_would_wait_for_itself_is_told_at_once(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            async with db.transaction() as txn:
                txn[b"a"] = b"1"
                for use in (db.transaction().begin, lambda: db.put(b"b", b""), db.compact):
                    with pytest.raises(cowtree.TransactionError, match="itself"):
                        await use()
            assert await db.put(b"b", b"")

    run(main)


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_cancelled_begin_leaves_no_lock(path: Path, timeout: float | None) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            holder = db.transaction()
            (await holder.begin())[b"a"] = b"1"
            begun = asyncio.Event()

            async def wait_for_lock() -> None:
                begun.set()
                async with db.transaction(timeout=timeout):
                    raise AssertionError("the lock is taken")

            waiters = [asyncio.create_task(wait_for_lock()) for _ in range(3)]
            await begun.wait()
            await asyncio.sleep(0)
            for waiter in waiters:
                waiter.cancel()
            results = await asyncio.gather(*waiters, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            await holder.commit()
            assert await db.put(b"b", b"2") and list(db) == [b"a", b"b"]
            await until(lambda: not transaction_threads())

    run(main)


def transaction_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "cowtree transaction"]


def test_lock_timeout_is_an_error_that_leaves_nothing(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            async with db.transaction():

                async def impatient() -> None:
                    async with db.transaction(timeout=0):
                        pass

                with pytest.raises(cowtree.LockTimeoutError):
                    await asyncio.create_task(impatient())
            assert await db.put(b"a", b"")
            await until(lambda: not transaction_threads())

    run(main)


def test_cancelled_commit_is_done_or_not_and_says_which(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            outcomes = set()
            for i in range(60):
                transaction = db.transaction()
                (await transaction.begin())[b"%d" % i] = b""

                task = asyncio.create_task(transaction.commit())
                if i % 3:
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                done = transaction.commit_id is not None
                outcomes.add(done)
                assert (b"%d" % i in db) == done
                if not done:  # it was cancelled before it began
                    await transaction.rollback()
                assert await db.put(b"other", b"%d" % i)
            assert outcomes == {True, False}

    run(main)


def test_cancelled_body_rolls_back(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            inside = asyncio.Event()

            async def write() -> None:
                async with db.transaction() as txn:
                    txn[b"a"] = b"1"
                    inside.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(write())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(db) == 0 and await db.put(b"b", b"")

    run(main)


def test_a_transaction_that_is_forgotten_gives_up_its_lock(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            forgotten = db.transaction()
            (await forgotten.begin())[b"a"] = b"1"
            await asyncio.sleep(0)  # until then the loop holds what it woke this task with
            with pytest.warns(ResourceWarning):  # noqa: PT031 - the second collects what the first lets go
                del forgotten
                gc.collect()
            await asyncio.create_task(db.put(b"b", b""))
            assert list(db) == [b"b"]

    run(main)


def test_wait_ends_with_a_commit_with_its_time_and_when_it_is_cancelled(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as db:
            assert await db.wait(0, 0) is None and await db.wait(0, 0.01) is None
            waiting = asyncio.create_task(db.wait(0))
            await asyncio.sleep(0)
            await db.put(b"a", b"")
            assert await waiting == 1 == await db.wait(0)
            cancelled = asyncio.create_task(db.wait(1))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            closing = asyncio.create_task(db.wait(1))
            await asyncio.sleep(0)
            await db.close()
            with pytest.raises(cowtree.ClosedError):
                await closing

    run(main)


def test_feed_follows_other_writers_and_resumes_where_it_stopped(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path, sync=False) as db:
            await db.update((b"%04d" % i, b"") for i in range(1000))
            given = [change.key async for change in db.changes(0, follow=False)]
            assert given == [b"%04d" % i for i in range(1000)]
            taken: list[bytes] = []
            feed = db.changes(0)

            async def follow() -> None:
                async for change in feed:
                    taken.append(change.key)

            follower = asyncio.create_task(follow())
            await until(lambda: len(taken) == 1000)
            with cowtree.open(path, sync=False) as other:
                await asyncio.to_thread(other.put, b"new", b"1")
            await until(lambda: taken[-1] == b"new")
            await until(lambda: feed.position == db.commit_id == 2)
            follower.cancel()
            with pytest.raises(asyncio.CancelledError):
                await follower
            await db.put(b"newer", b"2")
            resumed = db.changes(feed.position, follow=False)
            assert resumed.position == 2
            assert [change.key async for change in resumed] == [b"newer"]
            assert resumed.position == 3

    run(main)


def test_long_work_tells_progress_in_the_loop_and_stops_when_cancelled(
    path: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with await aio.open(path, sync=False) as db:
            await db.load((b"%06d" % i, bytes(100)) for i in range(20_000))
            told: list[tuple[int, int | None]] = []
            threads = set()

            def progress(done: int, total: int | None) -> None:
                threads.add(threading.current_thread())
                told.append((done, total))

            await db.backup(tmp_path / "copy", progress=progress)
            assert told[-1][0] == told[-1][1] and threads == {threading.current_thread()}
            assert (await db.check(progress=progress)).ok
            await db.compact(progress=progress)
            for work in (lambda: db.backup(tmp_path / "other"), db.compact, db.check):
                task = asyncio.create_task(work())
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            (tmp_path / "other").unlink(missing_ok=True)

            def fail(done: int, total: int | None) -> None:
                raise LookupError("stop")

            with pytest.raises(LookupError, match="stop"):
                await db.check(progress=fail)
            assert len(db) == 20_000 and (await db.check()).ok

    run(main)


def test_cancelled_open_is_closed_again(path: Path) -> None:
    async def main() -> None:
        task = asyncio.create_task(aio.open(path))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with await aio.open(path) as db:
            assert await db.put(b"a", b"")

    run(main)
