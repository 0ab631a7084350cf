"""One version of the data for every worker: a snapshot given to processes started by fork, spawn and forkserver.

It is how a data loader hands its workers a data set that another process goes on to change. The snapshot is pickled as
path and commit (with fork, inherited): no copy of the data, no lock, and nothing to open again by hand.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cowtree


class Samples:
    """The part of a data set that one of several workers goes through, in an order that a seed gives."""

    def __init__(self, snapshot: cowtree.Snapshot) -> None:
        self.snapshot = snapshot

    def of_worker(self, worker: int, workers: int, seed: int) -> Iterator[bytes]:
        """Every sample once, spread over the workers: `nth` finds each in O(log n)."""
        count = len(self.snapshot)
        # A step that has no divisor in common with the count goes through all of them.
        step = next(n for n in range(seed * 2 + 1, count + seed * 2 + 2) if count % n)
        chosen = [i * step % count for i in range(worker, count, workers)]
        for _, value in self.snapshot.nth_many(chosen):
            yield value


def read_all(samples: Samples, worker: int, workers: int) -> tuple[int, int, str]:
    """(commit, samples, digest of their sum) that one worker sees."""
    count, total = 0, 0
    for sample in samples.of_worker(worker, workers, seed=3):
        count += 1
        total += int.from_bytes(hashlib.blake2b(sample, digest_size=8).digest(), "big")
    return samples.snapshot.commit_id, count, str(total)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cowtree.open(Path(folder) / "samples.cow", sync=False) as db,
    ):
        db.load((b"%06d" % i, b"sample %d" % i) for i in range(9_973))
        samples = Samples(db.snapshot())
        sums = set()
        for method in ("fork", "spawn", "forkserver"):
            db.clear()  # the workers do not see it
            with multiprocessing.get_context(method).Pool(2) as pool:
                results = pool.starmap(read_all, [(samples, worker, 4) for worker in range(4)])
            assert {commit for commit, _, _ in results} == {samples.snapshot.commit_id}
            sums.add(sum(int(total) for _, _, total in results))
            print(f"{method}: {sum(count for _, count, _ in results)} samples")
        print("all saw the same:", len(sums) == 1)


if __name__ == "__main__":
    main()
