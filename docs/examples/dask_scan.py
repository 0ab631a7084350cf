"""A scan that Dask spreads over worker processes, all of one version of the data.

A snapshot pickles as path and commit, and `split` cuts its keys into equal parts without reading them, so a task is a
few bytes. On several machines the file has to be where each of them sees it: a backup on each, or a read-only network
mount opened with `mmap=False`. Needs dask[distributed].
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import dask.config
from dask.base import compute
from dask.delayed import delayed
from distributed import Client, LocalCluster

import cowtree


def total(snapshot: cowtree.Snapshot, start: bytes | None, stop: bytes | None) -> tuple[int, int]:
    """(commit, sum) of the values with start <= key < stop; None: no bound on that side."""
    return snapshot.commit_id, sum(int(value) for value in snapshot.values(start, stop))


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cowtree.open(Path(folder) / "sales.cow", sync=False) as db,
    ):
        db.load((b"%06d" % i, b"%d" % (i % 100)) for i in range(50_000))
        snapshot = db.snapshot()
        parts = pairwise([None, *snapshot.split(8), None])
        tasks = [delayed(total)(snapshot, *part) for part in parts]
        db.delete_range(b"010000")  # the workers do not see it
        with (
            dask.config.set({"temporary-directory": folder}),
            LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                local_directory=folder,
            ) as cluster,
            Client(cluster),
        ):
            results = compute(*tasks)
        assert {commit for commit, _ in results} == {snapshot.commit_id}
        print("tasks:", len(results))
        print("sum over the workers:", sum(part for _, part in results))
        print("left in the newest commit:", len(db))


if __name__ == "__main__":
    main()
