"""Several processes on one database: readers, and how soon they see a commit."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

from bench import workers
from bench.data import digest
from bench.engines import Cowtree, Feature
from bench.measures import UnavailableError
from bench.workload import Fixture, Job, Place, register, stored, workload
from bench.workloads.commits import percentiles

PROCESSES = (1, 2, 4)
KEYS = 20_000
FRESH_COMMITS = 300


class _Readers:
    """Processes that read keys of their own each."""

    def __init__(self, place: Place, count: int) -> None:
        engine, keys = place.engine.name, place.data.shuffled[: KEYS * count]
        self.parts = [keys[i::count] for i in range(count)]
        self.workers = [
            workers.Worker(workers.read_keys, engine, place.folder, part) for part in self.parts
        ]
        for worker in self.workers:
            worker.hear()
        self.found: list[tuple[int, bytes]] = []

    def start(self, rounds: int) -> None:
        for worker in self.workers:
            worker.tell(rounds)

    def wait(self) -> None:
        self.found = [worker.hear() for worker in self.workers]

    @property
    def done(self) -> bool:
        return all(worker.hears(0) for worker in self.workers)

    def end(self) -> None:
        for worker in self.workers:
            worker.tell(0)
            worker.end()


def _processes_get(place: Place, count: int) -> Job:
    readers = _Readers(place, count)
    rounds = 5

    def run() -> None:
        readers.start(rounds)
        readers.wait()

    return Job(
        run,
        rounds * sum(len(part) for part in readers.parts),
        answer=lambda: [found for _, found in readers.found],
        expected=lambda: [digest(place.data.found(part)) for part in readers.parts],
        end=readers.end,
    )


def _register(count: int) -> None:
    def prepare(place: Place) -> Job:
        return _processes_get(place, count)

    what = (
        f"get of random keys in {count} process{'es' if count > 1 else ''} at once, per get of all"
    )
    register(f"processes_get_{count}", what, prepare, Fixture.SHARED, needs=Feature.PROCESSES)


for _count in PROCESSES:
    _register(_count)


@workload(Fixture.OWN, needs=Feature.PROCESSES)
def processes_get_and_put(place: Place) -> Job:
    """get in another process while this one commits ten puts each time, sync=False; beside it per commit"""
    engine, data = place.engine, place.data
    readers = _Readers(place, 1)
    pairs = data.other_pairs(place.turn)
    commits = [pairs[start : start + 10] for start in range(0, len(pairs), 10)]
    rounds = 5

    def run() -> dict[str, float]:
        done = 0
        started = time.perf_counter_ns()
        readers.start(rounds)
        while not readers.done:
            engine.put_all(commits[done % len(commits)])
            done += 1
        elapsed = time.perf_counter_ns() - started
        readers.wait()
        gets = rounds * len(readers.parts[0])
        return {"get": readers.found[0][0] / 1000 / gets, "commit": elapsed / 1000 / max(1, done)}

    def complete() -> bytes:
        for commit in commits:
            engine.put_all(commit)
        return stored(place)

    return Job(run, answer=complete, expected=lambda: data.digest(pairs), end=readers.end)


@workload(Fixture.OWN, needs=Feature.PROCESSES)
def freshness(place: Place) -> Job:
    """from the start of a commit until a process that reads all the time sees it, median; beside it p99"""
    put, key = place.engine.put_one(), b"newest"
    put(key, b"start")
    worker = workers.Worker(workers.see_commits, place.engine.name, place.folder, key)
    worker.hear()
    seen: list[tuple[bytes, int]] = []

    def run() -> dict[str, float]:
        starts: dict[bytes, int] = {}
        for number in range(FRESH_COMMITS):
            value = b"%d" % number
            starts[value] = time.monotonic_ns()
            put(key, value)
            time.sleep(0.001)
        put(key, b"end")
        seen.extend(worker.hear())
        return percentiles([at - starts[value] for value, at in seen if value in starts])

    def in_order() -> bool:
        numbers = [int(value) for value, _ in seen if value.isdigit()]
        return numbers == sorted(numbers) and len(numbers) > 0 and seen[-1][0] == b"end"

    return Job(run, answer=in_order, expected=lambda: True, end=worker.end)


@workload(Fixture.OWN, needs=Feature.HISTORY)
def wake_up(place: Place) -> Job:
    """from the start of a commit until `wait` in another process returns, median; beside it p99"""
    assert isinstance(place.engine, Cowtree)
    db = place.engine.db
    if not hasattr(db, "wait"):
        raise UnavailableError("this version of cowtree has no wait")
    worker = workers.Worker(wait_for_commits, db, FRESH_COMMITS)
    worker.hear()
    woken: dict[int, int] = {}

    def run() -> dict[str, float]:
        starts: dict[int, int] = {}
        for number in range(FRESH_COMMITS):
            started = time.monotonic_ns()
            db[b"newest"] = b"%d" % number
            starts[db.commit_id] = started
            time.sleep(0.001)
        woken.update(worker.hear())
        return percentiles([at - starts[each] for each, at in woken.items() if each in starts])

    def answer() -> bool:
        return db.commit_id in woken and list(woken) == sorted(woken)

    return Job(run, answer=answer, expected=lambda: True, end=worker.end)


def wait_for_commits(connection: Connection, db: Any, count: int) -> None:
    """In the other process: say when each commit woke it."""
    last = db.commit_id
    end = last + count
    woken: dict[int, int] = {}
    connection.send("ready")
    while last < end:
        newest = db.wait(last, 60)
        if newest is None:
            break
        woken[newest] = time.monotonic_ns()
        last = newest
    connection.send(woken)
    db.close()
