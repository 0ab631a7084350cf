"""Time series under (series, time) keys: ranges, counts and positions in O(log n), retention by cutting subtrees."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cowtree
from cowtree.codecs import Float, Tuple


def fill(db: cowtree.Database, hours: int) -> None:
    """A reading a minute, of two series."""
    tree = db.tree("readings", key=Tuple, value=Float)
    tree.load(
        ((series, minute * 60), 20 + minute % 60 / 10)
        for series in ("attic", "cellar")
        for minute in range(hours * 60)
    )


def thinned(db: cowtree.Database, series: str, points: int) -> list[tuple[int, float]]:
    """At most so many readings of a series, evenly spread: each costs a descent, however long the series is."""
    tree = db.snapshot().tree("readings", key=Tuple, value=Float)
    first, count = tree.rank((series,)), tree.count(prefix=(series,))
    items = tree.nth_many(first + count * i // points for i in range(points))
    return [(time, value) for (_, time), value in items]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "series.cow") as db:
        fill(db, hours=48)
        tree = db.tree("readings", key=Tuple, value=Float)
        hour = tree.values(("attic", 3600), ("attic", 7200))
        print("readings of an hour:", len(hour), "mean:", round(sum(hour) / len(hour), 2))
        print("latest:", tree.last(prefix=("cellar",)))
        print("thinned:", thinned(db, "attic", 4))
        print("dropped:", tree.delete_range(("attic",), ("attic", 24 * 3600)))
        print("left:", tree.count(prefix=("attic",)), tree.count(prefix=("cellar",)))


if __name__ == "__main__":
    main()
