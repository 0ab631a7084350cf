"""What LMDB has nothing for: the past, differences, one version for several processes."""

from __future__ import annotations

import collections
import multiprocessing
import random
from collections.abc import Iterable

import cowtree
from bench.engines import Cowtree, Feature
from bench.workload import Fixture, Job, Place, workload

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
        expected=lambda: sorted(pairs),
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
