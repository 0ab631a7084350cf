"""A writer that is killed at any moment: what it said was committed is there, whole; the next one begins at once."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from typing import NamedTuple

import cowtree

__all__ = ["Killed", "expected", "kill_again_and_again", "verify_stamped", "write_stamped"]

KEYS = 50
STAMP = b"stamp"


class Killed(NamedTuple):
    kills: int
    commits: int  # acknowledged in all
    failure: str | None


def value_of(number: int) -> bytes:
    return random.Random(number).randbytes(number * 37 % (9000 if number % 7 else 300_000))


def write_stamped(db: cowtree.Database, number: int, *, durable: bool) -> None:
    """Commit `number`: one key of many, a tree, and the stamp."""
    with db.transaction(sync=durable) as txn:
        txn[b"%03d" % (number % KEYS)] = value_of(number)
        txn.tree("numbers")[b"%03d" % (number % KEYS)] = b"%d" % number
        txn[STAMP] = b"%d" % number


def expected(stamp: int) -> dict[bytes, bytes]:
    """The default tree after commit `stamp`."""
    newest = {number % KEYS: number for number in range(max(1, stamp - KEYS + 1), stamp + 1)}
    content = {b"%03d" % key: value_of(number) for key, number in newest.items()}
    return content | ({STAMP: b"%d" % stamp} if stamp else {})


def verify_stamped(path: str, lowest: int, highest: int) -> int:
    """The stamp found; AssertionError if it is not between, or anything else is not as it was committed."""
    began = time.monotonic()
    with cowtree.open(path, timeout=0) as db:
        stamp = int(db.get(STAMP, b"0"))
        assert lowest <= stamp <= highest, f"at {stamp}, not between {lowest} and {highest}"
        assert dict(db.items()) == expected(stamp), f"at {stamp}, with other entries"
        numbers = {int(value) for value in db.tree("numbers").values()}
        assert numbers == set(range(max(1, stamp - KEYS + 1), stamp + 1))
        assert db.check().ok
        with db.transaction(timeout=0, sync=False) as txn:  # the lock is free
            txn.rollback()
    assert time.monotonic() - began < 5
    return stamp


def kill_again_and_again(path: str, seed: int, kills: int) -> Killed:
    """Fork a writer, kill it, look; so many times over the same file, which is begun anew now and then."""
    rng = random.Random(seed)
    stamp = commits = 0
    for turn in range(kills):
        if rng.random() < 0.02 and os.path.exists(path):
            os.unlink(path)
            stamp = 0
        durable = rng.random() < 0.5
        acknowledged = _killed_writer(path, stamp, durable, rng.random() * 0.012)
        try:
            found = verify_stamped(path, max(stamp, acknowledged), max(stamp, acknowledged) + 1)
        except (AssertionError, OSError, cowtree.Error) as error:
            return Killed(
                turn, commits, f"seed {seed}, kill {turn}: {type(error).__name__}: {error}"
            )
        commits += found - stamp
        stamp = found
    return Killed(kills, commits, None)


def _killed_writer(path: str, stamp: int, durable: bool, seconds: float) -> int:
    """Let a child commit from `stamp` on and kill it; the last commit that it said was made, or 0."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with cowtree.open(path) as db:
                os.write(writing, struct.pack("<Q", 0))
                while True:
                    stamp += 1
                    write_stamped(db, stamp, durable=durable)
                    os.write(writing, struct.pack("<Q", stamp))
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = b""
    while piece := os.read(reading, 1 << 16):
        said += piece
    os.close(reading)
    whole = len(said) // 8
    return int(struct.unpack_from("<Q", said, 8 * (whole - 1))[0]) if whole else 0
