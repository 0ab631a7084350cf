"""The past in the demo: the difference of two commits, and processes that read one pickled version."""

from __future__ import annotations

import hashlib
import multiprocessing

import cowtree
from cowtree.demo.files import FILES

__all__ = ["Difference", "read_by_workers"]


class Difference:
    """How many files each kind of change met, and whether each change is what the two versions say."""

    def __init__(self, old: cowtree.Snapshot, new: cowtree.Snapshot) -> None:
        self.kinds = {"added": 0, "removed": 0, "changed": 0}
        self.right = True
        for change in new.diff(old, tree=None, prefix=FILES):
            self.kinds[change.kind] += 1
            self.right = self.right and (change.old, change.new) == (
                old.get(change.key),
                new.get(change.key),
            )

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in self.kinds.items() if count)


def _digest(task: tuple[cowtree.Snapshot, bytes | None, bytes | None]) -> tuple[int, bytes]:
    """Files in a part of the version, and a digest of them."""
    snapshot, start, stop = task
    digest = hashlib.blake2b()
    count = 0
    for key, content in snapshot.items(start, stop):
        digest.update(b"%d %d " % (len(key), len(content)) + key + content)
        count += 1
    return count, digest.digest()


def read_by_workers(snapshot: cowtree.Snapshot, workers: int) -> tuple[int, bool]:
    """Let worker processes read a part each of one pickled version: files read, and whether all parts are right."""
    cuts = [None, *snapshot.split(workers), None]
    tasks = [(snapshot, cuts[i], cuts[i + 1]) for i in range(len(cuts) - 1)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        parts = pool.map(_digest, tasks)
    return sum(count for count, _ in parts), parts == [_digest(task) for task in tasks]
