"""Commands: a function `(arguments) -> status` each, its arguments named in its decorator, its docstring the help.

A command imports what is heavy when it runs, and only the parser of the one that is asked for is built.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from cowtree.cli.failures import DONE, FAILED, INTERRUPTED, PIPE_CLOSED, one_line
from cowtree.cli.streams import complain, discard_output, flush_output

__all__ = [
    "Argument",
    "CommandForm",
    "argument",
    "command",
    "command_forms",
    "main",
    "whole_number",
]

Run = Callable[[argparse.Namespace], int]
_R = TypeVar("_R", bound=Run)


@dataclass(frozen=True, slots=True)
class Argument:
    """What `add_argument` takes."""

    names: tuple[str, ...]
    options: dict[str, Any]

    @property
    def takes_value(self) -> bool:
        """Is it an option that the next word belongs to?"""
        return self.names[0].startswith("-") and "action" not in self.options


@dataclass(frozen=True, slots=True)
class _Command:
    name: str
    run: Run
    arguments: tuple[Argument, ...]
    examples: str

    @property
    def description(self) -> str:
        return inspect.cleandoc(self.run.__doc__ or "")

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0].rstrip(".")


_COMMANDS: dict[str, _Command] = {}


def argument(*names: str, **options: Any) -> Argument:
    """An argument of a command, as `argparse` has them."""
    return Argument(names, options)


def command(name: str, *arguments: Argument, examples: str) -> Callable[[_R], _R]:
    """Register a function as a command. `examples`: shown below its help, one a line."""

    def register(run: _R) -> _R:
        _COMMANDS[name] = _Command(name, run, arguments, examples)
        return run

    return register


@dataclass(frozen=True, slots=True)
class CommandForm:
    """What a shell completes of a command."""

    name: str
    summary: str
    options: dict[str, str]
    """And what each is for."""
    with_value: frozenset[str]
    choices: dict[str, list[str]]
    """Of the options that have some."""


def command_forms() -> list[CommandForm]:
    """Of all commands, in the order of the help."""
    _load_commands()
    return [_form(_COMMANDS[name]) for name in _names()]


def _form(known: _Command) -> CommandForm:
    options = [each for each in known.arguments if each.names[0].startswith("--")]
    return CommandForm(
        known.name,
        known.summary,
        {each.names[0]: each.options.get("help", "") for each in options},
        frozenset(each.names[0] for each in options if each.takes_value),
        {
            each.names[0]: list(each.options["choices"])
            for each in options
            if "choices" in each.options
        },
    )


def whole_number(least: int) -> Callable[[str], int]:
    """The `type` of an argument that is a whole number from `least` on."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) < least:
            raise argparse.ArgumentTypeError(f"a whole number from {least} on, not {text!r}")
        return int(text)

    return parse


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command (default: the arguments of this process); its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(words)
        flush_output()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:  # nobody reads on (`cowtree ... | head`)
        status = PIPE_CLOSED
    except Exception as error:
        status = FAILED
        complain(one_line(error))
    try:
        flush_output()
    except (OSError, ValueError):  # the same once more, or told already
        discard_output()
    return status


def _run(words: list[str]) -> int:
    _load_commands()
    try:
        if words and words[0] in _COMMANDS:
            chosen = _COMMANDS[words[0]]
            parsed = _command_parser(chosen).parse_args(_options_first(words[1:], chosen))
            return chosen.run(parsed)
        _top_parser().parse_args(words)
    except SystemExit as end:  # argparse ends the process after --help, --version and usage errors
        return end.code if isinstance(end.code, int) else FAILED if end.code else DONE
    return FAILED


def _load_commands() -> None:
    """Importing the modules registers their commands, in the order of the help."""
    from cowtree.cli import (  # noqa: F401
        care,
        following,
        history,
        lmdb_copies,
        picture,
        reading,
        transfer,
        upkeep,
        writing,
    )


class _Parser(argparse.ArgumentParser):
    """Says a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        complain(f"{' '.join(message.split())} (see `{self.prog} --help`)")
        raise SystemExit(FAILED)


def _top_parser() -> argparse.ArgumentParser:
    import cowtree

    names = _names()
    width = max(map(len, names))
    listing = "\n".join(f"  {name:<{width}}  {_COMMANDS[name].summary}" for name in names)
    parser = _Parser(
        prog="cowtree",
        usage="cowtree COMMAND FILE ...",
        description="An embedded key-value database in one file.",
        epilog=f"commands:\n{listing}\n\n`cowtree COMMAND --help` tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cowtree {cowtree.__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=names, help=argparse.SUPPRESS)
    return parser


def _names() -> list[str]:
    return [*_ORDER, *(name for name in _COMMANDS if name not in _ORDER)]


# In the help; others follow.
_ORDER = (
    *("info", "get", "put", "del", "scan", "count", "load", "dump"),
    *("import-lmdb", "export-lmdb", "stats", "check", "salvage", "compact", "backup", "branch"),
    *("history", "tag", "diff", "watch", "map", "completion", "demo"),
)


def _command_parser(chosen: _Command) -> argparse.ArgumentParser:
    examples = "\n".join(f"  {line.strip()}" for line in chosen.examples.strip().splitlines())
    title = "examples" if "\n" in examples else "example"
    parser = _Parser(
        prog=f"cowtree {chosen.name}",
        description=chosen.description,
        epilog=f"{title}:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for known in chosen.arguments:
        parser.add_argument(*known.names, **known.options)
    return parser


def _options_first(words: list[str], chosen: _Command) -> list[str]:
    """The same arguments with the options in front, so that they may stand anywhere among the others.

    The word behind an option that takes a value belongs to it, whatever it begins with; behind `--` nothing is an
    option. A negative number and a lone - are no options either.
    """
    takes_value = {name: known.takes_value for known in chosen.arguments for name in known.names}
    options: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            others.extend(rest)
        elif takes_value.get(word):
            value = next(rest, None)
            options.append(word if value is None else f"{word}={value}")
        elif word.startswith("-") and word != "-" and not _is_negative(word):
            options.append(word)
        else:
            others.append(word)
    return [*options, "--", *others]


def _is_negative(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
