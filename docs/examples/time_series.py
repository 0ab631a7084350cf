"""Time series in one tree: keys (series, time), so that a series is a prefix and a span of time is a range.

Counting, ranking and the n-th entry take O(log n) in every range, which gives sampling and percentiles without reading
what lies between. Retention is one `delete_range`, which cuts whole subtrees unvisited.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cowtree
from cowtree.codecs import Bytes, Float, Tuple

HOUR = 3600


class Metrics:
    """Points (time in whole seconds, value) of named series."""

    def __init__(self, db: cowtree.Database) -> None:
        self.db = db
        self.points = db.tree("points", key=Tuple, value=Float)  # (series, time) -> value
        self.ranking = db.tree("ranking", key=Tuple, value=Bytes)  # (series, value, time)

    def add(self, series: str, points: Iterable[tuple[int, float]]) -> None:
        """One commit for all of them. A point that is there already is replaced."""
        with self.db.transaction() as txn:
            stored = txn.tree("points", key=Tuple, value=Float)
            ranking = txn.tree("ranking", key=Tuple, value=Bytes)
            for time, number in points:
                value = (
                    number + 0.0
                )  # a float, never -0.0: in Tuple keys types and both zeros differ
                old = stored.replace((series, time), value)
                if old is not None:
                    ranking.delete((series, old, time))
                ranking[series, value, time] = b""

    def span(self, series: str, start: int, stop: int) -> Iterator[tuple[int, float]]:
        """The points with start <= time < stop, in order of time."""
        for (_, time), value in self.points.items((series, start), (series, stop)):
            yield time, value

    def latest(self, series: str) -> tuple[int, float] | None:
        found = self.points.last(prefix=(series,))
        return (found[0][1], found[1]) if found is not None else None

    def sample(self, series: str, start: int, stop: int, n: int) -> list[tuple[int, float]]:
        """At most n points, spread evenly over those of a span, for a chart. O(n log points)."""
        with self.db.snapshot() as snapshot:  # several reads of one commit
            points = snapshot.tree("points", key=Tuple, value=Float)
            first = points.rank((series, start))
            count = points.count((series, start), (series, stop))
            n = min(n, count)
            found = points.nth_many(first + count * i // n for i in range(n))
        return [(time, value) for (_, time), value in found]

    def percentile(self, series: str, share: float) -> float:
        """The value that this share of the series' values is below. O(log points)."""
        with self.db.snapshot() as snapshot:
            keys = snapshot.tree("ranking", key=Tuple).keys(prefix=(series,))
            key: tuple[Any, ...] = keys[int(len(keys) * share)]
            return float(key[1])

    def forget(self, series: str, before: int) -> int:
        """Drop the points older than a time; how many. The ranking is not in order of time: point by point there."""
        with self.db.transaction() as txn:
            points = txn.tree("points", key=Tuple, value=Float)
            ranking = txn.tree("ranking", key=Tuple)
            for (_, time), value in points.items((series,), (series, before)):
                del ranking[series, value, time]
            return points.delete_range((series,), (series, before))


def main() -> None:
    rng = random.Random(7)
    day = [(time, rng.gauss(20, 5)) for time in range(0, 24 * HOUR, 10)]
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "metrics.cow") as db:
        metrics = Metrics(db)
        metrics.add("cpu", day)
        metrics.add("memory", [(time, 1.0) for time, _ in day])

        assert list(metrics.span("cpu", HOUR, 2 * HOUR)) == day[360:720]
        assert metrics.latest("cpu") == day[-1]
        print("points of an hour:", metrics.points.count(("cpu", HOUR), ("cpu", 2 * HOUR)))

        chart = metrics.sample("cpu", 0, 24 * HOUR, 24)
        assert chart == day[::360]
        print("points of the day's chart:", len(chart))

        ordered = sorted(value for _, value in day)
        assert metrics.percentile("cpu", 0.99) == ordered[int(len(ordered) * 0.99)]
        print(f"99 of 100 values are below {metrics.percentile('cpu', 0.99):.1f}")

        assert metrics.forget("cpu", 18 * HOUR) == 6480
        assert metrics.points.first(prefix=("cpu",)) == (("cpu", 18 * HOUR), day[6480][1])
        assert (
            metrics.ranking.count(prefix=("cpu",)) == metrics.points.count(prefix=("cpu",)) == 2160
        )
        print("points after retention:", metrics.points.count(prefix=("cpu",)))


if __name__ == "__main__":
    main()
