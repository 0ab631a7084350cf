"""The file: its size, what is written to the device, opening."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable

from bench import measures, workers
from bench.data import Recipe, digest
from bench.workload import Fixture, Job, Place, register, stored, workload

CRASH_COMMITS = 1000
GIGABYTE = Recipe(value_size=1 << 10, bytes_max=1 << 30)


@workload(Fixture.EMPTY, core=True, unit="MB")
def file_size(place: Place) -> Job:
    """disk blocks after random_put and a clean close"""

    def run() -> float:
        place.engine.put_all(place.data.pairs)
        place.engine.close()
        size = measures.disk_bytes(place.folder)
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


@workload(Fixture.OWN, core=True, sync=True)
def open_after_crash(place: Place) -> Job:
    """open after a process ended without closing after 1,000 durable commits of one put, and one get"""
    return _open_after_crash(place)


@workload(Fixture.OWN, core=True)
def open_after_crash_nosync(place: Place) -> Job:
    """likewise after 1,000 commits with sync=False, of which the system kept all"""
    return _open_after_crash(place)


def _open_after_crash(place: Place) -> Job:
    engine = place.engine
    pairs = place.data.other_pairs(place.turn)[:CRASH_COMMITS]
    engine.close()
    workers.commit_and_crash(engine.name, place.folder, pairs, sync=place.sync)
    key, value = pairs[-1]
    found: list[bytes | None] = []

    def run() -> None:
        engine.open(place.folder, sync=place.sync)
        snapshot = engine.snapshot()()
        found.append(snapshot.get(key))
        engine.end(snapshot)

    return Job(
        run,
        answer=lambda: (found[0], stored(place)),
        expected=lambda: (value, place.data.digest(pairs)),
    )


for _name, _prepare, _what in (
    (
        "open_time_1KiB",
        open_time,
        "open_time with values of 1 KiB: a database of 1 GB for 1,000,000 keys",
    ),
    ("open_after_crash_1KiB", open_after_crash_nosync, "open_after_crash_nosync likewise"),
):
    register(_name, _what, _prepare, Fixture.OWN, recipe=GIGABYTE)


@workload(Fixture.OWN)
def first_touch(place: Place) -> Job:
    """the first get of each of 2,000 random keys after open, the file in the page cache"""
    engine = place.engine
    keys = random.Random(place.turn).sample(place.data.keys, min(2000, len(place.data.keys)))
    snapshots = []

    def run() -> float:
        engine.close()
        engine.open(place.folder, sync=place.sync)
        snapshot = engine.snapshot()()
        snapshots.append(snapshot)
        get = snapshot.get
        started = time.perf_counter_ns()
        for key in keys:
            get(key)
        return (time.perf_counter_ns() - started) / 1000 / len(keys)

    return Job(
        run,
        answer=lambda: digest(snapshots[0].get(key) for key in keys),
        expected=lambda: digest(place.data.found(keys)),
        end=lambda: engine.end(snapshots[0]),
    )


@workload(Fixture.OWN, core=True, unit="MB")
def disk_after_overwrites(place: Place) -> Job:
    """most the files take in overwrites as many as keys, in commits of 10"""
    engine, data = place.engine, place.data
    rng = random.Random(place.turn)
    keys = rng.choices(data.keys, k=len(data.keys))
    values = [value for _, value in data.other_pairs(place.turn)]
    overwrites = list(zip(keys, values, strict=True))

    def run() -> dict[str, float]:
        with measures.DiskWatch(place.folder) as watch:
            for start in range(0, len(overwrites), 10):
                engine.put_all(overwrites[start : start + 10])
                if start % 1000 == 0:
                    watch.look()
        engine.close()
        gc.collect()  # it was off: a file may wait for it
        at_end = measures.disk_bytes(place.folder)
        engine.open(place.folder, sync=place.sync)
        return {"most": watch.most / 1e6, "after close": at_end / 1e6}

    return Job(run, answer=lambda: stored(place), expected=lambda: place.data.digest(overwrites))


def _device_bytes(
    place: Place, pairs: list[tuple[bytes, bytes]], write: Callable[[], object]
) -> Job:
    """The figure is of the device, by whomever, where it tells; beside it that of this process."""

    def run() -> dict[str, float]:
        place.engine.sync()
        device, own = measures.device_bytes(place.folder), measures.written_bytes()
        write()
        place.engine.sync()
        told = {"by this process": (measures.written_bytes() - own) / len(pairs)}
        device_after = measures.device_bytes(place.folder)
        if device is not None and device_after is not None:
            told = {"device": (device_after - device) / len(pairs), **told}
        return told

    measures.written_bytes()  # told before anything is written if it cannot be read
    return Job(run, answer=lambda: stored(place), expected=lambda: place.data.digest(pairs))


def _device_bytes_of_commits(place: Place, number: int) -> Job:
    put = place.engine.put_one()
    pairs = place.data.other_pairs(place.turn)[:number]

    def write() -> None:
        for key, value in pairs:
            put(key, value)

    return _device_bytes(place, pairs, write)


@workload(Fixture.OWN, core=True, sync=True, unit="B")
def device_bytes(place: Place) -> Job:
    """bytes written to the device per one-put durable commit; beside it as the system counts for the process"""
    return _device_bytes_of_commits(place, 500)


@workload(Fixture.OWN, unit="B")
def device_bytes_nosync(place: Place) -> Job:
    """bytes written to the device per one-put commit with sync=False, and one sync at the end"""
    return _device_bytes_of_commits(place, 5000)


@workload(Fixture.OWN, unit="B")
def device_bytes_overwrite(place: Place) -> Job:
    """bytes written to the device per put, every key overwritten in one transaction, and one sync"""
    pairs = place.data.other_pairs(place.turn)
    return _device_bytes(place, pairs, lambda: place.engine.put_all(pairs))
