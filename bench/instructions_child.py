"""What `bench.instructions` runs under valgrind: a workload prepared once, its loop run a number of times."""

from __future__ import annotations

import os
import sys

from bench import workloads as workloads  # registers them
from bench.data import Data
from bench.engines import ENGINES, Lmdb
from bench.workload import WORKLOADS, Fixture, Place


def main() -> None:
    """Arguments: workload, engine, keys, runs, folder."""
    name, engine_name, keys, runs, folder = sys.argv[1:]
    workload = WORKLOADS[name]
    data = Data.make(int(keys), workload.recipe)
    engine = ENGINES[engine_name]()
    if isinstance(engine, Lmdb):
        engine.map_size = 1 << 30  # valgrind has no room for the usual one
    here = os.path.join(folder, engine_name)
    os.mkdir(here)
    if workload.fixture is not Fixture.EMPTY:
        engine.open(here, sync=False)
        engine.put_all(data.pairs)
        engine.sync()
        engine.close()
    engine.open(here, sync=workload.sync, trees=workload.trees)
    job = workload.prepare(Place(engine, here, workload.sync, data, 0))
    for _ in range(int(runs)):
        job.run()
    job.end()
    engine.close()
    print(f"operations {job.operations}")


if __name__ == "__main__":
    main()
