"""Reading a loaded database: gets, scans, counts."""

from __future__ import annotations

import bisect
import random
from itertools import islice

from bench.data import digest
from bench.engines import Feature
from bench.workload import Fixture, Job, Place, workload

HOT_KEYS = 1000
BATCH = 1000
SHORT_SCAN = 100


def _gets(place: Place, keys: list[bytes], rounds: int) -> Job:
    snapshot = place.engine.snapshot()()
    get = snapshot.get

    def run() -> None:
        for _ in range(rounds):
            for key in keys:
                get(key)

    return Job(
        run,
        rounds * len(keys),
        answer=lambda: digest(get(key) for key in keys),
        expected=lambda: digest(place.data.found(keys)),
        end=lambda: place.engine.end(snapshot),
    )


@workload(Fixture.SHARED, core=True)
def random_get(place: Place) -> Job:
    """get of random keys"""
    return _gets(place, place.data.shuffled, 1)


@workload(Fixture.SHARED, core=True)
def hot_get(place: Place) -> Job:
    """get of 1,000 keys over and over"""
    return _gets(place, place.data.shuffled[:HOT_KEYS], 200)


@workload(Fixture.SHARED, core=True)
def get_many(place: Place) -> Job:
    """1,000 random keys in one call, per key (LMDB: getmulti)"""
    engine, data = place.engine, place.data
    snapshot = engine.snapshot()()
    many = engine.get_many(snapshot)
    keys = data.shuffled[:200_000]
    batches = [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]

    def run() -> None:
        for batch in batches:
            many(batch)

    return Job(
        run,
        len(keys),
        answer=lambda: digest(v for batch in batches for v in engine.values_of(many(batch), batch)),
        expected=lambda: digest(data.found(keys)),
        end=lambda: engine.end(snapshot),
    )


@workload(Fixture.SHARED, core=True)
def scan(place: Place) -> Job:
    """all items in order, per item"""
    engine, data = place.engine, place.data
    snapshot = engine.snapshot()()

    def run() -> None:
        for _ in engine.scan(snapshot):
            pass

    return Job(
        run,
        len(data.keys),
        answer=lambda: digest(part for item in engine.scan(snapshot) for part in item),
        expected=lambda: data.digest(),
        end=lambda: engine.end(snapshot),
    )


@workload(Fixture.SHARED, core=True)
def short_scan(place: Place) -> Job:
    """seek and 100 items, per scan"""
    engine, data = place.engine, place.data
    snapshot = engine.snapshot()()
    scan_from = engine.scan_from(snapshot)
    keys = data.shuffled[:5000]

    def run() -> None:
        for key in keys:
            for _ in islice(scan_from(key), SHORT_SCAN):
                pass

    def expected() -> bytes:
        at = [bisect.bisect_left(data.ascending, (key, b"")) for key in keys]
        return digest(p for i in at for item in data.ascending[i : i + SHORT_SCAN] for p in item)

    return Job(
        run,
        len(keys),
        answer=lambda: digest(
            p for key in keys for item in islice(scan_from(key), SHORT_SCAN) for p in item
        ),
        expected=expected,
        end=lambda: engine.end(snapshot),
    )


@workload(Fixture.SHARED, core=True)
def snapshot_get(place: Place) -> Job:
    """take a snapshot and read one of 1,000 keys (LMDB: begin and get)"""
    take = place.engine.snapshot()
    keys = place.data.shuffled[:HOT_KEYS]

    def run() -> None:
        for _ in range(50):
            for key in keys:
                take().get(key)

    return Job(
        run,
        50 * len(keys),
        answer=lambda: digest(take().get(key) for key in keys),
        expected=lambda: digest(place.data.found(keys)),
    )


# Counting


@workload(Fixture.SHARED, core=True, needs=Feature.COUNTS)
def count(place: Place) -> Job:
    """count of the keys from a random one on"""
    snapshot = place.engine.snapshot()()
    of_range, keys, size = snapshot.count, place.data.shuffled[:10_000], len(place.data.keys)

    def run() -> None:
        for key in keys:
            of_range(key)

    return Job(
        run,
        len(keys),
        answer=lambda: [of_range(key) for key in keys],
        expected=lambda: [size - rank for rank in place.data.ranks(keys)],
        end=snapshot.close,
    )


@workload(Fixture.SHARED, core=True, needs=Feature.COUNTS)
def rank(place: Place) -> Job:
    """number of keys below a random one"""
    snapshot = place.engine.snapshot()()
    of_key, keys = snapshot.rank, place.data.shuffled[:10_000]

    def run() -> None:
        for key in keys:
            of_key(key)

    return Job(
        run,
        len(keys),
        answer=lambda: [of_key(key) for key in keys],
        expected=lambda: place.data.ranks(keys),
        end=snapshot.close,
    )


@workload(Fixture.SHARED, core=True, needs=Feature.COUNTS)
def nth(place: Place) -> Job:
    """item at a random index"""
    snapshot = place.engine.snapshot()()
    at, size = snapshot.nth, len(place.data.keys)
    indices = [random.Random(i).randrange(size) for i in range(10_000)]

    def run() -> None:
        for index in indices:
            at(index)

    return Job(
        run,
        len(indices),
        answer=lambda: [at(index) for index in indices],
        expected=lambda: [place.data.ascending[index] for index in indices],
        end=snapshot.close,
    )
