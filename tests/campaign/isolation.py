"""Isolation: writers of several processes, killed at any moment, beside readers of many threads and processes.

A transaction moves money between accounts at random, in two trees, and stamps keys at far ends of both with its
number. One writer at a time makes all versions one order, so a snapshot shows a fault of isolation if its stamps
differ, its total is another one, it is older than the one before or than what was acknowledged before it was taken, or
if it reads differently later. Savepoints, rollbacks and compactions go on meanwhile, and snapshots are pickled.
"""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import os
import pickle
import random
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawArray
from typing import Any

import cowtree

__all__ = ["Found", "run"]

ACCOUNTS = 400
MONEY = 1000
STAMPS = (b"", b"acc", b"m" * 200, b"\xff")
HELD = 4
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Found:
    """What a run did, and what did not hold."""

    commits: int = 0
    kills: int = 0
    snapshots: int = 0
    generations: int = 0
    failure: str | None = None


def account(number: int) -> bytes:
    return b"account%05d" % number


def prepare(path: str) -> None:
    with cowtree.open(path, sync=False) as db, db.transaction() as txn:
        for number in range(ACCOUNTS):
            tree = txn.tree(None if number % 2 else "other")
            tree[account(number)] = b"%d" % MONEY
        stamp(txn, 0)


def stamp(txn: cowtree.Transaction, number: int) -> None:
    for key in STAMPS:
        txn[b"stamp" + key] = b"%d" % number
        txn.tree("other")[b"stamp" + key] = b"%d" % number * 50


def look(snapshot: cowtree.Snapshot) -> tuple[int, bytes]:
    """(number, digest of everything). AssertionError: it is no version that was ever committed."""
    numbers, total = set(), 0
    digest = hashlib.blake2b(digest_size=16)
    for tree, repeated in ((snapshot, 1), (snapshot.tree("other"), 50)):
        for key, value in tree.items():
            digest.update(b"%d:%d:" % (len(key), len(value)) + key + value)
            if key.startswith(b"stamp"):
                numbers.add(int(value[: len(value) // repeated]))
            else:
                total += int(value)
    assert len(numbers) == 1, f"stamps of {sorted(numbers)} in one snapshot"
    assert total == ACCOUNTS * MONEY, f"{total} in all accounts, {ACCOUNTS * MONEY} were there"
    return numbers.pop(), digest.digest()


def write(path: str, seed: int, acknowledged: Any) -> None:
    """A writer: transfers until it is killed."""
    rng = random.Random(seed)
    with cowtree.open(path, sync=False, write_memory=rng.choice([1 << 14, 64 << 20])) as db:
        while True:
            kind = rng.random()
            if kind < 0.01:
                db.compact()
                continue
            with db.transaction(sync=kind > 0.9) as txn:
                number = int(txn[b"stamp"]) + 1
                for _ in range(rng.randrange(1, 8)):
                    with txn.savepoint() as savepoint:
                        transfer(txn, rng)
                        if rng.random() < 0.2:
                            savepoint.rollback()
                stamp(txn, number)
                if rng.random() < 0.1:
                    txn.rollback()
                    continue
            acknowledged[0] = number


def transfer(txn: cowtree.Transaction, rng: random.Random) -> None:
    amount = rng.randrange(20)
    for number, change in zip(rng.sample(range(ACCOUNTS), 2), (amount, -amount), strict=True):
        tree = txn.tree(None if number % 2 else "other")
        tree[account(number)] = b"%d" % (int(tree[account(number)]) + change)


def read(path: str, seed: int, acknowledged: Any, ended: Any, results: Any) -> None:
    """A reader's process: two threads."""
    failures: list[str] = []
    counts: list[int] = []

    def work(number: int) -> None:
        try:
            counts.append(_watch(path, random.Random(seed + number), acknowledged, ended))
        except BaseException as error:
            failures.append(f"{type(error).__name__}: {error}")
            ended.set()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((sum(counts), failures[0] if failures else None))


def _watch(path: str, rng: random.Random, acknowledged: Any, ended: Any) -> int:
    newest = count = 0
    held: list[tuple[cowtree.Snapshot, tuple[int, bytes]]] = []
    with cowtree.open(path, readonly=rng.random() < 0.5) as db:
        while not ended.is_set():
            before = acknowledged[0]
            snapshot = db.snapshot()
            seen = look(snapshot)
            count += 1
            assert seen[0] >= newest, f"version {seen[0]} after {newest}"
            assert seen[0] >= before, f"version {seen[0]}, where {before} was acknowledged"
            newest = seen[0]
            held.append((snapshot, seen))
            if len(held) > HELD:
                old, was = held.pop(rng.randrange(len(held)))
                assert look(old) == was, f"version {was[0]} reads differently later"
                try:
                    copy = pickle.loads(pickle.dumps(old))
                except cowtree.SnapshotGoneError:
                    pass  # compacted away: it is refused, not another one
                else:
                    assert look(copy) == was, f"version {was[0]} reads differently when pickled"
                    copy.close()
                old.close()
    return count


def run(folder: str, seed: int, seconds: float) -> Found:
    """Two writers and two reading processes for so long."""
    rng = random.Random(seed)
    path = os.path.join(folder, "isolation.cow")
    prepare(path)
    found = Found()
    acknowledged = RawArray(ctypes.c_ulonglong, 1)
    ended, results = _SPAWN.Event(), _SPAWN.Queue()
    readers = [
        _SPAWN.Process(target=read, args=(path, seed + 10 * i, acknowledged, ended, results))
        for i in range(2)
    ]
    writers: list[Any] = []
    inode = os.stat(path).st_ino
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not ended.is_set():
        while len(writers) < 2:
            writer = _SPAWN.Process(target=write, args=(path, rng.randrange(1 << 30), acknowledged))
            writer.start()
            writers.append(writer)
        pause = time.monotonic() + rng.uniform(0.3, 1.5)
        while time.monotonic() < min(pause, deadline) and not ended.is_set():
            ended.wait(0.05)
            now = os.stat(path).st_ino
            found.generations += now != inode
            inode = now
        _kill(writers.pop(rng.randrange(2)), found)
    while writers:
        _kill(writers.pop(), found)
    ended.set()
    for _ in readers:
        count, failure = results.get(timeout=120)
        found.snapshots += count
        found.failure = found.failure or failure
    for reader in readers:
        reader.join()
    _end(path, acknowledged[0], found)
    return found


def _kill(writer: Any, found: Found) -> None:
    if not writer.is_alive():
        found.failure = found.failure or f"a writer ended by itself: {writer.exitcode}"
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    found.kills += 1


def _end(path: str, acknowledged: int, found: Found) -> None:
    with cowtree.open(path) as db:
        try:
            found.commits = look(db.snapshot())[0]
            assert found.commits >= acknowledged, (
                f"{found.commits} of {acknowledged} commits are there"
            )
            report = db.check()
            assert report.ok, report.problems
        except AssertionError as error:
            found.failure = found.failure or str(error)
