"""The command line. Status: 0 done, 1 something did not hold, 2 error or usage; errors in one line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        print(f"cowtree: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    import cowtree

    parser = argparse.ArgumentParser(
        prog="cowtree", description="An embedded key-value database in one file."
    )
    parser.add_argument("--version", action="version", version=f"cowtree {cowtree.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="store a directory tree, read it from threads, crash")
    demo.add_argument(
        "directory", nargs="?", help="what to store (default: Python's standard library)"
    )
    demo.set_defaults(run=_demo)

    check = commands.add_parser("check", help="verify every page of a database")
    check.add_argument("file")
    check.set_defaults(run=_check)

    info = commands.add_parser("info", help="show numbers about a database")
    info.add_argument("file")
    info.add_argument("--json", action="store_true", help="as one JSON object")
    info.set_defaults(run=_info)
    return parser


def _demo(arguments: argparse.Namespace) -> int:
    from cowtree.demo import run

    return run(arguments.directory)


def _check(arguments: argparse.Namespace) -> int:
    import cowtree

    with cowtree.open(arguments.file, readonly=True) as db:
        report = db.check()
    for problem in report.problems:
        print(problem)
    verdict = "sound" if report.ok else "DAMAGED"
    print(
        f"{verdict}: commit {report.commit_id}, {report.entries} entries, {report.pages} pages verified"
    )
    return 0 if report.ok else 1


def _info(arguments: argparse.Namespace) -> int:
    import cowtree

    with cowtree.open(arguments.file, readonly=True) as db:
        stats = dataclasses.asdict(db.stats())
    if arguments.json:
        print(json.dumps(stats))
        return 0
    for name, value in stats.items():
        print(f"{name.replace('_', ' '):<14} {value}")
    return 0
