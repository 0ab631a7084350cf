"""Threads that keep taking snapshots and verify that each is exactly one commit."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cowtree
from cowtree.demo.files import FILES, STAMP, TREE, Books

__all__ = ["Readers", "require", "verify_snapshot"]

DEEP_EVERY = 256
PAUSE_SECONDS = 0.002
"""Between two snapshots of a thread: four threads that never pause would measure the interpreter's lock."""


def require(condition: bool, problem: str) -> None:
    """Raise AssertionError unless the condition holds (`assert` goes away with `python -O`)."""
    if not condition:
        raise AssertionError(problem)


def verify_snapshot(snapshot: cowtree.Snapshot, *, deep: bool) -> int:
    """Raise AssertionError unless the snapshot is one whole commit; the commit's step.

    `deep` reads every byte, forwards and backwards; otherwise counts only.
    """
    stamp = snapshot.get(STAMP)
    if stamp is None:
        require(len(snapshot) == 0, "entries without bookkeeping")
        return 0
    books = Books.unpack(stamp)
    require(snapshot.tree(TREE).get(STAMP) == stamp, "the two trees are of different commits")
    require(snapshot.count(prefix=FILES) == books.count, "the files are not those of one commit")
    require(len(snapshot) == books.count + 1, "there is more than the files and their stamp")
    if deep:
        first = _read(snapshot, books.step, reverse=False)
        require(first == books, "a file is missing, half there or of another commit")
        second = _read(snapshot, books.step, reverse=True)
        require(first == second, "two reads of one snapshot differ")
    return books.step


def _read(snapshot: cowtree.Snapshot, step: int, *, reverse: bool) -> Books:
    books = Books(step)
    for key, content in snapshot.items(prefix=FILES, reverse=reverse):
        books.add(key, content)
    return books


@dataclass(slots=True)
class _Tally:
    """Of one thread: nothing is counted by two."""

    snapshots: int = 0
    deep: int = 0


class Readers:
    """Runs the verification in threads until the `with` block ends."""

    def __init__(self, db: cowtree.Database, count: int) -> None:
        self._db = db
        self._stop = threading.Event()
        self._tallies = [_Tally() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(number, tally))
            for number, tally in enumerate(self._tallies)
        ]
        self.problems: list[str] = []

    @property
    def snapshots(self) -> int:
        """Verified so far."""
        return sum(tally.snapshots for tally in self._tallies)

    @property
    def deep(self) -> int:
        """Of these, read twice whole."""
        return sum(tally.deep for tally in self._tallies)

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int, tally: _Tally) -> None:
        try:
            self._verify_until_stopped(number, tally)
        except Exception as error:
            self.problems.append(f"reader {number}: {type(error).__name__}: {error}")

    def _verify_until_stopped(self, number: int, tally: _Tally) -> None:
        offset = DEEP_EVERY // len(self._threads) * number
        newest = 0
        while not self._stop.is_set() or not tally.deep:
            # Deep ones take turns between the threads; however short the story, each thread makes one.
            deep = tally.snapshots % DEEP_EVERY == offset or self._stop.is_set()
            with self._db.snapshot() as snapshot:
                step = verify_snapshot(snapshot, deep=deep)
            require(step >= newest, "a later snapshot is older")
            newest = step
            tally.snapshots += 1
            tally.deep += deep and step > 0
            if step == 0 and self._stop.is_set():
                return
            self._stop.wait(PAUSE_SECONDS)
