"""The n-th system call of a writer kills it, or fails: each call of creating, committing, compacting, recovering and
closing.

Needs strace, which does it from outside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import cowtree
from campaign.kills import verify_stamped

__all__ = [
    "CALLS", "LIVES", "Injection", "available", "injections", "prepare", "run_injection", "run_life",
]  # fmt: skip

# What changes a file or its directory entry, or tells of it.
CALLS = (
    "openat", "pwrite64", "pwritev", "pwritev2", "fdatasync", "fsync", "ftruncate", "fallocate", "linkat", "link",
    "rename", "renameat2", "unlink", "unlinkat", "mmap", "sync_file_range", "statx", "fcntl",
)  # fmt: skip
FAULTS = ("signal=KILL", "error=EIO", "error=ENOSPC", "error=EINTR")
LIFE = """
import os, sys
sys.path[:0] = sys.argv[2].split(os.pathsep)
from campaign.kills import write_stamped
import cowtree
path, first, count, mode = sys.argv[1], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
def relocate(db):
    # What is done in the background, in this thread: calls are counted for each.
    from cowtree import registry
    from cowtree.auto_compaction import Worker
    engine = registry.engine_for(path, create=False, readonly=False, mode=0o666, page_size=None, mapped=True)
    worker = Worker(engine)
    worker.worthwhile = lambda needed, pages: True
    engine.compactor = worker
    worker.run()
    problem = engine.compaction_problem
    registry.release(engine)
    if problem:
        os.write(1, b"PROBLEM\\n")
os.write(1, b"BEGIN\\n")
try:
    with cowtree.open(path, write_memory=1 << 16) as db:
        for number in range(first, first + count):
            write_stamped(db, number, durable=mode != "unsynced")
            os.write(1, b"%d\\n" % number)
            if number == first + 1 and mode == "asked":
                db.compact()
            elif number == first + 1 and mode == "relocated":
                relocate(db)
except (OSError, cowtree.Error, ValueError) as error:
    os.write(1, b"ERROR %s\\n" % type(error).__name__.encode())
"""


LIVES = ("durable", "unsynced", "asked", "relocated")
"""Commits that are synced or not; synced ones with a compaction in the middle, asked for or as in the background."""


class Injection(NamedTuple):
    call: str
    number: int  # which one of its kind, after BEGIN
    fault: str
    life: str

    @property
    def option(self) -> str:
        return f"inject={self.call}:{self.fault}:when={self.number}"


def available() -> str | None:
    """Why it cannot be done here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True)
    return None if probe.returncode == 0 else "strace may not trace here"


def run_life(path: str, stamp: int, count: int, life: str, *strace: str) -> tuple[list[str], str]:
    """A process that opens the file, commits from `stamp` + 1 on and closes it: what it said, and strace's log."""
    log = path + ".strace"
    arguments = [
        sys.executable,
        "-c",
        LIFE,
        path,
        os.pathsep.join(sys.path),
        str(stamp + 1),
        str(count),
        life,
    ]
    if strace:
        arguments = ["strace", "-f", "-o", log, *strace, *arguments]
    done = subprocess.run(arguments, capture_output=True, timeout=120)
    text = ""
    if strace:
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        os.unlink(log)
    return done.stdout.decode().splitlines(), text


def prepare(path: str, stamp: int) -> None:
    """A file at `stamp` whose writer was killed, or none."""
    if os.path.exists(path):
        os.unlink(path)
    if stamp:
        said, _ = run_life(path, 0, stamp, "durable", "-e", "inject=exit_group:signal=KILL")
        assert said[-1] == str(stamp), said


def injections(path: str, stamp: int, count: int, life: str) -> Iterator[Injection]:
    """One for each call that such a life makes after BEGIN, and each fault."""
    _, log = run_life(path, stamp, count, life, "-e", f"trace=write,{','.join(CALLS)}")
    before = dict.fromkeys(CALLS, 0)
    calls = dict.fromkeys(CALLS, 0)
    counting = before
    for line in log.splitlines():
        if 'write(1, "BEGIN' in line:
            counting = calls
        elif (found := re.match(r"\d+\s+(\w+)\(", line)) and found[1] in counting:
            counting[found[1]] += 1
    for call in CALLS:
        for number in range(before[call] + 1, before[call] + calls[call] + 1):
            for fault in FAULTS:
                yield Injection(call, number, fault, life)


def run_injection(injection: Injection, path: str, stamp: int, count: int) -> int:
    """Run a life with the fault and hold the file against what it said; the stamp that the file is at then."""
    said, _ = run_life(path, stamp, count, injection.life, "-e", injection.option)
    numbers = [int(line) for line in said if line.isdigit()]
    lowest = max([stamp, *numbers])
    if not os.path.exists(path):
        assert lowest == 0, "the file is gone"
        return 0
    found = verify_stamped(path, lowest, lowest + 1)
    with cowtree.open(path) as db:
        db.compact()  # what a dead compaction has left goes
    left = [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".tmp")]
    assert not left, left
    return found
