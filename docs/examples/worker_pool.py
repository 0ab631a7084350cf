"""A pool of processes over one version of the data, while the parent goes on committing.

A snapshot pickles as the file's path and the commit; each worker opens the same commit of the same file, without a copy
and without locks. `split` gives keys that cut a range into nearly equal parts in O(log n) each, so that the work can be
dealt out without reading anything first.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import cowtree

WORDS = ("a", "tree", "that", "grows", "a", "leaf", "at", "a", "time", "keeps", "every", "ring")


def count_words(
    snapshot: cowtree.Snapshot, start: bytes | None, stop: bytes | None
) -> Counter[str]:
    """The words of the documents with start <= key < stop; None: no bound on that side."""
    counter: Counter[str] = Counter()
    for text in snapshot.values(start, stop):
        counter.update(text.decode().split())
    return counter


def document(number: int, length: int) -> bytes:
    return " ".join(WORDS[(number + i) % len(WORDS)] for i in range(length)).encode()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "texts.cow") as db:
        db.load((b"%06d" % i, document(i, 1 + i % 20)) for i in range(20_000))

        snapshot = db.snapshot()
        parts = list(pairwise([None, *snapshot.split(8), None]))
        # Workers that are started afresh, as on every platform; forked ones read a snapshot as well.
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            counted = pool.starmap_async(count_words, [(snapshot, *part) for part in parts])
            for i in range(100):  # meanwhile: what the workers read does not change
                db[b"%06d" % (i * 199)] = b"changed"
            totals = sum(counted.get(), Counter[str]())

        assert totals == count_words(snapshot, None, None)
        assert totals["changed"] == 0
        assert count_words(db.snapshot(), None, None)["changed"] == 100
        print("parts:", len(parts))
        print("words counted by the workers:", totals.total())
        print("commits meanwhile:", db.commit_id - snapshot.commit_id)


if __name__ == "__main__":
    main()
