"""The n-th allocation or system call of each operation fails, for every n: `allocations` and `calls`.

Each operation runs in processes of its own, n = 1, 2, 3... until nothing is left to fail: so a crash or a hang of the
interpreter is seen, named by operation and n, and the next process goes on behind it.
"""

from __future__ import annotations

import errno
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from campaign.fault_library import KINDS, SHORT, build_library
from campaign.operations import OPERATIONS

__all__ = ["Fault", "Found", "allocations", "calls", "run_fault", "sampled", "summary"]

HANG_SECONDS = 20
FAILURES_MAX = 5  # of one fault: what comes after is much the same


class Fault(NamedTuple):
    """What fails in which operation."""

    operation: str
    kind: str
    code: int
    for_ever: bool

    def __str__(self) -> str:
        name = "short" if self.code == SHORT else errno.errorcode[self.code]
        return f"{self.operation} {self.kind} {name} {'for ever' if self.for_ever else 'once'}"


class Found(NamedTuple):
    fault: Fault
    tries: int
    failures: list[str]


def allocations() -> list[Fault]:
    """Each operation with one allocation that fails, and with all from there on."""
    return [
        Fault(name, "memory", errno.ENOMEM, for_ever)
        for name in OPERATIONS
        for for_ever in (False, True)
    ]


def calls() -> list[Fault]:
    """Each operation with each kind of system call, and what it may fail with."""
    codes: dict[str, Iterable[int]] = {
        "write": (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EINTR, SHORT),
        "sync": (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR),
        "size": (errno.EIO, errno.ENOSPC, errno.EINTR),
        "read": (errno.EIO, errno.EINTR),
        "name": (errno.EIO, errno.ENOSPC, errno.EINTR),
        "status": (errno.EIO,),
        "map": (errno.ENOMEM,),
        "lock": (errno.EIO, errno.ENOLCK),
    }
    return [
        Fault(name, kind, code, for_ever)
        for name in OPERATIONS
        for kind, each in codes.items()
        for code in each
        for for_ever in (False, True)
        if not (for_ever and code in (errno.EINTR, SHORT))  # is tried again for ever
    ]


def sampled(faults: list[Fault], seed: int, every: int, jobs: int) -> Iterator[Found]:
    """Every `every`-th n of each fault, from one that `seed` chooses."""
    rng = random.Random(seed)
    firsts = [rng.randrange(every) + 1 for _ in faults]
    with tempfile.TemporaryDirectory(prefix="cowtree-faults-", dir=_folder()) as folder:
        library = build_library(folder)
        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(
                lambda fault, first: run_fault(fault, first, every, library, folder), faults, firsts
            )


def _folder() -> str | None:
    """Where a sync costs nothing."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run_fault(fault: Fault, first: int, every: int, library: str, folder: str) -> Found:
    """All n from `first` on."""
    tries, failures, number = 0, [], first
    while len(failures) < FAILURES_MAX:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            last, problem, done = _run_worker(fault, number, every, library, work)
        tries += 0 if last is None else (last - number) // every + (problem is not None)
        if problem is not None:
            failures.append(f"{fault}, n = {last}: {problem}")
        if done or last is None:
            break
        number = last + every
    return Found(fault, tries, failures)


def _run_worker(
    fault: Fault, first: int, every: int, library: str, work: str
) -> tuple[int | None, str | None, bool]:
    """The last n that was tried, what did not hold at it, and whether it was one too many."""
    arguments = [
        f"{'+' if fault.for_ever else ''}{KINDS[fault.kind]}",
        str(fault.code),
        str(first),
        str(every),
        work,
    ]
    environment = os.environ | {
        "LD_PRELOAD": library,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONHASHSEED": "0",
    }
    if fault.kind == "memory":
        environment["PYTHONMALLOC"] = "malloc"  # each object's memory is asked of the library
    worker = subprocess.Popen(
        [sys.executable, "-m", "campaign.fault_worker", fault.operation, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    said, hung = _listen(worker)
    status = worker.wait()
    assert worker.stderr is not None
    complaints = worker.stderr.read().decode(errors="replace").splitlines()
    worker.stderr.close()
    lines = said.decode(errors="replace").splitlines()
    numbers = [int(line) for line in lines if line.isdigit()]
    last = numbers[-1] if numbers else None
    if lines and lines[-1].startswith("done"):
        return last, None, True
    if lines and lines[-1].startswith("FAILED"):
        return last, lines[-1], False
    if hung:
        return last, "hangs", False
    stack = " | ".join(line.strip() for line in complaints if line.strip())
    stack = stack[:400] if "Fatal" in stack else stack[-400:]
    return last, f"the process ended with status {status}: {stack}", False


def _listen(worker: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
    """What the worker says, and whether it had to be killed."""
    assert worker.stdout is not None
    said = b""
    hung = False
    with worker.stdout:
        while True:
            ready, _, _ = select.select([worker.stdout], [], [], HANG_SECONDS)
            if not ready:
                hung = True
                worker.kill()
            piece = os.read(worker.stdout.fileno(), 1 << 16)
            if not piece:
                return said, hung
            said += piece


def summary(found: list[Found], seed: int, began: float) -> str:
    tries = sum(each.tries for each in found)
    seconds = time.monotonic() - began
    failed = sum(len(each.failures) for each in found)
    operations = len({each.fault.operation for each in found})
    return (
        f"{tries:,} faults in {operations} operations from seed {seed}, {tries / max(seconds, 1e-9):,.0f} a second; "
        f"{failed} failed"
    )
