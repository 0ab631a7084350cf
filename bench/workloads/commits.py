"""Small commits."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from bench import measures
from bench.engines import Feature
from bench.threads import Threads
from bench.workload import Fixture, Job, Place, stored, workload


def _commits(place: Place, number: int) -> Job:
    put = place.engine.put_one()
    pairs = place.data.other_pairs(place.turn)[:number]

    def run() -> None:
        for key, value in pairs:
            put(key, value)

    return Job(
        run,
        len(pairs),
        answer=lambda: stored(place),
        expected=lambda: place.data.digest(pairs),
    )


@workload(Fixture.OWN, core=True)
def commit_nosync(place: Place) -> Job:
    """one put a commit, sync=False"""
    return _commits(place, 5000)


@workload(Fixture.OWN, core=True, sync=True)
def commit_durable(place: Place) -> Job:
    """one put a commit, durable"""
    return _commits(place, 500)


@workload(Fixture.OWN, core=True, sync=True, needs=Feature.THREADS)
def commit_durable_8_threads(place: Place) -> Job:
    """one put a commit, durable, from 8 threads together"""
    put = place.engine.put_one()
    count, each = 8, 100
    pairs = place.data.other_pairs(place.turn)[: count * each]

    def writer(part: list[tuple[bytes, bytes]]) -> Callable[[], None]:
        def write() -> None:
            for key, value in part:
                put(key, value)

        return write

    run = Threads([writer(pairs[i::count]) for i in range(count)]).run
    return Job(
        run,
        len(pairs),
        answer=lambda: stored(place),
        expected=lambda: place.data.digest(pairs),
    )


@workload(Fixture.OWN, core=True, sync=True)
def commit_latency(place: Place) -> Job:
    """median of one-put durable commits; beside it p99, p99.9 and the longest"""
    put = place.engine.put_one()
    pairs = place.data.other_pairs(place.turn)[:1000]
    times: list[int] = []

    def run() -> dict[str, float]:
        clock = time.perf_counter_ns
        for key, value in pairs:
            started = clock()
            put(key, value)
            times.append(clock() - started)
        return percentiles(times)

    return Job(run, answer=lambda: stored(place), expected=lambda: place.data.digest(pairs))


@workload(Fixture.OWN, sync=True)
def commit_durable_10(place: Place) -> Job:
    """ten puts a commit, durable, per put"""
    pairs = place.data.other_pairs(place.turn)[:5000]
    commits = [pairs[start : start + 10] for start in range(0, len(pairs), 10)]

    def run() -> None:
        for commit in commits:
            place.engine.put_all(commit)

    return Job(
        run,
        len(pairs),
        answer=lambda: stored(place),
        expected=lambda: place.data.digest(pairs),
    )


@workload(Fixture.OWN)
def delete_heavy(place: Place) -> Job:
    """a queue in commits of ten: entries come in at the end and go at the front, per entry; MB then"""
    engine, data = place.engine, place.data
    # Each turn's entries lie above those of the turn before.
    low, count = place.turn * len(data.keys), min(len(data.keys), 20_000)
    keys = [b"\xff" * 9 + (low + i).to_bytes(8, "big") for i in range(count)]
    waiting = 100
    entries = list(zip(keys, data.values, strict=False))

    def run() -> dict[str, float]:
        started = time.perf_counter_ns()
        for start in range(0, count, 10):
            engine.put_all(entries[start : start + 10])
            if start >= waiting:
                engine.delete_all(keys[start - waiting : start - waiting + 10])
        elapsed = time.perf_counter_ns() - started
        gc.collect()  # it was off: a file may wait for it
        return {"": elapsed / 1000 / count, "disk (MB)": measures.disk_bytes(place.folder) / 1e6}

    deleted = max(0, (count - 1) // 10 * 10 - waiting + 10)
    left = entries[deleted if count > waiting else 0 :]
    return Job(run, answer=lambda: stored(place), expected=lambda: data.digest(left))


def percentiles(times: list[int]) -> dict[str, float]:
    """Of nanoseconds, as microseconds; the median comes first."""
    ordered = sorted(times)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000

    return {"p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "longest": ordered[-1] / 1000}
