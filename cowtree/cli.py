"""The command line. Status: 0 done, 1 something did not hold, 2 error or usage; errors in one line.

A command is a function `(arguments) -> status` under `@_command`, with its arguments named in the decorator. It
imports what it needs when it runs, so that `cowtree --version` stays quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["main"]

DONE, NOT_HELD, FAILED = 0, 1, 2

_Run = Callable[[argparse.Namespace], int]


@dataclasses.dataclass(frozen=True, slots=True)
class _Command:
    name: str
    run: _Run
    arguments: tuple[_Argument, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Argument:
    names: tuple[str, ...]
    options: dict[str, Any]


_COMMANDS: list[_Command] = []


def main(argv: list[str] | None = None) -> int:
    """Run a command (default: the arguments of this process); its exit status."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as end:  # argparse ends the process after --help, --version and usage errors
        return end.code if isinstance(end.code, int) else FAILED
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Nobody reads on (`cowtree ... | head`). The interpreter flushes once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        print(f"cowtree: {_one_line(error)}", file=sys.stderr)
        return FAILED
    return status


def _command(*arguments: _Argument) -> Callable[[_Run], _Run]:
    """Register a function as the command of its name; its docstring is the help."""

    def register(run: _Run) -> _Run:
        _COMMANDS.append(_Command(run.__name__.strip("_").replace("_", "-"), run, arguments))
        return run

    return register


def _argument(*names: str, **options: Any) -> _Argument:
    return _Argument(names, options)


_FILE = _argument("file", metavar="FILE", help="the database")
_JSON = _argument("--json", action="store_true", help="as one JSON object")


@_command(
    _argument("directory", nargs="?", metavar="DIR", help="default: Python's standard library")
)
def _demo(arguments: argparse.Namespace) -> int:
    """Store a directory tree, read it from threads meanwhile, kill a writer."""
    from cowtree.demo import run

    return run(arguments.directory)


@_command(_FILE)
def _check(arguments: argparse.Namespace) -> int:
    """Verify every page of a database."""
    import cowtree

    try:
        with cowtree.open(arguments.file, readonly=True) as db:
            report = db.check()
    except cowtree.CorruptionError as error:
        # Too damaged to open: that is what was asked, not a failure of the command.
        print(_one_line(error))
        print("DAMAGED: it cannot be opened")
        return NOT_HELD
    for problem in report.problems:
        print(problem)
    print(
        f"{'sound' if report.ok else 'DAMAGED'}: commit {report.commit_id}, "
        f"{report.entries} entries, {report.pages} pages verified"
    )
    return DONE if report.ok else NOT_HELD


@_command(_FILE, _JSON)
def _info(arguments: argparse.Namespace) -> int:
    """Show numbers about a database; sizes in bytes."""
    import cowtree

    with cowtree.open(arguments.file, readonly=True) as db:
        stats = dataclasses.asdict(db.stats())
    if arguments.json:
        print(json.dumps(stats))
        return DONE
    width = max(len(name) for name in stats)
    for name, value in stats.items():
        print(f"{name.replace('_', ' '):<{width}}  {value}")
    return DONE


class _Parser(argparse.ArgumentParser):
    """Says a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"cowtree: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    import cowtree

    parser = _Parser(prog="cowtree", description="An embedded key-value database in one file.")
    parser.add_argument("--version", action="version", version=f"cowtree {cowtree.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        what = (command.run.__doc__ or "").partition("\n")[0].rstrip(".")
        entry = commands.add_parser(command.name, help=what, description=what + ".")
        for argument in command.arguments:
            entry.add_argument(*argument.names, **argument.options)
        entry.set_defaults(run=command.run)
    return parser


def _one_line(error: Exception) -> str:
    """What went wrong, without line breaks; the path first where the system names one."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{os.fspath(error.filename)}: {error.strerror}"
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())
