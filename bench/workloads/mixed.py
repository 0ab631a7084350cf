"""Threads of one process: readers, and readers beside a writer."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from bench.data import digest
from bench.engines import Feature
from bench.threads import Threads
from bench.workload import Fixture, Job, Place, register, stored, workload

THREADS = (1, 2, 4, 8)
GETS = 100_000
READERS = 3
COMMITS = 500


def _threads_get(place: Place, count: int) -> Job:
    engine, keys = place.engine, place.data.shuffled[:GETS]
    parts = [keys[i::count] for i in range(count)]

    def reader(part: list[bytes]) -> Callable[[], None]:
        def read() -> None:
            snapshot = engine.snapshot()()
            get = snapshot.get
            for key in part:
                get(key)
            engine.end(snapshot)

        return read

    found: dict[int, bytes] = {}

    def checker(number: int) -> Callable[[], None]:
        def check() -> None:
            snapshot = engine.snapshot()()
            found[number] = digest(snapshot.get(key) for key in parts[number])
            engine.end(snapshot)

        return check

    def answer() -> list[bytes]:
        """What the threads find when they read once more and keep it."""
        Threads([checker(number) for number in range(count)]).run()
        return [found[number] for number in range(count)]

    return Job(
        Threads([reader(part) for part in parts]).run,
        len(keys),
        answer=answer,
        expected=lambda: [digest(place.data.found(part)) for part in parts],
    )


def _register(count: int) -> None:
    def prepare(place: Place) -> Job:
        return _threads_get(place, count)

    what = f"get of random keys in {count} thread{'s' if count > 1 else ''} at once, per get of all"
    register(f"threads_get_{count}", what, prepare, Fixture.SHARED, needs=Feature.THREADS)


for _count in THREADS:
    _register(_count)


def _readers_and_writer(place: Place) -> Job:
    """Readers go on, a snapshot for each 100 gets, until the writer has made its commits."""
    engine, data = place.engine, place.data
    pairs = data.other_pairs(place.turn)[: 10 * COMMITS]
    commits = [pairs[start : start + 10] for start in range(0, len(pairs), 10)]
    written = threading.Event()
    gets: list[int] = []
    wrong: list[bytes] = []
    allowed = {key: {value} for key, value in data.pairs}
    for turn in range(place.turn + 1):
        for key, value in data.other_pairs(turn)[: 10 * COMMITS]:
            allowed[key].add(value)

    def write() -> None:
        try:
            for commit in commits:
                engine.put_all(commit)
        finally:
            written.set()

    def reader(seed: int) -> Callable[[], None]:
        keys = random.Random(seed).choices(data.keys, k=10_000)

        def read() -> None:
            take, done, last = engine.snapshot(), 0, {}
            while not written.is_set():
                start = done % len(keys)
                snapshot = take()
                get = snapshot.get
                part = keys[start : start + 100]
                last = {key: get(key) for key in part}
                engine.end(snapshot)
                done += len(part)
            gets.append(done)
            wrong.extend(key for key, value in last.items() if value not in allowed[key])

        return read

    threads = Threads([write, *(reader(seed) for seed in range(READERS))])

    def run() -> dict[str, float]:
        started = time.perf_counter_ns()
        threads.run()
        elapsed = (time.perf_counter_ns() - started) / 1000
        return {"commit": elapsed / len(commits), "get": elapsed / max(1, sum(gets))}

    return Job(
        run,
        answer=lambda: (wrong, stored(place)),
        expected=lambda: ([], data.digest(pairs)),
    )


@workload(Fixture.OWN, needs=(Feature.THREADS, Feature.SNAPSHOTS))
def readers_and_writer(place: Place) -> Job:
    """a commit of ten puts with sync=False while three threads read; beside it per get of all readers"""
    return _readers_and_writer(place)


@workload(Fixture.OWN, sync=True, needs=(Feature.THREADS, Feature.SNAPSHOTS))
def readers_and_writer_durable(place: Place) -> Job:
    """a durable commit of ten puts while three threads read; beside it per get of all readers"""
    return _readers_and_writer(place)
