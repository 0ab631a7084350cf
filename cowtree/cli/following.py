"""Commands that go on from a commit: watch, branch."""

from __future__ import annotations

import argparse

import cowtree
from cowtree.cli.change_lines import print_changes
from cowtree.cli.failures import DONE, NOT_HELD, CommandError
from cowtree.cli.opening import (
    AT,
    JSON,
    KEY_AS,
    PATH,
    VALUE_AS,
    open_reading,
    parse_at,
    seconds,
    snapshot_at,
    tree_name,
)
from cowtree.cli.parser import argument, command, whole_number
from cowtree.cli.progress import Progress
from cowtree.cli.streams import complain, flush_output, print_line

__all__ = ["branch", "watch"]


@command(
    "watch",
    PATH,
    argument(
        "--since",
        metavar="AT",
        type=parse_at,
        help="first what changed since this commit (default: the newest)",
    ),
    argument("--tree", metavar="NAME", type=tree_name, help="only this tree (default: every tree)"),
    argument("--keys-only", action="store_true", help="without the values"),
    argument(
        "--count",
        metavar="N",
        type=whole_number(1),
        help="end when so many times something was printed",
    ),
    argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        help="end when nothing was committed for so long; status 1",
    ),
    KEY_AS,
    VALUE_AS,
    JSON,
    examples="""
    cowtree watch people.cow
    cowtree watch people.cow --since before-import --json
    cowtree watch people.cow --tree cities --timeout 60
    """,
)
def watch(arguments: argparse.Namespace) -> int:
    """Print changes as they are committed, by whichever process; Ctrl-C ends it.

    A line says which commits the changes below it come from: one, or several that were made in the meantime. The rest
    looks as in `cowtree diff`. With --json each object has the newest of the commits as "commit": pass the last one as
    --since to go on from there.
    """
    printed = 0
    with open_reading(arguments.path) as db:
        old = snapshot_at(db, arguments.since)
        while arguments.count is None or printed < arguments.count:
            if db.wait(old.commit_id, arguments.timeout) is None:
                return NOT_HELD
            new = db.snapshot()
            printed += _print_between(db, old, new, arguments)
            flush_output()
            old.close()
            old = new
    return DONE


def _print_between(
    db: cowtree.Database,
    old: cowtree.Snapshot,
    new: cowtree.Snapshot,
    arguments: argparse.Namespace,
) -> bool:
    """Print what leads from one commit to another; was there anything of the tree that is asked for?"""
    tree = cowtree.ALL if arguments.tree is None else arguments.tree
    try:
        # One that changed nothing here is passed over.
        if next(db.diff(old, new, tree=tree, values=False), None) is None:
            return False
        changes = db.diff(old, new, tree=tree, values=not arguments.keys_only)
    except cowtree.SnapshotGoneError:
        complain(
            f"commit {old.commit_id} was compacted away: going on from {new.commit_id} (a tag would have held it)"
        )
        return False
    if not arguments.json:
        first, last = old.commit_id + 1, new.commit_id
        print_line(f"commit {last}:" if first == last else f"commits {first} to {last}:")
    return print_changes(changes, old, new, arguments, commit=new.commit_id)


@command(
    "branch",
    PATH,
    argument("target", metavar="TARGET", help="the file to write; it must not exist"),
    AT,
    examples="""
    cowtree branch people.cow what-if.cow
    cowtree branch people.cow what-if.cow --at before-import
    """,
)
def branch(arguments: argparse.Namespace) -> int:
    """Make an independent database that begins as a commit of this one.

    It has the past up to that commit, tags and settings, and goes its own way from there.
    """
    with (
        open_reading(arguments.path) as db,
        snapshot_at(db, arguments.at) as snapshot,
        Progress("copied") as progress,
    ):
        try:
            db.branch(
                arguments.target, at=None if arguments.at is None else snapshot, progress=progress
            )
        except FileExistsError:
            raise CommandError(
                f"{arguments.target}: exists already: remove it first, or choose another name"
            ) from None
    return DONE
