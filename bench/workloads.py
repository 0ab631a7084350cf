"""The workloads: functions that prepare a `Job` over an opened engine; the runner times the job alone.

To add one, write a function under `@workload(...)`: its name is the workload's, its docstring what it says in the list.
What it does before it returns the job is not timed, nor is `Job.answer`.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from bench.engines import Engine

__all__ = ["KEY_SIZE", "VALUE_SIZE", "WORKLOADS", "Data", "Fixture", "Job", "Place", "Workload"]

KEY_SIZE = 16
VALUE_SIZE = 100
HOT_KEYS = 1000
BATCH = 1000
SHORT_SCAN = 100


@dataclass(frozen=True)
class Data:
    """`keys` in random order, `values[i]` that of `keys[i]`; `shuffled` in another order, to read by."""

    keys: list[bytes]
    values: list[bytes]
    shuffled: list[bytes]

    @staticmethod
    def make(count: int, seed: int = 7) -> Data:
        """The same for the same seed."""
        rng = random.Random(seed)
        keys = list({rng.randbytes(KEY_SIZE): None for _ in range(count)})
        shuffled = keys[:]
        rng.shuffle(shuffled)
        # Copies lie in memory in reading order: a cache miss on each key would be timed on both engines alike.
        shuffled = [bytes(bytearray(key)) for key in shuffled]
        return Data(keys, [rng.randbytes(VALUE_SIZE) for _ in keys], shuffled)

    @functools.cached_property
    def pairs(self) -> list[tuple[bytes, bytes]]:
        """As loaded."""
        return list(zip(self.keys, self.values, strict=True))

    @functools.cached_property
    def ascending(self) -> list[tuple[bytes, bytes]]:
        """In key order."""
        return sorted(self.pairs)

    def other_pairs(self, turn: int) -> list[tuple[bytes, bytes]]:
        """The keys in reading order, each with a value that no turn before gave it."""
        shift = (turn + 1) * 7919 % len(self.values)
        values = self.values[shift:] + self.values[:shift]
        return list(zip(self.shuffled, values, strict=True))


@dataclass(frozen=True)
class Place:
    """What a workload works on. `turn` counts the runs over this database."""

    engine: Engine
    folder: str
    sync: bool
    data: Data
    turn: int


@dataclass(frozen=True)
class Job:
    """What is timed, and how many operations it is.

    `run` may return its own measure in the workload's unit, in place of the time it took. `answer` is compared between
    the engines and, if given, with `expected`, which the data alone tells. `end` releases what the job holds.
    """

    run: Callable[[], float | None]
    operations: int = 1
    answer: Callable[[], object] = lambda: None
    expected: Callable[[], object] | None = None
    end: Callable[[], object] = lambda: None


class Fixture(Enum):
    """The database that a workload finds."""

    SHARED = "loaded, shared with other workloads that only read"
    OWN = "loaded, of its own over all turns"
    EMPTY = "a new one each turn"


Prepare = Callable[[Place], Job]


@dataclass(frozen=True)
class Workload:
    """A registered workload. `unit` names what one operation is measured in; less is better."""

    name: str
    what: str
    prepare: Prepare
    fixture: Fixture
    sync: bool
    unit: str
    counts: bool


WORKLOADS: dict[str, Workload] = {}


def workload(
    fixture: Fixture, *, sync: bool = False, unit: str = "µs", counts: bool = False
) -> Callable[[Prepare], Prepare]:
    """Register. `sync`: durable commits; `counts`: only for engines that have count, rank, nth."""

    def register(prepare: Prepare) -> Prepare:
        name = prepare.__name__
        what = (prepare.__doc__ or "").partition("\n")[0].rstrip(".")
        WORKLOADS[name] = Workload(name, what, prepare, fixture, sync, unit, counts)
        return prepare

    return register


# Reading


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
        answer=lambda: _digest(get(key) for key in keys),
        expected=lambda: _digest(_found(place.data, keys)),
        end=lambda: place.engine.end(snapshot),
    )


@workload(Fixture.SHARED)
def random_get(place: Place) -> Job:
    """get of random keys"""
    return _gets(place, place.data.shuffled, 1)


@workload(Fixture.SHARED)
def hot_get(place: Place) -> Job:
    """get of 1,000 keys over and over"""
    return _gets(place, place.data.shuffled[:HOT_KEYS], 200)


@workload(Fixture.SHARED)
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
        answer=lambda: _digest(
            v for batch in batches for v in engine.values_of(many(batch), batch)
        ),
        expected=lambda: _digest(_found(data, keys)),
        end=lambda: engine.end(snapshot),
    )


@workload(Fixture.SHARED)
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
        answer=lambda: _digest(part for item in engine.scan(snapshot) for part in item),
        expected=lambda: _digest(part for item in data.ascending for part in item),
        end=lambda: engine.end(snapshot),
    )


@workload(Fixture.SHARED)
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
        return _digest(p for i in at for item in data.ascending[i : i + SHORT_SCAN] for p in item)

    return Job(
        run,
        len(keys),
        answer=lambda: _digest(
            p for key in keys for item in islice(scan_from(key), SHORT_SCAN) for p in item
        ),
        expected=expected,
        end=lambda: engine.end(snapshot),
    )


@workload(Fixture.SHARED)
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
        answer=lambda: _digest(take().get(key) for key in keys),
        expected=lambda: _digest(_found(place.data, keys)),
    )


# Counting


@workload(Fixture.SHARED, counts=True)
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
        expected=lambda: [size - rank for rank in _ranks(place.data, keys)],
        end=snapshot.close,
    )


@workload(Fixture.SHARED, counts=True)
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
        expected=lambda: _ranks(place.data, keys),
        end=snapshot.close,
    )


@workload(Fixture.SHARED, counts=True)
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


# Loading and changing, each in one transaction that is not synced


def _stored(place: Place) -> bytes:
    snapshot = place.engine.snapshot()()
    digest = _digest(part for item in place.engine.scan(snapshot) for part in item)
    place.engine.end(snapshot)
    return digest


def _load(place: Place, load: Callable[[list[tuple[bytes, bytes]]], None], ascending: bool) -> Job:
    data = place.data
    pairs = data.ascending if ascending else data.pairs
    return Job(
        lambda: load(pairs),
        len(pairs),
        answer=lambda: _stored(place),
        expected=lambda: _digest(part for item in data.ascending for part in item),
    )


@workload(Fixture.EMPTY)
def load_sorted(place: Place) -> Job:
    """ascending keys in one transaction, a put each (LMDB: append=True)"""
    return _load(place, place.engine.put_ascending, ascending=True)


@workload(Fixture.EMPTY)
def load_sorted_bulk(place: Place) -> Job:
    """ascending keys in one call: load (LMDB: putmulti, append=True)"""
    return _load(place, place.engine.load_ascending, ascending=True)


@workload(Fixture.EMPTY)
def random_put(place: Place) -> Job:
    """random keys in one transaction"""
    return _load(place, place.engine.put_all, ascending=False)


@workload(Fixture.OWN)
def random_overwrite(place: Place) -> Job:
    """overwrite every key, in random order, in one transaction"""
    pairs = place.data.other_pairs(place.turn)
    return Job(
        lambda: place.engine.put_all(pairs),
        len(pairs),
        answer=lambda: _stored(place),
        expected=lambda: _digest(part for item in sorted(pairs) for part in item),
    )


# Small commits


def _commits(place: Place, number: int) -> Job:
    put = place.engine.put_one()
    pairs = place.data.other_pairs(place.turn)[:number]

    def run() -> None:
        for key, value in pairs:
            put(key, value)

    return Job(run, len(pairs), answer=lambda: _stored(place))


@workload(Fixture.OWN)
def commit_nosync(place: Place) -> Job:
    """one put a commit, sync=False"""
    return _commits(place, 5000)


@workload(Fixture.OWN, sync=True)
def commit_durable(place: Place) -> Job:
    """one put a commit, durable"""
    return _commits(place, 500)


@workload(Fixture.OWN, sync=True)
def commit_durable_8_threads(place: Place) -> Job:
    """one put a commit, durable, from 8 threads together"""
    put = place.engine.put_one()
    threads, each = 8, 100
    pairs = place.data.other_pairs(place.turn)[: threads * each]
    start = threading.Barrier(threads + 1)
    problems: list[Exception] = []

    def work(part: list[tuple[bytes, bytes]]) -> None:
        start.wait()
        try:
            for key, value in part:
                put(key, value)
        except Exception as error:
            problems.append(error)

    workers = [threading.Thread(target=work, args=(pairs[i::threads],)) for i in range(threads)]
    for worker in workers:
        worker.start()

    def run() -> None:
        start.wait()
        for worker in workers:
            worker.join()
        if problems:
            raise problems[0]

    return Job(run, len(pairs), answer=lambda: _stored(place))


# The file


@workload(Fixture.EMPTY, unit="MB")
def file_size(place: Place) -> Job:
    """disk blocks after random_put and a clean close"""

    def run() -> float:
        place.engine.put_all(place.data.pairs)
        place.engine.close()
        size = place.engine.disk_bytes()
        place.engine.open(place.folder, sync=place.sync)
        return size / 1e6

    return Job(run, answer=lambda: _stored(place))


@workload(Fixture.OWN)
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


# What the data alone tells


def _found(data: Data, keys: list[bytes]) -> Iterable[bytes]:
    values = dict(data.pairs)
    return (values[key] for key in keys)


def _ranks(data: Data, keys: list[bytes]) -> list[int]:
    return [bisect.bisect_left(data.ascending, (key, b"")) for key in keys]


def _digest(parts: Iterable[bytes | None]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return digest.digest()
