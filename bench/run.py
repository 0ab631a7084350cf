"""`python -m bench` without a command: run workloads, print the table, write the JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bench import machine, options, report
from bench import workloads as workloads  # registers them
from bench.data import KEY_SIZE, VALUE_SIZE
from bench.engines import Engine
from bench.measures import UnavailableError
from bench.runner import Runner, WrongAnswerError
from bench.workload import CORE, WORKLOADS, Workload, sets

__all__ = ["add_arguments", "main", "run_workloads"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "--workload",
        action="append",
        choices=list(WORKLOADS),
        metavar="NAME",
        help="only this one; may be given again (--list names them)",
    )
    parser.add_argument(
        "--set",
        action="append",
        choices=[*sets(), "all"],
        metavar="NAME",
        help=f"those of this set, of {', '.join(sets())} or all; may be given again (default: {CORE})",
    )
    options.add_engines(parser)
    parser.add_argument(
        "--keys", type=options.positive, help="default 1,000,000, or 100,000 with --quick"
    )
    parser.add_argument(
        "--repeat", type=options.positive, help="turns: default 5, or 3 with --quick"
    )
    parser.add_argument(
        "--no-warm-up", action="store_true", help="count the first turn over a loaded database too"
    )
    options.add_folder(parser)
    parser.add_argument("--json", metavar="OUT", help="write the results there too")
    parser.add_argument("--quick", action="store_true", help="the core set within two minutes")
    parser.add_argument("--list", action="store_true", help="name the workloads and end")


def main(arguments: argparse.Namespace) -> int:
    """Run what the arguments say; 1 if answers differed."""
    if arguments.list:
        _list()
        return 0
    keys: int = arguments.keys or (100_000 if arguments.quick else 1_000_000)
    repeat: int = arguments.repeat or (3 if arguments.quick else 5)
    warm_up = not arguments.no_warm_up
    engines = options.chosen_engines(arguments)
    folder = machine.choose_folder(arguments.dir)
    settings: dict[str, object] = {
        "keys": keys,
        "key_size": KEY_SIZE,
        "value_size": VALUE_SIZE,
        "repeat": repeat,
        "warm_up": warm_up,
    }
    document = options.document(engines, folder, settings)
    chosen = _chosen(arguments.workload, arguments.set)
    _print_setting(document, keys, repeat, durable=any(each.sync for each in chosen))

    def save(results: dict[str, object]) -> None:
        if arguments.json:
            options.write_json(arguments.json, {**document, "results": results})

    with Runner(engines, keys, repeat=repeat, folder=folder, warm_up=warm_up) as runner:
        _, status = run_workloads(runner, chosen, engines, save)
    return status


def run_workloads(
    runner: Runner,
    chosen: list[Workload],
    engines: list[Engine],
    save: Callable[[dict[str, object]], None] = lambda _: None,
) -> tuple[dict[str, object], int]:
    """Print a row for each; the summaries by name, and the status: 1 if answers differed.

    `save` gets the summaries so far after each workload: a run of an hour may end early.
    """
    names = [engine.name for engine in engines]
    print(report.header(names), flush=True)
    results: dict[str, object] = {}
    status = 0
    for workload in chosen:
        if not any(workload.needs <= engine.features for engine in engines):
            print(f"{workload.name}: no engine here has what it needs", flush=True)
            continue
        try:
            result = runner.run(workload)
        except WrongAnswerError as error:
            print(f"WRONG ANSWER: {error}", flush=True)
            status = 1
        except UnavailableError as error:
            print(f"{workload.name} is left out: {error}", flush=True)
        else:
            print(report.row(result, names), flush=True)
            results[workload.name] = report.summary(result)
            save(results)
    return results, status


def _chosen(names: list[str] | None, of_sets: list[str] | None) -> list[Workload]:
    """Those named and those of the sets named; the core set if nothing is."""
    if not names and not of_sets:
        of_sets = [CORE]
    wanted = {*(of_sets or ())}
    return [
        each
        for each in WORKLOADS.values()
        if each.name in (names or ()) or "all" in wanted or wanted.intersection(each.sets)
    ]


def _list() -> None:
    for name in sets():
        print(f"{name}:")
        for workload in WORKLOADS.values():
            if name in workload.sets:
                print(f"  {workload.name:<26} {workload.what}")


def _print_setting(document: dict[str, object], keys: int, repeat: int, *, durable: bool) -> None:
    described, versions = document["machine"], document["versions"]
    assert isinstance(described, dict)
    assert isinstance(versions, dict)
    told = [f"{value}" for key, value in described.items() if value and key != "interpreter_lock"]
    if not described["interpreter_lock"]:
        told.append("free-threaded")
    print(", ".join(told))
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(
        f"{keys:,} keys of {KEY_SIZE} B, values of {VALUE_SIZE} B unless the workload says otherwise; "
        f"{repeat} interleaved turns"
    )
    if described["file_system"] in machine.VOLATILE and durable:
        print("WARNING: a file system in memory: durable commits cost nothing here (see --dir)")
    print("median (min-max) per operation; the ratio is above 1 where cowtree is ahead\n")
