"""Memory: what a load needs, and reading what is not in the page cache."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from typing import Any

from bench import measures, workers
from bench.data import digest
from bench.workload import Fixture, Job, Place, workload


@workload(Fixture.EMPTY, core=True, unit="MB")
def peak_memory(place: Place) -> Job:
    """most private memory of a process that puts random keys in one transaction"""
    engine, count = place.engine, len(place.data.keys)
    found: list[bytes] = []

    def run() -> float:
        engine.close()
        peak, stored = workers.peak_of_load(engine.name, place.folder, count)
        engine.open(place.folder, sync=place.sync)
        found.append(stored)
        return peak / 1e6

    def expected() -> bytes:
        items = sorted(dict(workers.random_pairs(count)).items())
        return digest(part for item in items for part in item)

    return Job(run, answer=lambda: found[0], expected=expected)


def _cold(
    place: Place,
    number: int,
    read: Callable[[Any], None],
    answer: Callable[[Any], bytes],
    expected: Callable[[], bytes],
) -> Job:
    """`read` over a snapshot of a database that was opened after the page cache forgot it."""
    engine = place.engine
    engine.close()
    gc.collect()  # what it has yet to free may hold the file mapped
    try:
        measures.drop_cached(place.folder)
    finally:
        engine.open(place.folder, sync=place.sync)
    snapshot = engine.snapshot()()

    def run() -> float:
        started = time.perf_counter_ns()
        read(snapshot)
        return (time.perf_counter_ns() - started) / 1000 / number

    return Job(
        run,
        answer=lambda: answer(snapshot),
        expected=expected,
        end=lambda: engine.end(snapshot),
    )


@workload(Fixture.OWN)
def cold_get(place: Place) -> Job:
    """get of 1,000 random keys, nothing in the page cache: as with data larger than memory"""
    data = place.data
    keys = random.Random(place.turn).sample(data.keys, min(1000, len(data.keys)))

    def read(snapshot: Any) -> None:
        get = snapshot.get
        for key in keys:
            get(key)

    return _cold(
        place,
        len(keys),
        read,
        answer=lambda snapshot: digest(snapshot.get(key) for key in keys),
        expected=lambda: digest(data.found(keys)),
    )


@workload(Fixture.OWN)
def cold_scan(place: Place) -> Job:
    """all items in order, nothing in the page cache, per item"""
    engine, data = place.engine, place.data

    def read(snapshot: Any) -> None:
        for _ in engine.scan(snapshot):
            pass

    return _cold(
        place,
        len(data.keys),
        read,
        answer=lambda snapshot: digest(part for item in engine.scan(snapshot) for part in item),
        expected=data.digest,
    )
