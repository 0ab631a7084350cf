"""Run workloads on engines in turn (A B A B ...), compare answers, print medians and ratios of the same run."""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.engines import Engine
from bench.workloads import Data, Workload

__all__ = ["run"]


def run(
    workloads: list[Workload],
    engines: list[Engine],
    *,
    keys: int,
    repeat: int,
    folder: str | None,
    output: str | None,
) -> None:
    """Run everything and print a table; with `output` also write JSON."""
    data = Data.make(keys)
    print(f"{keys} keys of 16 B, values of 100 B; median of {repeat} interleaved runs (min-max)")
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    names = [engine.name for engine in engines]
    ratio = "cowtree" in names and "lmdb" in names
    print(
        f"{'workload':<26}"
        + "".join(f"{name:>30}" for name in names)
        + (" speed ratio" if ratio else "")
    )
    results = {}
    for workload in workloads:
        times = _measure(workload, engines, data, repeat, folder)
        results[workload.name] = times
        line = f"{workload.name:<26}"
        for name in names:
            line += f"{_describe(times[name]):>30}"
        if ratio and times["cowtree"] and times["lmdb"]:
            pairs = zip(times["lmdb"], times["cowtree"], strict=True)
            line += f"{statistics.median(a / b for a, b in pairs):>11.2f}"
        print(line, flush=True)
    for name, size in _sizes(engines, data, folder).items():
        print(f"size after a random load: {name} {size / 1e6:.1f} MB")
        results.setdefault("file_size", {})[name] = [size]
    if output:
        with open(output, "w") as file:
            json.dump(_report(results, keys, repeat), file, indent=1)


def _describe(times: list[float]) -> str:
    """Microseconds per operation."""
    if not times:
        return "-"
    low, middle, high = min(times), statistics.median(times), max(times)
    return f"{middle:.3g} µs ({low:.3g}-{high:.3g})"


def _measure(
    workload: Workload, engines: list[Engine], data: Data, repeat: int, folder: str | None
) -> dict[str, list[float]]:
    """Microseconds per operation of each run, by engine."""
    times: dict[str, list[float]] = {engine.name: [] for engine in engines}
    if workload.loaded:
        with _folders(engines, folder) as places:
            for engine in engines:
                engine.open(places[engine.name], sync=workload.sync)
                engine.load([(key, data.value) for key in data.keys], ascending=False)
            for turn in range(repeat + 1):
                _turn(workload, engines, data, times, counted=turn > 0)
            for engine in engines:
                engine.close()
        return times
    for _ in range(repeat):
        with _folders(engines, folder) as places:
            for engine in engines:
                engine.open(places[engine.name], sync=workload.sync)
            _turn(workload, engines, data, times, counted=True)
            for engine in engines:
                engine.close()
    return times


def _turn(
    workload: Workload,
    engines: list[Engine],
    data: Data,
    times: dict[str, list[float]],
    *,
    counted: bool,
) -> None:
    answers = {}
    for engine in engines:
        reader = engine.reader() if workload.reads else None
        gc.collect()
        gc.disable()
        started = time.perf_counter_ns()
        operations, answers[engine.name] = workload.run(engine, data, reader)
        elapsed = time.perf_counter_ns() - started
        gc.enable()
        if workload.reads:
            engine.end_reader(reader)
        if counted and operations:
            times[engine.name].append(elapsed / 1000 / operations)
    if any(answer != answers[engines[0].name] for answer in answers.values()):
        raise AssertionError(f"{workload.name}: the engines disagree")


def _sizes(engines: list[Engine], data: Data, folder: str | None) -> dict[str, int]:
    sizes = {}
    with _folders(engines, folder) as places:
        for engine in engines:
            engine.open(places[engine.name], sync=False)
            engine.load([(key, data.value) for key in data.keys], ascending=False)
            engine.close()
            sizes[engine.name] = engine.disk_bytes()
    return sizes


@contextmanager
def _folders(engines: list[Engine], folder: str | None) -> Iterator[dict[str, str]]:
    """A fresh folder for each engine."""
    root = tempfile.mkdtemp(prefix="cowtree-bench-", dir=folder)
    try:
        places = {}
        for engine in engines:
            places[engine.name] = os.path.join(root, engine.name)
            os.mkdir(places[engine.name])
        yield places
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _report(
    results: dict[str, dict[str, list[float]]], keys: int, repeat: int
) -> dict[str, object]:
    import cowtree

    return {
        "machine": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": sys.version,
        "cowtree": cowtree.__version__,
        "keys": keys,
        "key_size": 16,
        "value_size": 100,
        "page_size": 4096,
        "repeat": repeat,
        "microseconds_per_operation": results,
    }
