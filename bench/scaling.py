"""`python -m bench scaling`: the same work with more keys, more threads, more processes; JSON and a page."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

from bench import machine, options
from bench import workloads as workloads  # registers them
from bench.engines import Engine
from bench.plot import plot_curves
from bench.report import short
from bench.run import run_workloads
from bench.runner import Runner
from bench.workload import WORKLOADS

__all__ = ["add_arguments", "main", "page"]

KEY_COUNTS = (10_000, 100_000, 1_000_000, 10_000_000)
OF_KEYS = ("random_get", "short_scan", "count", "random_put", "random_overwrite", "commit_nosync")
OF_THREADS = ("threads_get_1", "threads_get_2", "threads_get_4", "threads_get_8")
OF_PROCESSES = ("processes_get_1", "processes_get_2", "processes_get_4")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "--keys",
        type=options.positive,
        nargs="+",
        default=list(KEY_COUNTS),
        help=f"numbers of keys (default: {' '.join(map(str, KEY_COUNTS))})",
    )
    parser.add_argument("--repeat", type=options.positive, default=3, help="turns (default: 3)")
    options.add_engines(parser)
    options.add_folder(parser)
    parser.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="for scaling.json, scaling.md, plots"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run, write `scaling.json`, `scaling.md` and, with matplotlib, the plots; 1 if answers differed."""
    engines = options.chosen_engines(arguments)
    folder = machine.choose_folder(arguments.dir)
    counts: list[int] = sorted(arguments.keys)
    parallel = min(counts, key=lambda count: abs(count - 1_000_000))
    settings: dict[str, object] = {
        "keys": counts,
        "keys_in_parallel": parallel,
        "repeat": arguments.repeat,
    }
    by_keys: dict[str, object] = {}
    parallel_results: dict[str, object] = {}
    status = 0
    for count in counts:
        print(f"\n{count:,} keys")
        with Runner(engines, count, repeat=arguments.repeat, folder=folder) as runner:
            by_keys[str(count)], failed = _run(runner, OF_KEYS, engines)
            status |= failed
            if count == parallel:
                parallel_results, failed = _run(runner, OF_THREADS + OF_PROCESSES, engines)
                status |= failed
    document = {
        **options.document(engines, folder, settings),
        "by_keys": by_keys,
        "parallel": parallel_results,
    }
    os.makedirs(arguments.output, exist_ok=True)
    options.write_json(os.path.join(arguments.output, "scaling.json"), document)
    plots = _draw(document, arguments.output)
    with open(os.path.join(arguments.output, "scaling.md"), "w", encoding="utf-8") as file:
        file.write(page(document, plots))
    return status


def page(document: dict[str, Any], plots: list[str]) -> str:
    """The tables and pictures of a document in Markdown."""
    described, versions = document["machine"], document["versions"]
    lock = "" if described["interpreter_lock"] else ", free-threaded"
    lines = [
        "# Scaling",
        "",
        f"{described['processor']}, {described['cores']} cores, {described['memory']}, {described['system']}, "
        f"{described['file_system']}, {described['python']}{lock};",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        f"Medians of {document['settings']['repeat']} interleaved turns, in microseconds per operation.",
        "",
        "## Cost of an operation by the number of keys",
        "",
        *_table_by_keys(document),
        "",
        f"## Threads and processes, {document['settings']['keys_in_parallel']:,} keys",
        "",
        *_table_of_parallel(document),
        "",
        "A reading thread gains only where the interpreter has no global lock, or while calls give it up.",
        *(f"\n![{plot}]({plot})" for plot in plots),
    ]
    return "\n".join(lines) + "\n"


def _run(
    runner: Runner, names: tuple[str, ...], engines: list[Engine]
) -> tuple[dict[str, object], int]:
    return run_workloads(runner, [WORKLOADS[name] for name in names], engines)


def _median(results: dict[str, Any], workload: str, engine: str) -> float | None:
    found = results.get(workload, {}).get("engines", {}).get(engine)
    return None if found is None else float(found["median"])


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in [head, rule, *rows]]


def _cell(figure: float | None) -> str:
    return "" if figure is None else short(figure)


def _table_by_keys(document: dict[str, Any]) -> list[str]:
    by_keys = document["by_keys"]
    rows = []
    for workload in OF_KEYS:
        for engine in document["versions"]:
            figures = [_median(results, workload, engine) for results in by_keys.values()]
            if any(figure is not None for figure in figures):
                rows.append([f"{workload}, {engine}", *map(_cell, figures)])
    return _table(["", *(f"{int(count):,}" for count in by_keys)], rows)


def _table_of_parallel(document: dict[str, Any]) -> list[str]:
    engines = list(document["versions"])
    rows = [
        [name, *(_cell(_median(document["parallel"], name, engine)) for engine in engines)]
        for name in OF_THREADS + OF_PROCESSES
    ]
    return _table(["per get of all", *engines], rows)


def _draw(document: dict[str, Any], folder: str) -> list[str]:
    """The names of the pictures; none without matplotlib."""
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        print(f"no plots: {error}", file=sys.stderr)
        return []
    names = []
    for workload in OF_KEYS:
        curves = _curves(
            document,
            {float(count): (results, workload) for count, results in document["by_keys"].items()},
        )
        names.append(f"keys-{workload}.svg")
        plot_curves(
            os.path.join(folder, names[-1]),
            curves,
            title=workload,
            across="keys",
            up="µs per operation",
            log=True,
        )
    for kind, workloads_of_kind in (("threads", OF_THREADS), ("processes", OF_PROCESSES)):
        at = {
            float(name.rpartition("_")[2]): (document["parallel"], name)
            for name in workloads_of_kind
        }
        speeds = {
            engine: {point: 1 / cost for point, cost in points.items()}
            for engine, points in _curves(document, at).items()
        }
        names.append(f"{kind}.svg")
        plot_curves(
            os.path.join(folder, names[-1]),
            speeds,
            title=f"random gets in {kind}",
            across=kind,
            up="million gets a second, all together",
            log=False,
        )
    return names


def _curves(
    document: dict[str, Any], at: dict[float, tuple[dict[str, Any], str]]
) -> dict[str, dict[float, float]]:
    curves: dict[str, dict[float, float]] = {}
    for engine in document["versions"]:
        for point, (results, workload) in at.items():
            figure = _median(results, workload, engine)
            if figure is not None:
                curves.setdefault(engine, {})[point] = figure
    return curves
