"""A scan that Ray spreads over worker processes, all of one version of the data.

As with Dask: a task is a pickled snapshot, which is a path and a commit, and two keys. Needs ray.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import ray

import cowtree


def total(snapshot: cowtree.Snapshot, start: bytes | None, stop: bytes | None) -> tuple[int, int]:
    """(commit, sum) of the values with start <= key < stop; None: no bound on that side."""
    return snapshot.commit_id, sum(int(value) for value in snapshot.values(start, stop))


def main() -> None:
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            cowtree.open(Path(folder) / "sales.cow", sync=False) as db,
        ):
            db.load((b"%06d" % i, b"%d" % (i % 100)) for i in range(50_000))
            snapshot = db.snapshot()
            task = ray.remote(total)
            cuts = [None, *snapshot.split(8), None]
            pending = [task.remote(snapshot, start, stop) for start, stop in pairwise(cuts)]
            db.delete_range(b"010000")  # the workers do not see it
            results = ray.get(pending)
            assert {commit for commit, _ in results} == {snapshot.commit_id}
            print("tasks:", len(results))
            print("sum over the workers:", sum(part for _, part in results))
            print("left in the newest commit:", len(db))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
