"""A job queue for many workers: claim, finish, retry, each step one transaction.

Two trees: "ready" holds what waits, by (time when due, number); "claimed" what a worker has, by (time when its lease
ends, number). A claim whose lease ran out, as its worker died, is given to another; the first one's `finish` is then
refused. The result is stored by the transaction that takes the job away: each job has exactly one.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cowtree
from cowtree.codecs import Int, Json, Text, Tuple


@dataclass(frozen=True)
class Claim:
    """A job that a worker has until its lease ends."""

    lease: tuple[float, int]
    job: Any
    tries: int


class JobQueue:
    """Jobs are whatever Json encodes. Safe for many threads, and for many processes on one file."""

    def __init__(self, db: cowtree.Database, lease_seconds: float = 30.0) -> None:
        self.db = db
        self.lease_seconds = lease_seconds

    def add(self, job: Any, due: float = 0.0) -> int:
        """The new job's number."""
        with self.db.transaction() as txn:
            counters = txn.tree("counters", key=Text, value=Int)
            number = counters["jobs"] = counters.get("jobs", 0) + 1
            txn.tree("ready", key=Tuple, value=Json)[float(due), number] = [job, 0]
            return number

    def claim(self, now: float) -> Claim | None:
        """The job that has been due for longest; None if none is due."""
        now = float(now)  # in a Tuple key every int sorts before every float
        with self.db.transaction() as txn:
            ready = txn.tree("ready", key=Tuple, value=Json)
            claimed = txn.tree("claimed", key=Tuple, value=Json)
            for (_, number), entry in claimed.items(stop=(now,)):  # their workers are late or dead
                ready[now, number] = entry
            claimed.delete_range(stop=(now,))
            found = ready.first()
            if found is None or found[0][0] > now:
                return None
            key, (job, tries) = found
            del ready[key]
            lease = (now + self.lease_seconds, key[1])
            claimed[lease] = [job, tries + 1]
            return Claim(lease, job, tries + 1)

    def finish(self, claim: Claim, result: Any) -> bool:
        """Store the result; False, and nothing is stored, if the lease had run out and another worker has the job."""
        with self.db.transaction() as txn:
            if not txn.tree("claimed", key=Tuple, value=Json).delete(claim.lease):
                return False
            txn.tree("results", key=Int, value=Json)[claim.lease[1]] = result
            return True

    def retry(self, claim: Claim, due: float) -> bool:
        """Give a job back, to be claimed again when due; False as for `finish`."""
        with self.db.transaction() as txn:
            if not txn.tree("claimed", key=Tuple, value=Json).delete(claim.lease):
                return False
            ready = txn.tree("ready", key=Tuple, value=Json)
            ready[float(due), claim.lease[1]] = [claim.job, claim.tries]
            return True


def work(queue: JobQueue) -> None:
    """A worker: until nothing is due. Every third job fails at first."""
    while (claim := queue.claim(time.time())) is not None:
        if claim.job % 3 == 0 and claim.tries == 1:
            queue.retry(claim, due=time.time())
        else:
            queue.finish(claim, claim.job**2)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "jobs.cow") as db:
        queue = JobQueue(db)
        numbers = {queue.add(job): job for job in range(60)}
        with ThreadPoolExecutor(4) as workers:
            list(workers.map(work, [queue] * 4))
        results = db.tree("results", key=Int, value=Json)
        assert results == {number: job**2 for number, job in numbers.items()}
        assert len(db.tree("ready")) == len(db.tree("claimed")) == 0
        print("jobs done by four workers:", len(results))

        slow = queue.add("slow")
        if (late := queue.claim(now=1000.0)) and (second := queue.claim(now=1031.0)):
            assert queue.finish(second, "done")
            assert not queue.finish(late, "too late")
        assert results[slow] == "done"
        print("a late worker's result is refused")


if __name__ == "__main__":
    main()
