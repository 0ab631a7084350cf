"""Commands for those who run a database: compact, stats, completion."""

from __future__ import annotations

import argparse
import dataclasses

from cowtree.cli.display import human_size
from cowtree.cli.failures import DONE, CommandError
from cowtree.cli.json_lines import Members, line_of
from cowtree.cli.metrics import openmetrics
from cowtree.cli.opening import PATH, TIMEOUT, open_reading, open_writing
from cowtree.cli.parser import argument, command
from cowtree.cli.progress import Progress
from cowtree.cli.streams import print_line, write
from cowtree.cli.tables import print_rows

__all__ = ["compact", "completion", "stats"]


@command(
    "compact",
    PATH,
    TIMEOUT,
    argument("--json", action="store_true", help="as one JSON object, sizes in bytes"),
    examples="""
    cowtree compact people.cow
    """,
)
def compact(arguments: argparse.Namespace) -> int:
    """Give back the disk that the past takes, now.

    Kept are the newest commit, tagged commits, and what the file is set to keep (`Database.configure(history=...)`).
    Others may read and write meanwhile, and turn to the new file by themselves. It needs room for the new file beside
    the old one.
    """
    with (
        open_writing(arguments.path, timeout=arguments.timeout) as db,
        Progress("compacted") as progress,
    ):
        before = db.stats().file_bytes
        db.compact(progress=progress)
        after = db.stats().file_bytes
    if arguments.json:
        write(line_of({"before_bytes": before, "after_bytes": after}))
    else:
        print_line(f"{human_size(before)} -> {human_size(after)}")
    return DONE


@command(
    "stats",
    PATH,
    argument(
        "--deep", action="store_true", help="walk the newest commit, for pages and their fill"
    ),
    argument("--json", action="store_true", help="as one JSON object"),
    argument(
        "--openmetrics",
        action="store_true",
        help="as OpenMetrics text, for Prometheus and its like",
    ),
    examples="""
    cowtree stats people.cow
    cowtree stats people.cow --openmetrics > /var/lib/node_exporter/people.prom
    """,
)
def stats(arguments: argparse.Namespace) -> int:
    """Show the numbers of `Database.stats`: sizes in bytes, by their names there."""
    if arguments.json and arguments.openmetrics:
        raise CommandError("--json and --openmetrics say two things: leave one out")
    with open_reading(arguments.path) as db:
        numbers = db.stats(deep=arguments.deep)
        if arguments.openmetrics:
            write(openmetrics(db.path, numbers, db.settings).encode("utf-8", "backslashreplace"))
            return DONE
    members: Members = {
        name: value for name, value in dataclasses.asdict(numbers).items() if value is not None
    }
    if arguments.json:
        write(line_of(members))
    else:
        print_rows(["", ""], ([name, _text(value)] for name, value in members.items()))
    return DONE


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@command(
    "completion",
    argument("shell", metavar="SHELL", choices=["bash", "zsh", "fish"], help="bash, zsh or fish"),
    examples="""
    eval "$(cowtree completion bash)"         in ~/.bashrc
    eval "$(cowtree completion zsh)"          in ~/.zshrc, behind compinit
    cowtree completion fish | source          in ~/.config/fish/config.fish
    """,
)
def completion(arguments: argparse.Namespace) -> int:
    """Print what makes a shell complete commands, options and file names."""
    from cowtree.cli.completion import script

    write(script(arguments.shell).encode())
    return DONE
