"""Small commits."""

from __future__ import annotations

import threading

from bench.engines import Feature
from bench.workload import Fixture, Job, Place, stored, workload


def _commits(place: Place, number: int) -> Job:
    put = place.engine.put_one()
    pairs = place.data.other_pairs(place.turn)[:number]

    def run() -> None:
        for key, value in pairs:
            put(key, value)

    return Job(run, len(pairs), answer=lambda: stored(place))


@workload(Fixture.OWN, core=True)
def commit_nosync(place: Place) -> Job:
    """one put a commit, sync=False"""
    return _commits(place, 5000)


@workload(Fixture.OWN, core=True, sync=True)
def commit_durable(place: Place) -> Job:
    """one put a commit, durable"""
    return _commits(place, 500)


@workload(Fixture.OWN, core=True, sync=True, needs=Feature.THREADS)
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

    return Job(run, len(pairs), answer=lambda: stored(place))
