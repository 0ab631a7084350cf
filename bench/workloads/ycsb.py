"""The Yahoo! Cloud Serving Benchmark's workloads A to F (Cooper et al., 2010), one commit or snapshot an operation.

Records of 1,000 bytes, sync=False. Keys are chosen by Zipf's law with the exponent 0.99; in D the newest are the likely
ones.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from bench.data import Data, Recipe, digest
from bench.workload import Fixture, Job, Place, register

RECORDS = Recipe(value_size=1000, bytes_max=256 << 20)
OPERATIONS = 20_000
ZIPF_EXPONENT = 0.99
SCAN_MAX = 100


@dataclass(frozen=True)
class Mix:
    """Shares of the operations."""

    what: str
    read: float = 0.0
    update: float = 0.0
    insert: float = 0.0
    scan: float = 0.0
    modify: float = 0.0
    latest: bool = False


MIXES = {
    "a": Mix("half reads, half updates", read=0.5, update=0.5),
    "b": Mix("95 % reads, 5 % updates", read=0.95, update=0.05),
    "c": Mix("reads", read=1.0),
    "d": Mix("95 % reads of new records, 5 % inserts", read=0.95, insert=0.05, latest=True),
    "e": Mix("95 % short scans, 5 % inserts", scan=0.95, insert=0.05),
    "f": Mix("half reads, half read-modify-write", read=0.5, modify=0.5),
}

Operation = tuple[str, bytes, bytes, int]
"""Kind, key, value to write, number of items to scan."""
Get = Callable[[bytes], bytes | None]
Put = Callable[[bytes, bytes], object]
Scan = Callable[[bytes, int], list[tuple[bytes, bytes]]]


def _operations(mix: Mix, data: Data, turn: int) -> list[Operation]:
    rng = random.Random(turn)
    kinds = ("read", "update", "insert", "scan", "modify")
    shares = (mix.read, mix.update, mix.insert, mix.scan, mix.modify)
    number = min(OPERATIONS, 10 * len(data.keys))
    weights = list(
        itertools.accumulate(1 / (rank + 1) ** ZIPF_EXPONENT for rank in range(len(data.keys)))
    )
    ranks = rng.choices(range(len(data.keys)), cum_weights=weights, k=number)
    values = rng.choices(data.values, k=number)
    known = data.shuffled[:]
    operations: list[Operation] = []
    for kind, rank, value in zip(rng.choices(kinds, shares, k=number), ranks, values, strict=True):
        key = known[-1 - rank] if mix.latest else known[rank]
        if kind == "insert":
            key = rng.randbytes(16)
            known.append(key)
        operations.append((kind, key, value, rng.randint(1, SCAN_MAX)))
    return operations


def _play(
    operations: list[Operation], get: Get, put: Put, scan: Scan, found: list[bytes | None]
) -> None:
    """What is timed: each operation by itself; what it read goes to `found`."""
    keep = found.append
    for kind, key, value, number in operations:
        if kind == "read":
            keep(get(key))
        elif kind == "scan":
            keep(scan(key, number)[-1][0])
        elif kind == "modify":
            old = get(key)
            keep(old)
            put(key, value[:500] + (old or b"")[500:])
        else:
            put(key, value)


class _Model:
    """A dict and a sorted list: what the answers should be."""

    def __init__(self, data: Data) -> None:
        self._values = dict(data.pairs)
        self._keys = sorted(self._values)
        self.get = self._values.get

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self._values:
            bisect.insort(self._keys, key)
        self._values[key] = value

    def scan(self, key: bytes, number: int) -> list[tuple[bytes, bytes]]:
        start = bisect.bisect_left(self._keys, key)
        return [(each, self._values[each]) for each in self._keys[start : start + number]]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return ((key, self._values[key]) for key in self._keys)


def _prepare(place: Place, mix: Mix) -> Job:
    engine, data = place.engine, place.data
    operations = _operations(mix, data, place.turn)
    take, scan_from = engine.snapshot(), engine.scan_from
    found: list[bytes | None] = []

    def scan(key: bytes, number: int) -> list[tuple[bytes, bytes]]:
        snapshot = take()
        items = list(islice(scan_from(snapshot)(key), number))
        engine.end(snapshot)
        return items

    get, put = engine.get_one(), engine.put_one()

    def answer() -> tuple[bytes, bytes]:
        snapshot = take()
        everything = digest(part for item in engine.scan(snapshot) for part in item)
        engine.end(snapshot)
        return digest(found), everything

    def expected() -> tuple[bytes, bytes]:
        model = _Model(data)
        seen: list[bytes | None] = []
        _play(operations, model.get, model.put, model.scan, seen)
        return digest(seen), digest(part for item in model.items() for part in item)

    return Job(
        lambda: _play(operations, get, put, scan, found),
        len(operations),
        answer=answer,
        expected=expected,
    )


def _register(letter: str, mix: Mix) -> None:
    def prepare(place: Place) -> Job:
        return _prepare(place, mix)

    register(f"ycsb_{letter}", f"{mix.what}, 1,000 B", prepare, Fixture.OWN, recipe=RECORDS)


for _letter, _mix in MIXES.items():
    _register(_letter, _mix)
