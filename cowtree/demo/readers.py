"""Four threads that keep taking snapshots and verify that each is exactly one commit."""

from __future__ import annotations

import threading
import zlib

import cowtree
from cowtree.demo.files import FILES, STAMP, TREE, unpack_stamp

__all__ = ["Readers", "verify_snapshot"]


def verify_snapshot(snapshot: cowtree.Snapshot, *, deep: bool) -> int:
    """Raise AssertionError unless the snapshot is one whole commit; the commit's step.

    `deep` reads every byte twice and compares; otherwise counts only.
    """
    stamp = snapshot.get(STAMP)
    if stamp is None:
        _require(len(snapshot) == 0, "entries without bookkeeping")
        return 0
    step, count, size = unpack_stamp(stamp)
    _require(snapshot.tree(TREE)[STAMP] == stamp, "the two trees are of different commits")
    _require(snapshot.count(prefix=FILES) == count, "the number of files is another commit's")
    if deep:
        first, second = _digest(snapshot), _digest(snapshot)
        _require(first == second, "two reads of one snapshot differ")
        _require(first[0] == size, "a file is missing or half there")
    return step


def _digest(snapshot: cowtree.Snapshot) -> tuple[int, int]:
    size, checksum = 0, 0
    for key, content in snapshot.items(prefix=FILES):
        size += len(content)
        checksum = zlib.crc32(content, zlib.crc32(key, checksum))
    return size, checksum


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise AssertionError(problem)


class Readers:
    """Runs the verification in threads until stopped."""

    def __init__(self, db: cowtree.Database, count: int) -> None:
        self._db = db
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(i,), daemon=True) for i in range(count)
        ]
        self.problems: list[str] = []
        self.snapshots = 0
        self.deep = 0

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, number: int) -> None:
        last, rounds = 0, 0
        while not self._stop.is_set():
            rounds += 1
            deep = rounds % 64 == 8 * number
            try:
                with self._db.snapshot() as snapshot:
                    step = verify_snapshot(snapshot, deep=deep)
                _require(step >= last, "a later snapshot is older")
            except Exception as error:
                self.problems.append(f"reader {number}: {type(error).__name__}: {error}")
                return
            last = step
            self.snapshots += 1
            self.deep += deep
            self._stop.wait(0.002)
