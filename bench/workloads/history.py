"""The past: differences, commits by id, held snapshots, one version for several processes."""

from __future__ import annotations

import collections
import multiprocessing
import random
import time
from collections.abc import Iterable
from typing import Any

import cowtree
from bench import measures
from bench.data import digest
from bench.engines import Cowtree, Engine, Feature
from bench.workload import Fixture, Job, Place, stored, workload

CHANGES = 1000
WORKERS = 4


def consume(items: Iterable[object]) -> None:
    """Go through all of them."""
    collections.deque(items, maxlen=0)


def _database(place: Place) -> cowtree.Database:
    assert isinstance(place.engine, Cowtree)
    db: cowtree.Database = place.engine.db
    return db


@workload(Fixture.OWN, needs=Feature.HISTORY)
def diff_1000(place: Place) -> Job:
    """the difference of two commits that are 1,000 random changes apart, per difference"""
    db = _database(place)
    before = db.commit_id
    pairs = place.data.other_pairs(place.turn)[:CHANGES]
    db.update(pairs)
    return Job(
        lambda: consume(db.diff(before)),
        answer=lambda: [(change.key, change.new) for change in db.diff(before)],
        expected=lambda: _changed(place, pairs),
    )


@workload(Fixture.EMPTY, needs=Feature.HISTORY)
def snapshot_at(place: Place) -> Job:
    """snapshot of a commit by its id, of as many commits as there are keys, in random order"""
    db = _database(place)
    for key in place.data.keys:
        db[b"key"] = key
    ids = random.Random(place.turn).choices(range(1, db.commit_id + 1), k=1000)

    def run() -> None:
        for commit_id in ids:
            db.snapshot(commit_id).close()

    return Job(
        run,
        len(ids),
        answer=lambda: [db.snapshot(commit_id)[b"key"] for commit_id in ids],
        expected=lambda: [place.data.keys[commit_id - 1] for commit_id in ids],
    )


@workload(Fixture.OWN, needs=Feature.SNAPSHOTS)
def diff_versions(place: Place) -> Job:
    """the difference of two versions 1,000 changes apart (without diff: a full compare), per difference"""
    engine = place.engine
    before = engine.snapshot()()
    pairs = place.data.other_pairs(place.turn)[:CHANGES]
    engine.put_all(pairs)
    after = engine.snapshot()()

    def changed() -> list[tuple[bytes, bytes]]:
        if Feature.HISTORY in engine.features:
            return [(change.key, change.new) for change in after.diff(before)]
        return _full_compare(engine, before, after)

    def end() -> None:
        engine.end(before)
        engine.end(after)

    return Job(
        lambda: consume(changed()), answer=changed, expected=lambda: _changed(place, pairs), end=end
    )


@workload(Fixture.OWN, needs=Feature.SNAPSHOTS)
def full_compare(place: Place) -> Job:
    """the same difference by scanning both versions, per difference"""
    engine = place.engine
    before = engine.snapshot()()
    pairs = place.data.other_pairs(place.turn)[:CHANGES]
    engine.put_all(pairs)
    after = engine.snapshot()()

    def end() -> None:
        engine.end(before)
        engine.end(after)

    return Job(
        lambda: consume(_full_compare(engine, before, after)),
        answer=lambda: _full_compare(engine, before, after),
        expected=lambda: _changed(place, pairs),
        end=end,
    )


def _changed(place: Place, pairs: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Those that differ from the loaded data, in order: a key may have got the value that it had."""
    return sorted(set(pairs).difference(place.data.pairs))


def _full_compare(engine: Engine, before: Any, after: Any) -> list[tuple[bytes, bytes]]:
    """What is other in `after`; both have the same keys."""
    both = zip(engine.scan(before), engine.scan(after), strict=True)
    return [new for old, new in both if old != new]


@workload(Fixture.OWN, needs=Feature.SNAPSHOTS)
def held_snapshot(place: Place) -> Job:
    """overwrite keys in commits of 100 while a snapshot is held, per put; beside it what the files take then"""
    engine, data = place.engine, place.data
    snapshot = engine.snapshot()()
    held = stored(place)
    pairs = data.other_pairs(place.turn)[:200_000]

    def run() -> dict[str, float]:
        started = time.perf_counter_ns()
        for start in range(0, len(pairs), 100):
            engine.put_all(pairs[start : start + 100])
        elapsed = time.perf_counter_ns() - started
        size = measures.disk_bytes(place.folder)
        return {"": elapsed / 1000 / len(pairs), "disk (MB)": size / 1e6}

    def answer() -> tuple[bool, bytes]:
        found = digest(part for item in engine.scan(snapshot) for part in item)
        return found == held, stored(place)

    return Job(
        run,
        answer=answer,
        expected=lambda: (True, data.digest(pairs)),
        end=lambda: engine.end(snapshot),
    )


def count_bytes(task: tuple[cowtree.Snapshot, bytes | None, bytes | None]) -> int:
    """What each worker does: read a part of the version."""
    snapshot, start, stop = task
    return sum(len(key) + len(value) for key, value in snapshot.items(start, stop))


@workload(Fixture.SHARED, needs=Feature.HISTORY)
def fan_out(place: Place) -> Job:
    """all items of one pickled snapshot, read by four worker processes, per item"""
    db = _database(place)
    snapshot = db.snapshot()
    cuts = [None, *snapshot.split(WORKERS), None]
    tasks = [(snapshot, cuts[i], cuts[i + 1]) for i in range(len(cuts) - 1)]
    pool = multiprocessing.get_context("spawn").Pool(WORKERS)
    pool.map(count_bytes, [(snapshot, None, b"")] * WORKERS)  # they are up

    def end() -> None:
        pool.terminate()
        snapshot.close()

    return Job(
        lambda: consume(pool.map(count_bytes, tasks)),
        len(snapshot),
        answer=lambda: sum(pool.map(count_bytes, tasks)),
        expected=lambda: sum(len(key) + len(value) for key, value in place.data.pairs),
        end=end,
    )
