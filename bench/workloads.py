"""The workloads: plain functions that return (operations, answer), timed as a whole by the runner.

The runner compares the answers of the engines. `@workload(...)` says which state a workload wants.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bench.engines import Engine

__all__ = ["WORKLOADS", "Data", "Workload"]

VALUE_SIZE = 100
HOT_KEYS = 1000


@dataclass(frozen=True)
class Data:
    """Keys of 16 random bytes, each with a value of 100."""

    keys: list[bytes]
    shuffled: list[bytes]
    value: bytes
    other: bytes

    @staticmethod
    def make(count: int, seed: int = 7) -> Data:
        rng = random.Random(seed)
        keys = [rng.randbytes(16) for _ in range(count)]
        shuffled = keys[:]
        rng.shuffle(shuffled)
        return Data(keys, shuffled, rng.randbytes(VALUE_SIZE), rng.randbytes(VALUE_SIZE))


Run = Callable[[Engine, Data, Any], tuple[int, object]]


@dataclass(frozen=True)
class Workload:
    """`loaded`: over the loaded database, else over an empty one; `sync`: durable commits."""

    name: str
    run: Run
    loaded: bool
    sync: bool
    reads: bool
    what: str


WORKLOADS: dict[str, Workload] = {}


def workload(
    *, loaded: bool = True, sync: bool = False, reads: bool = True
) -> Callable[[Run], Run]:
    """Register a workload; `reads`: it gets a reader as its third argument."""

    def register(run: Run) -> Run:
        name = run.__name__
        what = (run.__doc__ or "").strip().splitlines()[0]
        WORKLOADS[name] = Workload(name, run, loaded, sync, reads, what)
        return run

    return register


@workload()
def random_get(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """get of random keys"""
    get = engine.getter(reader)
    keys = data.shuffled[:200_000]
    for key in keys:
        get(key)
    return len(keys), get(keys[0])


@workload()
def hot_get(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """get of 1,000 keys over and over"""
    get = engine.getter(reader)
    keys = data.shuffled[:HOT_KEYS]
    for _ in range(200):
        for key in keys:
            get(key)
    return 200 * len(keys), get(keys[-1])


@workload()
def get_many(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """1,000 random keys in one call"""
    keys = data.shuffled
    found: list[bytes | None] = []
    starts = range(0, min(len(keys), 100_000), 1000)
    for start in starts:
        found = engine.get_many(reader, keys[start : start + 1000])
    return len(starts) * 1000, found


@workload()
def scan(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """all items in order"""
    count = 0
    key = b""
    for key, _ in engine.scan(reader, None):  # noqa: B007 - the last key is the answer
        count += 1
    return count, (count, key)


@workload()
def short_scan(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """seek and 100 items"""
    last: list[tuple[bytes, bytes]] = []
    keys = data.shuffled[:2000]
    for key in keys:
        last = list(islice(engine.scan(reader, key), 100))
    return len(keys), last


@workload()
def snapshot_get(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """take a snapshot and read one key"""
    get = engine.snapshot_get()
    keys = data.shuffled[:50_000]
    for key in keys:
        get(key)
    return len(keys), get(keys[0])


@workload(loaded=False, reads=False)
def load_sorted(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """ascending keys in one transaction"""
    value = data.value
    engine.load([(key, value) for key in sorted(data.keys)], ascending=True)
    return len(data.keys), None


@workload(loaded=False, reads=False)
def random_put(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """random keys in one transaction"""
    value = data.value
    engine.load([(key, value) for key in data.keys], ascending=False)
    return len(data.keys), None


@workload(reads=False)
def random_overwrite(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """overwrite random keys in one transaction"""
    value = data.other
    engine.load([(key, value) for key in data.shuffled], ascending=False)
    return len(data.keys), None


@workload(reads=False)
def commit_nosync(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """one put a commit, sync=False"""
    put = engine.put_one()
    keys = data.shuffled[:5000]
    for key in keys:
        put(key, data.other)
    return len(keys), None


@workload(sync=True, reads=False)
def commit_durable(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """one put a commit, durable"""
    put = engine.put_one()
    keys = data.shuffled[:500]
    for key in keys:
        put(key, data.other)
    return len(keys), None


@workload(sync=True, reads=False)
def commit_durable_8_threads(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """one put a commit, durable, from 8 threads"""
    put = engine.put_one()

    def work(number: int) -> None:
        for key in data.shuffled[number * 100 : number * 100 + 100]:
            put(key, data.other)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 800, None


@workload()
def count_rank_nth(engine: Engine, data: Data, reader: Any) -> tuple[int, object]:
    """count of a range, rank, nth (cowtree alone: LMDB has none)"""
    if engine.name != "cowtree":
        return 0, None
    size = len(reader)
    for i, key in enumerate(data.shuffled[:5000]):
        reader.count(key)
        reader.rank(key)
        reader.nth(i % size)
    return 15_000, None
