"""`python -m bench`: see README.md beside this file."""

from __future__ import annotations

import argparse

from bench.engines import available
from bench.runner import run
from bench.workloads import WORKLOADS


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--workload", action="append", choices=sorted(WORKLOADS), metavar="NAME")
    parser.add_argument("--engine", action="append", metavar="NAME", help="cowtree, lmdb")
    parser.add_argument("--keys", type=int, help="default 1,000,000 (100,000 with --quick)")
    parser.add_argument("--repeat", type=int, help="default 5 (3 with --quick)")
    parser.add_argument("--dir", help="where the databases go (default: the temporary directory)")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    parser.add_argument("--quick", action="store_true", help="ends within two minutes")
    parser.add_argument("--list", action="store_true", help="name the workloads")
    arguments = parser.parse_args()
    if arguments.list:
        for workload in WORKLOADS.values():
            print(f"{workload.name:<26} {workload.what}")
        return
    run(
        [WORKLOADS[name] for name in arguments.workload or WORKLOADS],
        available(arguments.engine),
        keys=arguments.keys or (100_000 if arguments.quick else 1_000_000),
        repeat=arguments.repeat or (3 if arguments.quick else 5),
        folder=arguments.dir,
        output=arguments.json,
    )


main()
