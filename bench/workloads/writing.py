"""Loading, changing and deleting, each in one transaction that is not synced."""

from __future__ import annotations

import random
from collections.abc import Callable

from bench.data import digest
from bench.engines import Feature
from bench.workload import Fixture, Job, Place, stored, workload

TREES = 100


def _load(place: Place, load: Callable[[list[tuple[bytes, bytes]]], None], ascending: bool) -> Job:
    data = place.data
    pairs = data.ascending if ascending else data.pairs
    return Job(
        lambda: load(pairs),
        len(pairs),
        answer=lambda: stored(place),
        expected=lambda: data.digest(),
    )


@workload(Fixture.EMPTY, core=True)
def load_sorted(place: Place) -> Job:
    """ascending keys in one transaction, a put each (LMDB: append=True)"""
    return _load(place, place.engine.put_ascending, ascending=True)


@workload(Fixture.EMPTY, core=True)
def load_sorted_bulk(place: Place) -> Job:
    """ascending keys in one call: load (LMDB: putmulti, append=True)"""
    return _load(place, place.engine.load_ascending, ascending=True)


@workload(Fixture.EMPTY, core=True)
def random_put(place: Place) -> Job:
    """random keys in one transaction"""
    return _load(place, place.engine.put_all, ascending=False)


@workload(Fixture.OWN, core=True)
def random_overwrite(place: Place) -> Job:
    """overwrite every key, in random order, in one transaction"""
    pairs = place.data.other_pairs(place.turn)
    return Job(
        lambda: place.engine.put_all(pairs),
        len(pairs),
        answer=lambda: stored(place),
        expected=lambda: digest(part for item in sorted(pairs) for part in item),
    )


@workload(Fixture.OWN)
def delete_random(place: Place) -> Job:
    """delete half of the keys, in random order, in one transaction, per delete"""
    engine, data = place.engine, place.data
    engine.put_all(data.pairs)  # those that the turn before deleted
    keys = data.shuffled[: max(1, len(data.keys) // 2)]

    def expected() -> bytes:
        gone = set(keys)
        return digest(part for item in data.ascending if item[0] not in gone for part in item)

    return Job(
        lambda: engine.delete_all(keys), len(keys), answer=lambda: stored(place), expected=expected
    )


def _trees_of(place: Place) -> list[tuple[int, bytes, bytes]]:
    return [(i % TREES, key, value) for i, (key, value) in enumerate(place.data.pairs)]


@workload(Fixture.EMPTY, needs=Feature.TREES, trees=TREES)
def trees_put(place: Place) -> Job:
    """random keys into 100 named trees in turn, in one transaction"""
    engine, entries = place.engine, _trees_of(place)

    def answer() -> bytes:
        snapshot = engine.snapshot()()
        get = engine.get_from_trees(snapshot)
        found = digest(get(tree, key) for tree, key, _ in entries)
        engine.end(snapshot)
        return found

    return Job(
        lambda: engine.put_in_trees(entries),
        len(entries),
        answer=answer,
        expected=lambda: digest(place.data.values),
    )


@workload(Fixture.OWN, needs=Feature.TREES, trees=TREES)
def trees_commit(place: Place) -> Job:
    """one put into one of 100 named trees a commit, sync=False"""
    engine = place.engine
    entries = _trees_of(place)[:2000]

    def run() -> None:
        for entry in entries:
            engine.put_in_trees([entry])

    def answer() -> bytes:
        snapshot = engine.snapshot()()
        get = engine.get_from_trees(snapshot)
        found = digest(get(tree, key) for tree, key, _ in entries)
        engine.end(snapshot)
        return found

    return Job(
        run,
        len(entries),
        answer=answer,
        expected=lambda: digest(value for _, _, value in entries),
    )


@workload(Fixture.EMPTY, needs=Feature.TREES, trees=TREES)
def trees_get(place: Place) -> Job:
    """get of random keys from 100 named trees"""
    engine, entries = place.engine, _trees_of(place)
    engine.put_in_trees(entries)
    wanted = entries[:]
    random.Random(3).shuffle(wanted)
    snapshot = engine.snapshot()()
    get = engine.get_from_trees(snapshot)

    def run() -> None:
        for tree, key, _ in wanted:
            get(tree, key)

    return Job(
        run,
        len(wanted),
        answer=lambda: digest(get(tree, key) for tree, key, _ in wanted),
        expected=lambda: digest(value for _, _, value in wanted),
        end=lambda: engine.end(snapshot),
    )
