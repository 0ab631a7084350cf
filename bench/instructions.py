"""`python -m bench instructions WORKLOAD`: instructions per operation, where times are too noisy. Needs valgrind.

Each engine runs under callgrind twice, alike but for one more run of the measured loop; the difference of the totals is
that run. A workload over a shared database, which only reads, is compared with itself run once before, so that what
only the first touch costs is not in it; others with no run at all.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

from bench import machine, options
from bench import workloads as workloads  # registers them
from bench.engines import Engine
from bench.workload import WORKLOADS, Fixture, Workload

__all__ = ["add_arguments", "instructions_per_operation", "main"]

_COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")
_OPERATIONS = re.compile(r"operations (\d+)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "workload", metavar="WORKLOAD", choices=list(WORKLOADS), nargs="+", help="(see --list)"
    )
    options.add_engines(parser)
    parser.add_argument("--keys", type=options.positive, default=10_000, help="default: 10,000")
    options.add_folder(parser)
    parser.add_argument("--json", metavar="OUT", help="write the counts there too")


def main(arguments: argparse.Namespace) -> int:
    """Print the instructions of each engine and the ratio; 2 without valgrind."""
    if shutil.which("valgrind") is None:
        print("instruction counts need valgrind, which is not here")
        return 2
    engines = options.chosen_engines(arguments)
    folder = machine.choose_folder(arguments.dir)
    print(f"instructions per operation, {arguments.keys:,} keys")
    results: dict[str, object] = {}
    for name in arguments.workload:
        workload = WORKLOADS[name]
        counts = {
            engine.name: instructions_per_operation(workload, engine, arguments.keys, folder)
            for engine in engines
            if workload.needs <= engine.features
        }
        told = [f"{engine} {count:,.0f}" for engine, count in counts.items()]
        if "lmdb" in counts and counts.get("cowtree"):
            told.append(f"lmdb : cowtree {counts['lmdb'] / counts['cowtree']:.2f}")
        print(f"{name:<26} {'   '.join(told)}", flush=True)
        results[name] = counts
    if arguments.json:
        document = options.document(engines, folder, {"keys": arguments.keys})
        options.write_json(arguments.json, {**document, "instructions": results})
    return 0


def instructions_per_operation(workload: Workload, engine: Engine, keys: int, folder: str) -> float:
    """Of the measured loop alone. Raises RuntimeError if a run fails."""
    before = 1 if workload.fixture is Fixture.SHARED else 0
    few, _ = _count(workload, engine, keys, before, folder)
    many, operations = _count(workload, engine, keys, before + 1, folder)
    return (many - few) / operations


def _count(
    workload: Workload, engine: Engine, keys: int, runs: int, folder: str
) -> tuple[int, int]:
    """Instructions of a whole process that runs the loop so many times; and the operations of one."""
    # No path depends on the run: its length would change how many instructions Python takes.
    with tempfile.TemporaryDirectory(prefix="cowtree-bench-", dir=folder) as place:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={os.path.join(place, 'callgrind.out')}",
            sys.executable,
            "-m",
            "bench.instructions_child",
            workload.name,
            engine.name,
            str(keys),
            str(runs),
            place,
        ]
        environment = {
            **os.environ,
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    collected = _COLLECTED.search(done.stderr)
    operations = _OPERATIONS.search(done.stdout)
    if done.returncode or collected is None or operations is None:
        raise RuntimeError(f"{workload.name}, {engine.name}: the run failed\n{done.stderr[-2000:]}")
    return int(collected[1]), int(operations[1])
