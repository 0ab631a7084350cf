"""Commands about the past: history, tag, diff."""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import cowtree
from cowtree.catalogue import check_tag_name
from cowtree.cli.display import decoder, escaped, shower
from cowtree.cli.failures import DONE, NOT_HELD, CommandError
from cowtree.cli.json_lines import Members, add_bytes, add_object, line_of
from cowtree.cli.opening import (
    JSON,
    KEY_AS,
    PATH,
    TIMEOUT,
    TREE,
    VALUE_AS,
    open_reading,
    open_writing,
    parse_at,
    snapshot_at,
)
from cowtree.cli.parser import argument, command, whole_number
from cowtree.cli.streams import complain, print_line, write
from cowtree.options import ALL

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
    """List the commits, the newest first: id, time, entries of all trees, pages written, tags, note.

    The fields of a line are separated by tabs. Each id, tag or time is an AT of other commands.
    """
    with open_reading(arguments.path) as db:
        commits = db.history(reverse=arguments.reverse)
        for commit in itertools.islice(commits, arguments.limit):
            if arguments.json:
                write(line_of(_commit_members(commit)))
            else:
                print_line("\t".join(_commit_fields(commit)))
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
    yield f"{commit.entries} entries"
    yield f"{commit.pages_written} pages"
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
    """List the tags, give a commit a name, or forget one. A tagged commit is kept.

    Without NAME: each tag, a tab, the id of its commit.
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
        known = arguments.name in db.tags()
        if arguments.delete:
            if not known:
                complain(f"there is no tag {arguments.name!r}")
                return NOT_HELD
            db.untag(arguments.name)
            return DONE
        if known and not arguments.move:
            raise CommandError(f"there is a tag {arguments.name!r} already: --move moves it")
        with snapshot_at(db, arguments.at) as snapshot:
            db.tag(arguments.name, snapshot, move=arguments.move)
    return DONE


def _list_tags(path: str, as_json: bool) -> int:
    with open_reading(path) as db:
        for name, commit_id in sorted(db.tags().items()):
            if as_json:
                write(line_of({"tag": name, "commit_id": commit_id}))
            else:
                print_line(f"{name}\t{commit_id}")
    return DONE


@command(
    "diff",
    PATH,
    argument("old", metavar="OLD", type=parse_at, help="a commit: id, tag, or time with offset"),
    argument("new", metavar="NEW", nargs="?", type=parse_at, help="default: the newest"),
    TREE,
    argument("--keys-only", action="store_true", help="without the values"),
    KEY_AS,
    VALUE_AS,
    JSON,
    examples="""
    cowtree diff people.cow before-import
    cowtree diff people.cow 17 18 --tree cities --json
    """,
)
def diff(arguments: argparse.Namespace) -> int:
    """Tell what changed from one commit to another, in all trees or in one. Status 1 if anything did.

    A line is + KEY, a tab, VALUE for an entry that was added, - for one that was removed, and ~ KEY, the old and the
    new value for one that changed; named trees stand in front of the key as [NAME]. --json: objects with "kind"
    (added, removed, changed), "key", "old", "new" and, for named trees, "tree".
    """
    found = False
    with open_reading(arguments.path) as db, ExitStack() as stack:
        old = stack.enter_context(snapshot_at(db, arguments.old))
        new = stack.enter_context(snapshot_at(db, arguments.new))
        changes = db.diff(
            old,
            new,
            tree=ALL if arguments.tree is None else arguments.tree,
            values=not arguments.keys_only,
        )
        tell = _json_teller(new, old) if arguments.json else _line_teller(new, old, arguments)
        for change in changes:
            found = True
            tell(change)
    return NOT_HELD if found else DONE


_Tell = Callable[[cowtree.Change[bytes, bytes]], None]
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _codecs(
    new: cowtree.Snapshot, old: cowtree.Snapshot
) -> Callable[[str | None], tuple[str, str]]:
    """What a tree records, asked for once: in the newer commit, or in the older one if it is gone there."""

    @functools.cache
    def recorded(name: str | None) -> tuple[str, str]:
        codecs = new.tree_codecs(name)
        return codecs if any(codecs) else old.tree_codecs(name)

    return recorded


def _line_teller(
    new: cowtree.Snapshot, old: cowtree.Snapshot, arguments: argparse.Namespace
) -> _Tell:
    recorded = _codecs(new, old)

    def tell(change: cowtree.Change[bytes, bytes]) -> None:
        key_codec, value_codec = recorded(change.tree)
        show_value = shower(value_codec, arguments.value_as)
        name = "" if change.tree is None else f"[{escaped(change.tree.encode())}] "
        fields = [f"{_SIGNS[change.kind]} {name}{shower(key_codec, arguments.key_as)(change.key)}"]
        fields += [show_value(value) for value in (change.old, change.new) if value is not None]
        print_line("\t".join(fields))

    return tell


def _json_teller(new: cowtree.Snapshot, old: cowtree.Snapshot) -> _Tell:
    recorded = _codecs(new, old)

    def tell(change: cowtree.Change[bytes, bytes]) -> None:
        key_codec, value_codec = recorded(change.tree)
        members: Members = {"kind": change.kind}
        if change.tree is not None:
            members["tree"] = change.tree
        for name, data, codec in (
            ("key", change.key, key_codec),
            ("old", change.old, value_codec),
            ("new", change.new, value_codec),
        ):
            if data is not None:
                add_bytes(members, name, data)
                add_object(members, name, data, decoder(codec))
        write(line_of(members))

    return tell
