"""A pool of processes over one version: each worker gets the same pickled snapshot and reads a part of it.

The parent goes on to commit; the workers do not see it, and hold nothing up.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

import cowtree

Task = tuple[cowtree.Snapshot, bytes | None, bytes | None]


def count_words(task: Task) -> int:
    """Words in a part of the version."""
    snapshot, start, stop = task
    return sum(len(text.split()) for text in snapshot.values(start, stop))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "texts.cow") as db:
        db.load((b"%05d" % i, b"word " * (i % 7)) for i in range(10_000))
        with db.snapshot() as snapshot, multiprocessing.get_context("spawn").Pool(4) as pool:
            cuts = [None, *snapshot.split(8), None]
            tasks = [(snapshot, cuts[i], cuts[i + 1]) for i in range(len(cuts) - 1)]
            results = pool.map_async(count_words, tasks)
            db.clear()
            print("parts:", len(tasks), "words:", sum(results.get()))
        print("left for the next version:", len(db))


if __name__ == "__main__":
    main()
