"""What runs in other processes: a load to weigh, commits that end in a crash, readers.

Each worker makes its own engine by name. They are spawned, so nothing of the parent's stores is in them.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from bench.data import VALUE_SIZE, digest, make_key
from bench.engines import ENGINES
from bench.measures import anonymous_bytes

__all__ = ["Worker", "commit_and_crash", "peak_of_load", "random_pairs", "read_keys", "see_commits"]

CRASHED = 77
PATIENCE_SECONDS = 600.0
_context = multiprocessing.get_context("spawn")


class Worker:
    """A process that runs `work(connection, *arguments)`; each side `tell`s the other objects."""

    def __init__(self, work: Any, *arguments: Any) -> None:
        self._connection, theirs = _context.Pipe()
        self._process = _context.Process(target=work, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.process_id: int = self._process.pid or 0

    def tell(self, message: Any) -> None:
        self._connection.send(message)

    def hears(self, seconds: float) -> bool:
        """Has it said something within that time?"""
        return self._connection.poll(seconds)

    def hear(self) -> Any:
        """The next thing it says. Raises EOFError if it ended, TimeoutError if it hangs."""
        if not self._connection.poll(PATIENCE_SECONDS):
            raise TimeoutError("a worker process hangs")
        return self._connection.recv()

    def end(self) -> int | None:
        """Wait for its end; its status."""
        self._process.join(PATIENCE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()
        status = self._process.exitcode
        self._process.close()
        return status


def commit_and_crash(
    engine: str, folder: str, pairs: list[tuple[bytes, bytes]], *, sync: bool
) -> None:
    """Another process puts each pair in a commit of its own and ends without closing."""
    status = Worker(_commit_and_crash, engine, folder, pairs, sync).end()
    if status != CRASHED:
        raise RuntimeError(f"{engine}: the process that was to crash ended with status {status}")


def _commit_and_crash(
    _: Connection, engine_name: str, folder: str, pairs: list[tuple[bytes, bytes]], sync: bool
) -> None:
    engine = ENGINES[engine_name]()
    engine.open(folder, sync=sync)
    put = engine.put_one()
    for key, value in pairs:
        put(key, value)
    os._exit(CRASHED)


def random_pairs(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Made while they are read, so that they take no memory."""
    rng = random.Random(11)
    for index in range(count):
        yield make_key("random", index, rng), rng.randbytes(VALUE_SIZE)


def peak_of_load(engine: str, folder: str, count: int) -> tuple[int, bytes]:
    """Private memory that another process needs at most to put `random_pairs` in one transaction, in bytes
    beyond what it has before; and the digest of what it stored.
    """
    worker = Worker(_load, engine, folder, count)
    worker.hear()
    before = most = anonymous_bytes(worker.process_id)
    worker.tell("go")
    while not worker.hears(0.002):
        most = max(most, anonymous_bytes(worker.process_id))
    worker.hear()
    most = max(most, anonymous_bytes(worker.process_id))
    worker.tell("end")
    stored: bytes = worker.hear()
    worker.end()
    return most - before, stored


def _load(connection: Connection, engine_name: str, folder: str, count: int) -> None:
    engine = ENGINES[engine_name]()
    engine.open(folder, sync=False)
    connection.send("ready")
    connection.recv()
    engine.put_all(random_pairs(count))
    connection.send("loaded")
    connection.recv()
    snapshot = engine.snapshot()()
    connection.send(digest(part for item in engine.scan(snapshot) for part in item))
    engine.end(snapshot)
    engine.close()


def read_keys(connection: Connection, engine_name: str, folder: str, keys: list[bytes]) -> None:
    """Says it is ready; for each number heard reads the keys as often, each in the newest commit, and says how many
    nanoseconds it took and the digest of the values that it found last. Ends at zero.
    """
    engine = ENGINES[engine_name]()
    engine.open(folder, sync=False)
    get = engine.get_one()
    connection.send("ready")
    while rounds := connection.recv():
        started = time.perf_counter_ns()
        for _ in range(rounds):
            for key in keys:
                get(key)
        elapsed = time.perf_counter_ns() - started
        connection.send((elapsed, digest(get(key) for key in keys)))
    engine.close()


def see_commits(connection: Connection, engine_name: str, folder: str, key: bytes) -> None:
    """Reads a key over and over, and notes when each new value is first seen; at the value b"end" says all of them."""
    engine = ENGINES[engine_name]()
    engine.open(folder, sync=False)
    get, clock = engine.get_one(), time.monotonic_ns
    seen: list[tuple[bytes, int]] = []
    last = get(key)
    connection.send("ready")
    while last != b"end":
        value = get(key)
        if value is not None and value != last:
            seen.append((value, clock()))
            last = value
    connection.send(seen)
    engine.close()
