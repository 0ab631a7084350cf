"""`python -m bench compaction`: what compaction bounds, what it costs the writer, and how fast it is, beside LMDB."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench import machine, options
from bench.data import Data
from bench.engines import Cowtree, Engine, Lmdb
from bench.measures import DiskWatch, anonymous_bytes, device_bytes, disk_bytes, written_bytes
from bench.workloads.commits import percentiles

__all__ = ["add_arguments", "main"]

FLOOR = 16 << 20
PIECE = 1 << 20
SLICE = 2500
"""Commits of an engine, until it is the other's turn."""
LONG_NS = 100_000_000

Figures = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "--only", action="append", choices=list(PARTS), help="one part; may be given again"
    )
    parser.add_argument("--keys", type=options.positive, default=1_000_000, help="of the large one")
    parser.add_argument("--seconds", type=float, default=15.0, help="of the heaviest writer")
    parser.add_argument(
        "--commits", type=options.positive, default=20_000, help="durable ones; others: five times"
    )
    parser.add_argument("--repeat", type=options.positive, default=3, help="turns of moving")
    options.add_folder(parser)
    parser.add_argument("--json", metavar="OUT", help="write all figures there")


def main(arguments: argparse.Namespace) -> int:
    """Run the parts and print their figures; 1 if the bound was exceeded."""
    engines: list[Engine] = [Cowtree(), Lmdb()]
    folder = machine.choose_folder(arguments.dir)
    settings = {name: vars(arguments)[name] for name in ("keys", "seconds", "commits", "repeat")}
    document = options.document(engines, folder, settings)
    results: Figures = {}
    for name in arguments.only or PARTS:
        with _scratch(folder) as scratch:
            results[name] = PARTS[name](scratch, arguments)
        print(f"\n{name}")
        _show(results[name], 1)
    if arguments.json:
        options.write_json(arguments.json, {**document, "compaction": results})
    within = results.get("bound", {}).get("most of the file / bound", 0.0) <= 1
    return 0 if within else 1


def _show(figures: Figures, depth: int) -> None:
    for name, figure in figures.items():
        if isinstance(figure, dict):
            print(f"{'  ' * depth}{name}")
            _show(figure, depth + 1)
        else:
            shown = f"{figure:,.3g}" if isinstance(figure, float) else f"{figure:,}"
            print(f"{'  ' * depth}{name:<44} {shown:>16}", flush=True)


@contextmanager
def _scratch(folder: str) -> Iterator[str]:
    made = tempfile.mkdtemp(prefix="cowtree-bench-", dir=folder)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------------ the bound


def bound(folder: str, arguments: argparse.Namespace) -> Figures:
    """A writer that does nothing but commit ten random overwrites each, unsynced: the most of the disk."""
    data = Data.make(arguments.keys // 4)
    engine = Cowtree()
    engine.open(folder, sync=False)
    engine.put_all(data.pairs)
    rng = random.Random(3)
    path = engine.db.path
    commits, largest, compactions = 0, 0, Generations(path)
    end = time.monotonic() + arguments.seconds
    with DiskWatch(folder) as watch:
        while time.monotonic() < end:
            for _ in range(20):
                engine.put_all(_overwrites(rng, data, 10))
            commits += 20
            largest = max(largest, os.stat(path).st_size)
            compactions.look()
    needed = engine.db.stats().live_bytes
    engine.close()
    limit = 3 * needed + FLOOR
    return {
        "needed, MB": needed / 1e6,
        "bound: 3 x needed + 16 MiB, MB": limit / 1e6,
        "most of the file, MB": largest / 1e6,
        "most of the file / bound": largest / limit,
        "most of all files, MB": watch.most / 1e6,
        "at the end, closed, MB": disk_bytes(folder) / 1e6,
        "commits a second": commits / arguments.seconds,
        "compactions": compactions.count,
    }


def _overwrites(rng: random.Random, data: Data, count: int) -> list[tuple[bytes, bytes]]:
    size = len(data.keys)
    return [
        (data.keys[rng.randrange(size)], data.values[rng.randrange(size)]) for _ in range(count)
    ]


class Generations:
    """Counts the files that have had a path, by their generation."""

    def __init__(self, path: str) -> None:
        self.count = 0
        self._path = path
        self._last = self._read()

    def look(self) -> None:
        """Often enough to miss none."""
        now = self._read()
        self.count += now != self._last
        self._last = now

    def _read(self) -> bytes:
        with open(self._path, "rb") as file:
            return file.read(80)[72:]


# ----------------------------------------------------------------------------------------------------- waits of commits


def waits(folder: str, arguments: argparse.Namespace) -> Figures:
    """One overwrite a commit, over many times the live size: how long each commit waits, beside LMDB in turns."""
    found: Figures = {}
    for durable in (True, False):
        data = Data.make(arguments.keys // 10)
        commits = arguments.commits * (1 if durable else 5)
        place = os.path.join(folder, "durable" if durable else "unsynced")
        runs = [Commits(engine, place, data, durable) for engine in (Cowtree(), Lmdb())]
        for _ in range(0, commits, SLICE):
            for run in runs:
                run.slice(SLICE)
        told = {run.engine.name: run.finish() for run in runs}
        told["cowtree's rate / LMDB's"] = (
            told["cowtree"]["commits a second"] / told["lmdb"]["commits a second"]
        )
        found["durable" if durable else "unsynced"] = told
    return found


class Commits:
    """One engine's commits and how long they took."""

    def __init__(self, engine: Engine, folder: str, data: Data, durable: bool) -> None:
        self.engine = engine
        self._folder = os.path.join(folder, engine.name)
        os.makedirs(self._folder)
        self._data, self._rng = data, random.Random(4)
        self._times: list[int] = []
        self._written = self._device = 0
        engine.open(self._folder, sync=False)
        engine.put_all(data.pairs)
        engine.sync()
        engine.close()
        self._loaded = disk_bytes(self._folder)
        engine.open(self._folder, sync=durable)
        self._db: Any = engine.db if isinstance(engine, Cowtree) else None
        self._generations = None if self._db is None else Generations(self._db.path)

    def slice(self, count: int) -> None:
        """So many commits; what the system was told to write meanwhile is this engine's."""
        pairs = _overwrites(self._rng, self._data, count)
        put = self.engine.put_one()
        before, device_before = written_bytes(), device_bytes(self._folder) or 0
        for index, (key, value) in enumerate(pairs):
            started = time.perf_counter_ns()
            put(key, value)
            self._times.append(time.perf_counter_ns() - started)
            if self._generations is not None and index % 100 == 99:
                self._generations.look()
        while self._db is not None and self._db.stats().compacting:
            time.sleep(0.01)  # its bytes, and its end, are not the other's
        self.engine.sync()
        self._written += written_bytes() - before
        self._device += (device_bytes(self._folder) or 0) - device_before

    def finish(self) -> Figures:
        """Close; the figures."""
        if self._generations is not None:
            self._generations.look()
        self._db = None
        self.engine.close()
        told: Figures = {
            "commits a second": len(self._times) / (sum(self._times) / 1e9),
            **{f"{name}, ms": each / 1000 for name, each in percentiles(self._times).items()},
            "commits longer than 100 ms": sum(each > LONG_NS for each in self._times),
            "written by the process / loaded size": self._written / self._loaded,
            "written by the process, bytes a commit": self._written // len(self._times),
            "written to the device, bytes a commit": self._device // len(self._times),
        }
        if self._generations is not None:
            told["compactions"] = self._generations.count
        return told


# ----------------------------------------------------------------------------------------------------------- the moving


def moving(folder: str, arguments: argparse.Namespace) -> Figures:
    """The same file compacted in the background, on request, and copied byte by byte; LMDB's copy(compact=True)."""
    data = Data.make(arguments.keys)
    engine, origin = Cowtree(), os.path.join(folder, "origin")
    os.mkdir(origin)
    _prepare(engine, origin, data)
    before = disk_bytes(origin)
    turns: dict[str, list[Figures]] = {"in the background": [], "on request": []}
    copied: list[float] = []
    for _ in range(arguments.repeat):
        for name, work in (("in the background", _by_itself), ("on request", _on_request)):
            turns[name].append(_compact_a_copy(engine, origin, folder, work, copied))
    found: Figures = {
        "file before, MB": before / 1e6,
        "plain copy of the smaller result, s": statistics.median(copied),
        "lmdb": _lmdb_copy(folder, data),
    }
    for name, told in turns.items():
        found[name] = {key: statistics.median(each[key] for each in told) for key in told[0]}
        found[name]["times a plain copy"] = found[name]["seconds"] / statistics.median(copied)
    return found


def _prepare(engine: Engine, folder: str, data: Data) -> None:
    """Commits of random overwrites, after which the file is a few times as large; a tag keeps one of them."""
    engine.open(folder, sync=False)
    if isinstance(engine, Cowtree):
        engine.db.configure(auto_compact=None)
    engine.put_all(data.pairs)
    rng = random.Random(5)
    turns = 80
    for turn in range(turns):
        engine.put_all(_overwrites(rng, data, len(data.keys) // 1000 + 60))
        if turn == turns // 2 and isinstance(engine, Cowtree):
            engine.db.tag("middle")
    engine.sync()
    engine.close()


def _by_itself(engine: Cowtree) -> None:
    generations = Generations(engine.db.path)
    engine.db.configure(auto_compact=1.5)
    patience = time.monotonic() + 60
    while not generations.count and time.monotonic() < patience:
        time.sleep(0.001)
        generations.look()


def _on_request(engine: Cowtree) -> None:
    engine.db.compact()


def _compact_a_copy(
    engine: Cowtree,
    origin: str,
    folder: str,
    work: Callable[[Cowtree], None],
    copied: list[float],
) -> Figures:
    place = os.path.join(folder, "turn")
    shutil.copytree(origin, place)
    os.sync()
    engine.open(place, sync=False)
    generations = Generations(engine.db.path)
    with MemoryWatch() as memory:
        started = time.perf_counter()
        work(engine)
        seconds = time.perf_counter() - started
    generations.look()
    if not generations.count:
        raise RuntimeError(f"not compacted: {engine.db.stats().compaction_problem}")
    size = os.stat(engine.db.path).st_size
    scans = []
    for _ in range(3):
        snapshot = engine.db.snapshot()
        started = time.perf_counter()
        count = sum(1 for _ in engine.scan(snapshot))
        scans.append((time.perf_counter() - started) / count)
    live = engine.db.stats().live_bytes
    path = engine.db.path
    engine.close()
    copied.append(_plain_copy(path, os.path.join(folder, "plain")))
    shutil.rmtree(place)
    return {
        "seconds": seconds,
        "file after, MB": size / 1e6,
        "newest commit alone, MB": live / 1e6,
        "private memory, MB": memory.most / 1e6,
        "one bit a page of the file before, MB": disk_bytes(origin) / 4096 / 8e6,
        "scan afterwards, µs an item": min(scans) * 1e6,
    }


def _plain_copy(source: str, target: str) -> float:
    """Seconds for reading a file in pieces and writing them to another, synced."""
    os.sync()
    started = time.perf_counter()
    reading, writing = os.open(source, os.O_RDONLY), os.open(target, os.O_CREAT | os.O_RDWR, 0o600)
    piece = bytearray(PIECE)
    while count := os.readv(reading, [piece]):
        os.write(writing, memoryview(piece)[:count])
    os.fdatasync(writing)
    seconds = time.perf_counter() - started
    os.close(reading)
    os.close(writing)
    os.unlink(target)
    return seconds


def _lmdb_copy(folder: str, data: Data) -> Figures:
    engine, place, target = Lmdb(), os.path.join(folder, "lmdb"), os.path.join(folder, "copy")
    for path in (place, target):
        os.mkdir(path)
    _prepare(engine, place, data)
    engine.open(place, sync=True)
    os.sync()
    started = time.perf_counter()
    engine.env.copy(target, compact=True)
    seconds = time.perf_counter() - started
    engine.close()
    told = {
        "file, MB": disk_bytes(place) / 1e6,
        "copy(compact=True), s": seconds,
        "the copy, MB": disk_bytes(target) / 1e6,
    }
    for path in (place, target):
        shutil.rmtree(path)
    return told


class MemoryWatch:
    """The most of private memory, above what there was, during `with`."""

    def __init__(self) -> None:
        self.most = 0
        self._before = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._before = anonymous_bytes(os.getpid())
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.most = max(self.most, anonymous_bytes(os.getpid()) - self._before)


# ------------------------------------------------------------------------------------------------------- a held reader


def held_reader(folder: str, arguments: argparse.Namespace) -> Figures:
    """Commits of ten overwrites among 20,000 keys with values of 100 bytes, while a snapshot is held."""
    found: Figures = {}
    for engine in (Cowtree(), Lmdb()):
        place = os.path.join(folder, engine.name)
        os.mkdir(place)
        data = Data.make(20_000)
        engine.open(place, sync=False)
        engine.put_all(data.pairs)
        engine.sync()
        rng, loaded = random.Random(6), disk_bytes(place)
        snapshot = engine.snapshot()()
        figures: Figures = {"loaded, MB": loaded / 1e6}
        done = 0
        with DiskWatch(place, interval_seconds=0.05) as watch:
            for commits in sorted({min(1000, arguments.commits), arguments.commits}):
                while done < commits:
                    engine.put_all(_overwrites(rng, data, 10))
                    done += 1
                watch.look()
                figures[f"most of the disk in {commits:,} commits, MB"] = watch.most / 1e6
        if [value for _, value in engine.scan(snapshot)] != [v for _, v in sorted(data.pairs)]:
            raise RuntimeError(f"{engine.name}: the held snapshot reads something else")
        engine.end(snapshot)
        del snapshot
        engine.close()
        figures["at the end, closed, MB"] = disk_bytes(place) / 1e6
        found[engine.name] = figures
    return found


PARTS: dict[str, Callable[[str, argparse.Namespace], Figures]] = {
    "bound": bound,
    "waits": waits,
    "moving": moving,
    "held_reader": held_reader,
}
