"""Commands about a database as a whole: info, check, backup, demo."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import cowtree
from cowtree.cli.display import entries_text, escaped, human_size
from cowtree.cli.failures import DONE, NOT_HELD, CommandError
from cowtree.cli.json_lines import Members, add_bytes, line_of
from cowtree.cli.opening import AT, PATH, open_reading, snapshot_at
from cowtree.cli.parser import argument, command
from cowtree.cli.progress import Progress
from cowtree.cli.streams import print_line, write
from cowtree.cli.tables import print_rows

__all__ = ["backup", "check", "demo", "info", "salvage"]

_AS_ONE_OBJECT = argument("--json", action="store_true", help="as one JSON object, sizes in bytes")


@command(
    "info",
    PATH,
    _AS_ONE_OBJECT,
    examples="""
    cowtree info people.cow
    cowtree info people.cow --json
    """,
)
def info(arguments: argparse.Namespace) -> int:
    """Show what a database holds: newest commit, sizes, trees, tags.

    "live" is what the newest commit needs, "garbage" what only older commits need. With --json: the numbers of
    `Database.stats`, and "path", "time", "tree_details", "tags".
    """
    with open_reading(arguments.path) as db, db.snapshot() as snapshot:
        stats: dict[str, Any] = dataclasses.asdict(db.stats())
        stats["snapshots"] -= 1  # the one of this command
        details = [_tree_details(snapshot, name) for name in (None, *snapshot.trees())]
        members: Members = {"path": db.path, "time": snapshot.time.isoformat(), **stats}
        members |= {"tree_details": details, "tags": db.tags()}
    if arguments.json:
        write(line_of(members))
        return DONE
    print_rows(["", ""], _info_rows(members), lambda row: f"{row[0]:<10} {row[1]}".rstrip())
    return DONE


def _tree_details(snapshot: cowtree.Snapshot, name: str | None) -> Members:
    codecs = snapshot.tree_codecs(name)
    return {
        "name": name,
        "entries": len(snapshot.tree(name)),
        "codecs": [codec or None for codec in codecs],
    }


def _info_rows(members: Members) -> list[tuple[str, str]]:
    """(title, text) of each line."""
    sizes = {kind: human_size(members[f"{kind}_bytes"]) for kind in ("file", "live", "garbage")}
    share = members["garbage_bytes"] / max(1, members["garbage_bytes"] + members["live_bytes"])
    rows = [
        ("file", f"{_printable(members['path'])}, {sizes['file']}"),
        ("commit", f"{members['commit_id']} of {members['time']}"),
        ("live", sizes["live"]),
        ("garbage", f"{sizes['garbage']} ({share:.0%})"),
        ("page size", human_size(members["page_size"])),
        ("entries", f"{members['entries']:,}"),
    ]
    for i, tree in enumerate(members["tree_details"]):
        name = "(default)" if tree["name"] is None else _printable(tree["name"])
        codecs = ", ".join(
            f"{what} {_printable(codec)}"
            for what, codec in zip(("keys", "values"), tree["codecs"], strict=True)
            if codec is not None
        )
        text = f"{name}: {entries_text(tree['entries'])}{codecs and ', '}{codecs}"
        rows.append(("" if i else "trees", text))
    for i, (name, commit_id) in enumerate(sorted(members["tags"].items())):
        rows.append(("" if i else "tags", f"{name} -> {commit_id}"))
    if members["rolled_back"]:
        rows.append(("dropped", f"{members['rolled_back']} unfinished commits, at opening"))
    return rows


def _printable(text: str) -> str:
    return escaped(text.encode("utf-8", "surrogateescape"))


@command(
    "check",
    PATH,
    _AS_ONE_OBJECT,
    examples="""
    cowtree check people.cow
    """,
)
def check(arguments: argparse.Namespace) -> int:
    """Verify every page of a database.

    The problems are listed; status 1 if there are any.
    """
    report: Members
    try:
        with open_reading(arguments.path) as db, Progress("checked") as progress:
            report = dataclasses.asdict(db.check(progress=progress))
    except cowtree.CorruptionError as error:
        # Too damaged to open: that is what was asked, not a failure of the command.
        report = {"ok": False, "problems": [str(error)], "commit_id": None}
        verdict = "DAMAGED: it cannot be opened"
    else:
        verdict = (
            f"{'sound' if report['ok'] else 'DAMAGED'}: commit {report['commit_id']}, "
            f"{entries_text(report['entries'])}, {report['pages']:,} pages verified"
        )
    if arguments.json:
        write(line_of({**report, "problems": list(report["problems"])}))
    else:
        for problem in report["problems"]:
            print_line(_printable(problem))
        print_line(verdict)
    return DONE if report["ok"] else NOT_HELD


@command(
    "backup",
    PATH,
    argument("target", metavar="TARGET", help="the file to write; it must not exist"),
    AT,
    argument(
        "--incremental", action="store_true", help="bring an earlier backup at TARGET up to date"
    ),
    examples="""
    cowtree backup people.cow /backup/people-monday.cow
    cowtree backup people.cow before.cow --at before-import
    cowtree backup people.cow /backup/people.cow --incremental
    """,
)
def backup(arguments: argparse.Namespace) -> int:
    """Copy a database into a new file, while others may read and write it.

    With --incremental a backup that was made before is brought up to date, by what has changed since: all of it, or,
    whatever happens, nothing. Where there is none yet, a whole one is made. Hold a tag on the commit of the last backup
    if the database is compacted in between.
    """
    with (
        open_reading(arguments.path) as db,
        snapshot_at(db, arguments.at) as snapshot,
        Progress("copied") as progress,
    ):
        at = None if arguments.at is None else snapshot
        try:
            db.backup(arguments.target, at=at, incremental=arguments.incremental, progress=progress)
        except FileExistsError:
            raise CommandError(
                f"{arguments.target}: exists already: remove it first, choose another name, or say --incremental"
            ) from None
        except (ValueError, cowtree.SnapshotGoneError) as error:
            raise CommandError(str(error)) from None
    return DONE


@command(
    "salvage",
    PATH,
    argument("target", metavar="TARGET", help="the file to write; it must not exist"),
    argument("--json", action="store_true", help="what was lost, as one JSON object"),
    examples="""
    cowtree salvage damaged.cow rescued.cow
    """,
)
def salvage(arguments: argparse.Namespace) -> int:
    """Take what still verifies out of a damaged file, into a new one. The damaged file is only read.

    The newest commit that can be read is written, tree by tree. Where pages of it are damaged, the keys that were there
    come from older commits, if those have them: each such range is listed, since what it holds may be out of date.
    Entries of pages that nothing leads to any more go to a tree of their own, "lost+found". Status 1 unless the newest
    commit is there as a whole. History, tags and settings are not taken.
    """
    from cowtree.rescue import salvage as take_out

    try:
        with Progress("read") as progress:
            report = take_out(arguments.path, arguments.target, progress=progress)
    except FileExistsError:
        raise CommandError(
            f"{arguments.target}: exists already: remove it first, or choose another name"
        ) from None
    losses = [_loss_members(loss) for loss in report.losses]
    if arguments.json:
        members = {**dataclasses.asdict(report), "losses": losses}
        write(line_of(members))
    else:
        for loss in losses:
            print_line(_loss_text(loss))
        if report.newer_lost:
            print_line("a newer commit, finished or not, has lost its own page")
        if report.lost_and_found:
            print_line(
                f"{entries_text(report.lost_and_found)} in pages that nothing leads to: lost+found"
            )
        newest = "no commit" if report.commit_id is None else f"commit {report.commit_id}"
        print_line(f"{newest}: {entries_text(report.entries)} written")
    return DONE if report.whole else NOT_HELD


def _loss_members(loss: Any) -> Members:
    members: Members = {"tree": loss.tree, "catalogue": loss.catalogue}
    for name, key in (("start", loss.start), ("stop", loss.stop)):
        if key is not None:
            add_bytes(members, name, key)
    return members | {
        "page": loss.page,
        "entries": loss.entries,
        "found": loss.found,
        "commit": loss.commit_id,
    }


def _loss_text(loss: Members) -> str:
    tree = "the default tree" if loss["tree"] is None else f"tree {_printable(loss['tree'])}"
    if loss["catalogue"]:
        tree = "the list of trees"
    ends = [
        _printable(loss[name]) if name in loss else loss.get(f"{name}_base64", "")
        for name in ("start", "stop")
    ]
    older = "none found"
    if loss["found"]:
        older = f"{loss['found']:,} found in older commits, up to commit {loss['commit']}"
    return (
        f"page {loss['page']}: {entries_text(loss['entries'])} of {tree} "
        f"from '{ends[0]}' to '{ends[1]}' lost, {older}"
    )


@command(
    "demo",
    argument("directory", nargs="?", metavar="DIR", help="default: Python's standard library"),
    examples="""
    cowtree demo
    cowtree demo ~/src
    """,
)
def demo(arguments: argparse.Namespace) -> int:
    """Store a directory tree, read it from threads meanwhile, kill a writer."""
    from cowtree.demo import run

    return run(arguments.directory)
