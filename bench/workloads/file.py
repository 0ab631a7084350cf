"""The file: its size, what is written to the device, opening."""

from __future__ import annotations

import time

from bench import machine
from bench.workload import Fixture, Job, Place, stored, workload


@workload(Fixture.EMPTY, core=True, unit="MB")
def file_size(place: Place) -> Job:
    """disk blocks after random_put and a clean close"""

    def run() -> float:
        place.engine.put_all(place.data.pairs)
        place.engine.close()
        size = machine.disk_bytes(place.folder)
        place.engine.open(place.folder, sync=place.sync)
        return size / 1e6

    return Job(run, answer=lambda: stored(place))


@workload(Fixture.OWN, core=True)
def open_time(place: Place) -> Job:
    """open after a clean close, and one get"""
    engine, key = place.engine, place.data.keys[0]
    times: list[float] = []
    found: list[bytes | None] = []

    def run() -> float:
        for _ in range(20):
            engine.close()
            started = time.perf_counter_ns()
            engine.open(place.folder, sync=place.sync)
            snapshot = engine.snapshot()()
            found.append(snapshot.get(key))
            times.append((time.perf_counter_ns() - started) / 1000)
            engine.end(snapshot)
        return sum(times) / len(times)

    return Job(run, answer=lambda: set(found), expected=lambda: {place.data.values[0]})
