"""A job queue: jobs are claimed in order, done once each, and tried again when a worker fails."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import cowtree
from cowtree.codecs import MsgPack, Tuple

TRIES = 3


class Queue:
    """Jobs in (priority, number) order; a claimed one stands in `running` until it is finished or given back."""

    def __init__(self, db: cowtree.Database) -> None:
        self.db = db

    def add(self, job: Any, priority: int = 5) -> None:
        """Put a job in. The number comes from the last key: no counter to keep."""
        with self.db.transaction() as txn:
            numbers = txn.tree("numbers", key=Tuple)
            last = numbers.last()
            number = last[0][0] + 1 if last else 1
            numbers[(number,)] = b""
            waiting = txn.tree("waiting", key=Tuple, value=MsgPack)
            waiting[priority, number] = {"job": job, "tries": 0}

    def claim(self) -> tuple[tuple[Any, ...], Any] | None:
        """Take the first job: (its key, the job), or None."""
        with self.db.transaction() as txn:
            waiting = txn.tree("waiting", key=Tuple, value=MsgPack)
            if not waiting:
                return None
            key, record = waiting.popitem(last=False)
            txn.tree("running", key=Tuple, value=MsgPack)[key] = record
        return key, record["job"]

    def finish(self, key: tuple[Any, ...]) -> None:
        """The job is done."""
        self.db.tree("running", key=Tuple, value=MsgPack).pop(key)

    def give_back(self, key: tuple[Any, ...]) -> None:
        """The job failed: it waits again, or stands in `failed` after three tries."""
        with self.db.transaction() as txn:
            record = txn.tree("running", key=Tuple, value=MsgPack).pop(key)
            record["tries"] += 1
            name = "waiting" if record["tries"] < TRIES else "failed"
            txn.tree(name, key=Tuple, value=MsgPack)[key] = record


def work(queue: Queue, done: list[Any]) -> None:
    while (claimed := queue.claim()) is not None:
        key, job = claimed
        if job == "bad":
            queue.give_back(key)
        else:
            done.append(job)
            queue.finish(key)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "queue.cow") as db:
        queue = Queue(db)
        for number in range(20):
            queue.add(number)
        queue.add("urgent", priority=1)
        queue.add("bad")
        done: list[Any] = []
        first = queue.claim()
        assert first is not None
        assert first[1] == "urgent"
        queue.give_back(first[0])
        threads = [threading.Thread(target=work, args=(queue, done)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("done:", len(done), "each once:", len(set(done)) == len(done))
        print("running:", len(db.tree("running")), "failed:", len(db.tree("failed")))


if __name__ == "__main__":
    main()
