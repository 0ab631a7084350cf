"""Threads: readers see whole commits, writers lose nothing, closing beside others only raises."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model import ModelTree, check_equal, pattern

import cowtree
from cowtree import registry

RunThreads = Callable[..., list[object]]
PATIENCE_SECONDS = 60.0
STAMPS = [b"", b"%06d-stamp" % 3000, b"%06d-stamp" % 9999, b"\xff"]
COMMITS = 300


def write_stamped(db: cowtree.Database, stamp: int, rng: random.Random) -> None:
    """One commit: the stamp in keys far apart, and changes between them."""
    with db.transaction() as txn:
        for key in STAMPS:
            txn[key] = b"%d" % stamp
        for _ in range(20):
            number = rng.randrange(10_000)
            if rng.random() < 0.7:
                txn[b"%06d" % number] = b"%d" % stamp * rng.randrange(30)
            else:
                txn.delete(b"%06d" % number)
        txn.tree("t")[b"stamp"] = b"%d" % stamp


def read_stamp(snapshot: Any) -> int:
    """The stamp of a snapshot, the same wherever it is read."""
    values = {snapshot[key] for key in STAMPS}
    values |= set(snapshot.get_many(STAMPS)) | {snapshot.tree("t")[b"stamp"]}
    assert len(values) == 1, values
    return int(values.pop())


@pytest.mark.parametrize("options", [{}, {"mmap": False}, {"write_memory": 1 << 16}])
def test_readers_always_see_whole_commits_in_order(
    path: Path, run_threads: RunThreads, options: Any
) -> None:
    with cowtree.open(path, sync=False, **options) as db:
        db.update({b"%06d" % i: b"filler" * 10 for i in range(10_000)})
        rng = random.Random(1)
        write_stamped(db, 1, rng)
        acknowledged = [1]

        def writer() -> None:
            for stamp in range(2, COMMITS + 1):
                write_stamped(db, stamp, rng)
                acknowledged.append(stamp)

        def reader() -> int:
            last = reads = 0
            kept: list[tuple[cowtree.Snapshot, int]] = []
            while last < COMMITS:
                newest = acknowledged[-1]
                snapshot = db.snapshot()
                stamp = read_stamp(snapshot)
                assert stamp >= max(newest, last)
                last = stamp
                reads += 1
                if reads % 50 == 1:
                    kept.append((snapshot, stamp))
            for snapshot, stamp in kept:
                assert read_stamp(snapshot) == stamp
            return reads

        assert all(run_threads(writer, *[reader] * 4)[1:])
        assert read_stamp(db.snapshot()) == COMMITS
        assert db.check().ok


def test_iterations_beside_a_writer_see_one_commit_each(
    path: Path, run_threads: RunThreads
) -> None:
    with cowtree.open(path, sync=False) as db:
        db.update({b"%04d" % i: b"0" for i in range(2000)})
        done = threading.Event()

        def writer() -> None:
            try:
                for stamp in range(1, 60):
                    db.update({b"%04d" % i: b"%d" % stamp for i in range(2000)})
            finally:
                done.set()

        def reader() -> None:
            while True:
                last_round = done.is_set()
                seen = list(db.items())
                assert len(seen) == 2000
                assert len({value for _, value in seen}) == 1
                assert len(set(db.values(reverse=True))) == 1
                if last_round:
                    return

        run_threads(writer, reader, reader, reader)


@pytest.mark.durable
def test_durable_commits_from_eight_threads_are_all_there_after_reopening(
    path: Path, run_threads: RunThreads
) -> None:
    with cowtree.open(path) as db:

        def work(number: int) -> list[int]:
            ids = []
            for step in range(25):
                db[b"%d/%02d" % (number, step)] = b"%d" % step
                assert db[b"%d/%02d" % (number, step)] == b"%d" % step
                ids.append(db.commit_id)
            return ids

        for ids in run_threads(*(lambda n=n: work(n) for n in range(8))):
            assert isinstance(ids, list)
            assert ids == sorted(ids)
        assert db.commit_id == 200
    with cowtree.open(path) as db:
        assert dict(db) == {b"%d/%02d" % (n, s): b"%d" % s for n in range(8) for s in range(25)}
        assert db.commit_id == 200
        assert db.check().ok


def test_handles_of_one_file_in_many_threads_make_one_history(
    path: Path, run_threads: RunThreads
) -> None:
    cowtree.open(path, sync=False).close()

    def work(number: int) -> list[int]:
        ids = []
        for _ in range(20):
            with cowtree.open(path, sync=False) as db, db.transaction() as txn:
                txn[b"n"] = b"%d" % (int(txn.get(b"n", b"0")) + 1)
                ids.append(txn.commit())
        return ids

    results = run_threads(*(lambda n=n: work(n) for n in range(6)))
    assert sorted(itertools.chain(*results)) == list(range(1, 121))  # type: ignore[arg-type]
    with cowtree.open(path) as db:
        assert db[b"n"] == b"120"
        assert db.commit_id == 120


def test_one_snapshot_is_read_by_many_threads(
    db: cowtree.Database, run_threads: RunThreads
) -> None:
    model = ModelTree((b"%05d" % i, pattern(i, i % 500)) for i in range(5000))
    db.update(model.items())
    snapshot = db.snapshot()
    shared = iter(snapshot.items())

    def read(seed: int) -> list[tuple[bytes, bytes]]:
        check_equal(snapshot, model)
        rng = random.Random(seed)
        for _ in range(2000):
            key = rng.choice(model.keys)
            assert snapshot[key] == model.get(key)
        return list(shared)

    taken = run_threads(*(lambda s=s: read(s) for s in range(4)))
    assert sorted(itertools.chain(*taken)) == model.items()  # type: ignore[arg-type]


@pytest.mark.parametrize("mapped", [True, False])
def test_closing_beside_readers_and_writers_gives_closed_errors_only(
    path: Path, run_threads: RunThreads, mapped: bool
) -> None:
    for _ in range(8):
        db = cowtree.open(path, sync=False, mmap=mapped)
        db.update({b"%05d" % i: b"v" * 200 for i in range(2000)})
        ready = threading.Barrier(6)

        def until_closed(work: Callable[[cowtree.Database], object], db: Any = db) -> None:
            work(db)
            ready.wait()  # noqa: B023 - the threads end within the round
            with pytest.raises((cowtree.ClosedError, cowtree.TransactionError)):
                while True:
                    work(db)

        def write(db: Any) -> None:
            db[b"00500"] = b"w" * 200

        def transact(db: Any) -> None:
            with db.transaction() as txn:
                txn[b"00600"] = b"w" * 200

        def close(db: Any = db) -> None:
            ready.wait()  # noqa: B023
            db.close()

        run_threads(
            lambda: until_closed(lambda d: d[b"00100"]),
            lambda: until_closed(lambda d: [len(v) == 200 for v in d.values()]),
            lambda: until_closed(lambda d: d.snapshot().get_many([b"00001", b"01999"])),
            lambda: until_closed(write),
            lambda: until_closed(transact),
            close,
        )
        with cowtree.open(path) as db:
            assert len(db) == 2000
            assert db.check().ok


def test_closing_a_snapshot_beside_its_readers_gives_closed_errors_only(
    db: cowtree.Database, run_threads: RunThreads
) -> None:
    db.update({b"%05d" % i: b"v" * 3000 for i in range(500)})
    for _ in range(20):
        snapshot = db.snapshot()
        ready = threading.Barrier(4)

        def read(snapshot: cowtree.Snapshot = snapshot) -> None:
            views = [snapshot.buffer(b"00100")]
            ready.wait()  # noqa: B023
            with pytest.raises(cowtree.ClosedError):
                while True:
                    assert sum(map(len, snapshot.values())) == 1_500_000
                    views.append(snapshot.buffer(b"00400"))
                    del views[1:-3]
            assert all(bytes(view) == b"v" * 3000 for view in views)

        def close(snapshot: cowtree.Snapshot = snapshot) -> None:
            ready.wait()  # noqa: B023
            snapshot.close()

        run_threads(read, read, read, close)


def test_threads_that_only_collide_on_compare_and_set_lose_no_update(
    db: cowtree.Database, run_threads: RunThreads
) -> None:
    db[b"n"] = b"0"

    def work() -> None:
        for _ in range(50):
            while True:
                old = db[b"n"]
                if db.put(b"n", b"%d" % (int(old) + 1), expect=old):
                    break

    run_threads(work, work, work)
    assert db[b"n"] == b"150"
    assert db.commit_id == 151


def test_interrupt_ends_the_wait_for_the_lock(db: cowtree.Database) -> None:
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with db.transaction() as txn:
            txn[b"k"] = b"held"
            holding.set()
            done.wait(60)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    holding.wait()
    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            db[b"k"] = b"interrupted"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        done.set()
        thread.join(60)
    assert db[b"k"] == b"held"
    db[b"k"] = b"free"
    assert db.commit_id == 2


def test_closing_wakes_threads_that_wait_for_its_lock(path: Path, run_threads: RunThreads) -> None:
    db, other = cowtree.open(path, sync=False), cowtree.open(path, sync=False)
    txn = other.transaction()
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        with pytest.raises(cowtree.ClosedError):
            db[b"k"] = b"never"

    def close() -> None:
        waiting.wait()
        db.close()

    run_threads(wait, close)
    txn.rollback()
    assert dict(other) == {}
    other.close()


@pytest.mark.parametrize("sync", [True, False])
def test_threads_with_transactions_of_all_sizes_lose_nothing(
    path: Path, run_threads: RunThreads, sync: bool
) -> None:
    with cowtree.open(path, sync=sync, write_memory=1 << 16) as db:

        def work(number: int) -> None:
            rng = random.Random(number)
            for step in range(12):
                count = rng.choice([1, 5, 500])
                txn = db.transaction()
                txn.update((b"%d/%d/%04d" % (number, step, i), b"v" * 300) for i in range(count))
                txn[b"sum/%d" % number] = b"%d" % txn.count(prefix=b"%d/" % number)
                if step % 4 == 3:
                    txn.rollback()
                else:
                    txn.commit()

        run_threads(*(lambda n=n: work(n) for n in range(5)))
        for number in range(5):
            assert db.count(prefix=b"%d/" % number) == int(db[b"sum/%d" % number])
        assert db.commit_id == 45
        report = db.check()
        assert report.ok, report.problems


@pytest.mark.durable
def test_a_refused_put_rests_on_a_commit_that_every_reader_sees(db: cowtree.Database) -> None:
    """A `False` may come from a commit whose sync is under way: it is told when that commit is published."""
    problems: list[object] = []
    start = threading.Barrier(4)

    def contend(number: int) -> None:
        start.wait()
        for i in range(150):
            key = b"%d" % i
            try:
                if not db.put(key, b"%d" % number, overwrite=False):
                    db[key]
            except Exception as error:
                problems.append(error)

    threads = [threading.Thread(target=contend, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]
    assert len(db) == 150


def test_a_transaction_begins_while_another_thread_has_the_registry(path: Path) -> None:
    """Releasing the last handle waits there for the writer that is about to begin."""
    with cowtree.open(path, sync=False) as db:
        begun = threading.Event()

        def write() -> None:
            with db.transaction() as txn:
                begun.set()
                txn[b"k"] = b"v"

        thread = threading.Thread(target=write)
        with registry.engines_lock:
            thread.start()
            assert begun.wait(PATIENCE_SECONDS)
        thread.join()
        assert db[b"k"] == b"v"


def test_threads_that_write_without_a_pause_let_other_processes_in(path: Path) -> None:
    """The lock is handed from thread to thread, but not past a process that waits for it."""
    ended = threading.Event()
    code = "import sys, cowtree; cowtree.open(sys.argv[1], timeout=20)[b'other'] = b'1'"
    with cowtree.open(path, sync=False) as db:

        def write(number: int) -> None:
            while not ended.is_set():
                db[b"%d" % number] = b"x"

        threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", code, str(path)], check=False
            )
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        assert done.returncode == 0
        assert db[b"other"] == b"1"
