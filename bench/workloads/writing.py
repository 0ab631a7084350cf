"""Loading, changing and deleting, each in one transaction that is not synced."""

from __future__ import annotations

from collections.abc import Callable

from bench.data import digest
from bench.workload import Fixture, Job, Place, stored, workload


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
