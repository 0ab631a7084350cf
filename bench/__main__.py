"""`python -m bench`: see README.md beside this file."""

from __future__ import annotations

import argparse
import json

from bench import history_workloads as history_workloads  # registers its workloads
from bench import machine, report
from bench.engines import ENGINES, available
from bench.runner import Runner, WrongAnswerError
from bench.workloads import KEY_SIZE, VALUE_SIZE, WORKLOADS, Data


def main(argv: list[str] | None = None) -> int:
    """Run what the arguments say; 1 if answers differed."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        for workload in WORKLOADS.values():
            print(f"{workload.name:<26} {workload.what}")
        return 0
    keys: int = arguments.keys or (100_000 if arguments.quick else 1_000_000)
    repeat: int = arguments.repeat or (3 if arguments.quick else 5)
    workloads = [WORKLOADS[name] for name in arguments.workload or WORKLOADS]
    engines = available(arguments.engine)
    names = [engine.name for engine in engines]
    folder = machine.choose_folder(arguments.dir)
    settings: dict[str, object] = {
        "keys": keys,
        "key_size": KEY_SIZE,
        "value_size": VALUE_SIZE,
        "repeat": repeat,
        "engines": {engine.name: engine.settings() for engine in engines},
    }
    versions = {engine.name: engine.version() for engine in engines}
    described = machine.describe(folder)
    print(", ".join(f"{value}" for value in described.values() if value))
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{keys:,} keys of {KEY_SIZE} B, values of {VALUE_SIZE} B; {repeat} interleaved turns")
    if described["file_system"] in machine.VOLATILE and any(each.sync for each in workloads):
        print("WARNING: a file system in memory: durable commits cost nothing here (see --dir)")
    print("median (min-max) per operation; the ratio is above 1 where cowtree is ahead\n")
    print(report.header(names), flush=True)
    results = {}
    status = 0
    with Runner(engines, Data.make(keys), repeat=repeat, folder=folder) as runner:
        for workload in workloads:
            try:
                result = runner.run(workload)
            except WrongAnswerError as error:
                print(f"WRONG ANSWER: {error}", flush=True)
                status = 1
                continue
            print(report.row(result, names), flush=True)
            results[workload.name] = report.summary(result)
    if arguments.json:
        document = {
            "format": 1,
            "machine": described,
            "versions": versions,
            "settings": settings,
            "results": results,
        }
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, ensure_ascii=False)
            file.write("\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="The same work on cowtree and on LMDB, in one run."
    )
    parser.add_argument(
        "--workload",
        action="append",
        choices=list(WORKLOADS),
        metavar="NAME",
        help="only this one; may be given again (--list names them)",
    )
    parser.add_argument(
        "--engine", action="append", choices=list(ENGINES), help="only this one; may be given again"
    )
    parser.add_argument("--keys", type=_positive, help="default 1,000,000, or 100,000 with --quick")
    parser.add_argument("--repeat", type=_positive, help="turns: default 5, or 3 with --quick")
    parser.add_argument("--dir", help="where the databases go (default: a folder on a disk)")
    parser.add_argument("--json", metavar="OUT", help="write the results there too")
    parser.add_argument("--quick", action="store_true", help="end within two minutes")
    parser.add_argument("--list", action="store_true", help="name the workloads and end")
    return parser


def _positive(text: str) -> int:
    number = int(text.replace("_", "").replace(",", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("not a positive number")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
