"""Commands about the past: history, tag, diff."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import cowtree
from cowtree.catalogue import check_tag_name
from cowtree.cli.change_lines import print_changes
from cowtree.cli.display import entries_text, escaped
from cowtree.cli.failures import DONE, NOT_HELD, CommandError
from cowtree.cli.json_lines import Members, add_bytes, line_of
from cowtree.cli.opening import (
    JSON,
    KEY_AS,
    PATH,
    TIMEOUT,
    VALUE_AS,
    open_reading,
    open_writing,
    parse_at,
    snapshot_at,
    tree_name,
)
from cowtree.cli.parser import argument, command, whole_number
from cowtree.cli.streams import complain, write
from cowtree.cli.tables import print_rows

__all__ = ["diff", "history", "tag"]


@command(
    "history",
    PATH,
    argument("--limit", metavar="N", type=whole_number(0), help="at most so many commits"),
    argument(
        "--forward", action="store_false", dest="reverse", default=True, help="the oldest first"
    ),
    argument("--reverse", action="store_true", help="the newest first (the default)"),
    JSON,
    examples="""
    cowtree history people.cow --limit 10
    cowtree history people.cow --forward --json
    """,
)
def history(arguments: argparse.Namespace) -> int:
    """List the commits, the newest first.

    A line is id, time, entries of all trees, pages written, tags, note, separated by tabs. Each id, tag or time is an
    AT of other commands.
    """
    with open_reading(arguments.path) as db:
        commits = db.history(reverse=arguments.reverse)
        chosen = itertools.islice(commits, arguments.limit)
        if arguments.json:
            for commit in chosen:
                write(line_of(_commit_members(commit)))
        else:
            print_rows(
                ["id", "time", "entries", "written", "tags", "note"],
                ([*_commit_fields(commit)] for commit in chosen),
            )
    return DONE


def _commit_members(commit: cowtree.Commit) -> Members:
    members: Members = {"id": commit.id, "time": commit.time.isoformat()}
    add_bytes(members, "note", commit.note)
    members |= {
        "entries": commit.entries,
        "pages_written": commit.pages_written,
        "tags": list(commit.tags),
    }
    return members


def _commit_fields(commit: cowtree.Commit) -> Iterator[str]:
    yield str(commit.id)
    yield commit.time.isoformat(timespec="microseconds")
    yield entries_text(commit.entries)
    yield f"{commit.pages_written:,} pages"
    yield ",".join(commit.tags)
    yield escaped(commit.note)


@command(
    "tag",
    PATH,
    argument(
        "name", metavar="NAME", nargs="?", help="a letter or _, then letters, digits, _ . / : -"
    ),
    argument("at", metavar="AT", nargs="?", type=parse_at, help="a commit (default: the newest)"),
    argument("--move", action="store_true", help="let a tag that exists point there instead"),
    argument("--delete", action="store_true", help="forget the tag; status 1 if there is none"),
    TIMEOUT,
    JSON,
    examples="""
    cowtree tag people.cow
    cowtree tag people.cow before-import
    cowtree tag people.cow monday 2026-07-06T00:00:00+02:00 --move
    cowtree tag people.cow --delete before-import
    """,
)
def tag(arguments: argparse.Namespace) -> int:
    """List the tags, give a commit a name, or forget one.

    A tagged commit is kept as long as its tag. Without NAME: each tag, a tab, the id of its commit.
    """
    if arguments.name is None:
        if arguments.delete or arguments.move:
            raise CommandError("which tag? --delete and --move need a NAME")
        return _list_tags(arguments.path, arguments.json)
    if arguments.delete and (arguments.move or arguments.at is not None):
        raise CommandError("--delete takes the NAME alone")
    try:
        check_tag_name(arguments.name)
    except ValueError as error:
        raise CommandError(str(error)) from None
    with open_writing(arguments.path, timeout=arguments.timeout) as db:
        return _untag(db, arguments.name) if arguments.delete else _tag(db, arguments)


def _list_tags(path: str, as_json: bool) -> int:
    with open_reading(path) as db:
        tags = sorted(db.tags().items())
        if as_json:
            for name, commit_id in tags:
                write(line_of({"tag": name, "commit": commit_id}))
        else:
            print_rows(["tag", "commit"], ([name, str(commit_id)] for name, commit_id in tags))
    return DONE


def _tag(db: cowtree.Database, arguments: argparse.Namespace) -> int:
    with snapshot_at(db, arguments.at) as snapshot:
        try:
            db.tag(arguments.name, snapshot, move=arguments.move)
        except ValueError as error:
            if arguments.move:
                raise
            raise CommandError(
                f"there is a tag {arguments.name!r} already: --move moves it"
            ) from error
    return DONE


def _untag(db: cowtree.Database, name: str) -> int:
    try:
        db.untag(name)
    except KeyError:
        complain(f"there is no tag {name!r} (`cowtree tag {db.path}` lists the tags)")
        return NOT_HELD
    return DONE


@command(
    "diff",
    PATH,
    argument("old", metavar="OLD", type=parse_at, help="a commit: its id, a tag, or a time"),
    argument(
        "new", metavar="NEW", nargs="?", type=parse_at, help="another one (default: the newest)"
    ),
    argument("--tree", metavar="NAME", type=tree_name, help="only this tree (default: every tree)"),
    argument("--keys-only", action="store_true", help="without the values"),
    KEY_AS,
    VALUE_AS,
    JSON,
    examples="""
    cowtree diff people.cow before-import
    cowtree diff people.cow 17 18 --json
    """,
)
def diff(arguments: argparse.Namespace) -> int:
    """Show what leads from one commit to another.

    Status 1 if there is a difference, 0 if there is none.

    A line is a sign, a space, the key, a tab, the value: + for an entry that was added, - for one that was removed,
    ~ for one that was changed, with the old value, a tab, the new one. The changes of a named tree stand below a line
    "tree NAME:". Keys and values look as in `cowtree scan`.
    """
    with (
        open_reading(arguments.path) as db,
        snapshot_at(db, arguments.old) as old,
        snapshot_at(db, arguments.new) as new,
    ):
        name = arguments.tree
        if name is not None and name not in old.trees() and name not in new.trees():
            raise CommandError(
                f"neither commit has a tree {name!r} (`cowtree info` lists the trees)"
            )
        changes = db.diff(
            old,
            new,
            tree=cowtree.ALL if name is None else name,
            values=not arguments.keys_only,
        )
        differs = print_changes(changes, old, new, arguments)
    return NOT_HELD if differs else DONE
