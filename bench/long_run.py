"""`python -m bench long --minutes N`: random commits for long, with percentiles and the disk over time."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import time
from typing import Any

from bench import machine, options
from bench.data import Data, digest
from bench.engines import Engine
from bench.measures import DiskWatch
from bench.workloads.commits import percentiles

__all__ = ["LongRun", "add_arguments", "main"]

PUTS, DELETES = 8, 2
"""In each commit: overwrites of random keys or new ones, and keys that go."""


class LongRun:
    """One engine's database and what it should hold."""

    def __init__(self, engine: Engine, folder: str, data: Data, *, sync: bool) -> None:
        self.engine = engine
        self.slices: list[dict[str, float]] = []
        self._folder = folder
        self._values = data.values
        self._rng = random.Random(5)
        self._keys = data.keys[:]
        self._model = dict(data.pairs)
        engine.open(folder, sync=False)
        engine.put_all(data.pairs)
        engine.sync()
        engine.close()
        engine.open(folder, sync=sync)

    def run(self, seconds: float) -> dict[str, float]:
        """Commits until the time is over; what they took, in microseconds, and the most of the disk."""
        times: list[int] = []
        end = time.monotonic() + seconds
        with DiskWatch(self._folder, interval_seconds=0.1) as watch:
            while time.monotonic() < end:
                pairs, gone = self._changes()
                started = time.perf_counter_ns()
                self.engine.put_all(pairs)
                self.engine.delete_all(gone)
                times.append(time.perf_counter_ns() - started)
        told = {
            "commits": 2.0 * len(times),
            **percentiles(times),
            "disk_most": float(watch.most),
            "entries": float(len(self._model)),
        }
        self.slices.append(told)
        return told

    def finish(self) -> bool:
        """Close; does it hold what it should, opened again?"""
        self.engine.close()
        self.engine.open(self._folder, sync=False)
        snapshot = self.engine.snapshot()()
        found = digest(part for item in self.engine.scan(snapshot) for part in item)
        self.engine.end(snapshot)
        self.engine.close()
        return found == digest(part for item in sorted(self._model.items()) for part in item)

    def _changes(self) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        """The next puts and deletes: as many keys come as go."""
        rng, keys, model = self._rng, self._keys, self._model
        pairs = []
        for number in range(PUTS):
            if number < DELETES:
                key = rng.randbytes(16)
                keys.append(key)
            else:
                key = keys[rng.randrange(len(keys))]
            pairs.append((key, self._values[rng.randrange(len(self._values))]))
        model.update(pairs)
        gone = []
        for _ in range(DELETES):
            at = rng.randrange(len(keys))
            keys[at], keys[-1] = keys[-1], keys[at]
            gone.append(keys.pop())
            del model[gone[-1]]
        return pairs, gone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--minutes", type=float, required=True, help="of all engines together")
    parser.add_argument("--slice", type=float, default=10.0, help="seconds of a turn (default: 10)")
    parser.add_argument("--no-sync", action="store_true", help="commits that are not durable")
    parser.add_argument("--keys", type=options.positive, default=100_000, help="default: 100,000")
    options.add_engines(parser)
    options.add_folder(parser)
    parser.add_argument("--json", metavar="OUT", help="write all slices there")


def main(arguments: argparse.Namespace) -> int:
    """Engines in turn, a slice each, until the time is over; 1 if one holds something else at the end."""
    engines = options.chosen_engines(arguments)
    folder = machine.choose_folder(arguments.dir)
    data = Data.make(arguments.keys)
    settings = {"keys": arguments.keys, "minutes": arguments.minutes, "sync": not arguments.no_sync}
    document = options.document(engines, folder, settings)
    root = tempfile.mkdtemp(prefix="cowtree-bench-", dir=folder)
    try:
        runs = [_begin(engine, root, data, sync=not arguments.no_sync) for engine in engines]
        _take_turns(runs, arguments.minutes * 60, arguments.slice)
        wrong = [run.engine.name for run in runs if not run.finish()]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for name in wrong:
        print(f"WRONG ANSWER: {name} does not hold what was committed")
    if arguments.json:
        slices: dict[str, Any] = {run.engine.name: run.slices for run in runs}
        options.write_json(arguments.json, {**document, "slices": slices})
    return 1 if wrong else 0


def _begin(engine: Engine, root: str, data: Data, *, sync: bool) -> LongRun:
    folder = os.path.join(root, engine.name)
    os.mkdir(folder)
    return LongRun(engine, folder, data, sync=sync)


def _take_turns(runs: list[LongRun], seconds: float, slice_seconds: float) -> None:
    print("two commits (8 puts, 2 deletes) in µs; the most that the files took")
    end = time.monotonic() + seconds
    started = time.monotonic()
    while time.monotonic() < end:
        for run in runs:
            told = run.run(min(slice_seconds, seconds / len(runs)))
            print(
                f"{time.monotonic() - started:7.0f} s  {run.engine.name:<10} {told['commits']:9,.0f} commits  "
                f"p50 {told['p50']:8.0f}  p99 {told['p99']:8.0f}  p99.9 {told['p99.9']:8.0f}  "
                f"longest {told['longest']:9.0f}  disk {told['disk_most'] / 1e6:8.1f} MB",
                flush=True,
            )
