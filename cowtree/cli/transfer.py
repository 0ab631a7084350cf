"""Commands that move many entries: load, dump."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import cowtree
from cowtree.cli.csv_lines import Unread
from cowtree.cli.failures import DONE, NOT_HELD, CommandError
from cowtree.cli.formats import FORMATS
from cowtree.cli.json_lines import Entry
from cowtree.cli.loading import Loader, Step
from cowtree.cli.notations import encode_to_store
from cowtree.cli.opening import (
    AT,
    KEY_AS,
    PATH,
    TIMEOUT,
    VALUE_AS,
    Source,
    open_snapshot,
    open_writing,
    tree_name,
    tree_title,
)
from cowtree.cli.parser import argument, command, whole_number
from cowtree.cli.progress import Progress
from cowtree.cli.streams import input_stream, output_stream

__all__ = ["dump", "load"]


@command(
    "dump",
    PATH,
    argument(
        "file", metavar="TARGET", nargs="?", help="a new file (default, and -: standard output)"
    ),
    argument("--tree", metavar="NAME", type=tree_name, help="only this tree (default: every tree)"),
    AT,
    argument(
        "--format",
        choices=sorted(FORMATS),
        default="json",
        help="JSON lines (the default), comma-separated values, or what db_load and mdb_load read",
    ),
    argument("--json", action="store_true", help="JSON lines, which is what it writes anyway"),
    KEY_AS,
    VALUE_AS,
    examples="""
    cowtree dump people.cow people.jsonl
    cowtree dump people.cow --at before-import | cowtree load --json copy.cow
    cowtree dump people.cow people.csv --format csv --value-as hex
    cowtree dump people.cow --format mdb-dump | mdb_load people.lmdb
    """,
)
def dump(arguments: argparse.Namespace) -> int:
    """Write the entries of a commit, in a format that `cowtree load` reads back.

    JSON lines lose nothing: a line is {"key": ..., "value": ...}; bytes that are not UTF-8 are "key_base64" and
    "value_base64". Entries of named trees have a "tree" as well. In front of the entries of a typed tree stands a line
    with the names of its codecs: {"tree": ..., "codecs": [of keys, of values]}.

    csv has a first line that names the columns; --key-as and --value-as (hex, base64, ...) are for it. db-dump is the
    text of Berkeley DB's db_dump, mdb-dump the same for LMDB's mdb_load; both hold the bytes, and no codecs. The past,
    its tags and settings are written by `cowtree backup`.
    """
    if arguments.json and arguments.format != "json":
        raise CommandError("--json and --format say two things: leave one out")
    if arguments.format != "csv" and (arguments.key_as or arguments.value_as):
        raise CommandError(
            "--key-as and --value-as are for --format csv; the others hold every byte"
        )
    with (
        open_snapshot(arguments.path, arguments.at) as (db, snapshot),
        output_stream(arguments.file) as stream,
        Progress("dumped") as progress,
    ):
        names = [None, *snapshot.trees()] if arguments.tree is None else [arguments.tree]
        sources = [Source(snapshot, name, arguments.key_as, arguments.value_as) for name in names]
        total = sum(len(source.tree) for source in sources)
        for done, line in enumerate(
            FORMATS[arguments.format].write(sources, db.stats().file_bytes)
        ):
            stream.write(line)
            progress.entries(done, total)
        missing = [source.complain_if_missing() for source in sources]
    return NOT_HELD if any(missing) else DONE


@command(
    "load",
    PATH,
    argument("file", metavar="SOURCE", nargs="?", help="default, and -: standard input"),
    argument(
        "--format",
        choices=["text", *sorted(FORMATS)],
        help="lines of text (the default), or what `dump` writes",
    ),
    argument("--json", action="store_true", help="short for --format json"),
    argument(
        "--tree",
        metavar="NAME",
        type=tree_name,
        help="store into this tree (default: the default tree, or the one that an entry names)",
    ),
    argument(
        "--batch",
        metavar="N",
        type=whole_number(1),
        help="commit every N entries (default: one commit, all or nothing)",
    ),
    KEY_AS,
    VALUE_AS,
    TIMEOUT,
    examples=r"""
    cowtree load --json copy.cow people.jsonl
    printf 'ada\t1815\ngrace\t1906\n' | cowtree load people.cow
    cowtree scan a.cow --key-as hex --value-as hex | cowtree load b.cow --key-as hex --value-as hex
    cowtree load people.cow people.csv --format csv
    mdb_dump -a people.lmdb | cowtree load people.cow --format mdb-dump
    """,
)
def load(arguments: argparse.Namespace) -> int:
    """Store many entries; creates the file if there is none.

    Keys that are there already get the new value. A line that is none, or cannot be stored, ends it: nothing is stored
    then, or what whole batches before it held.

    A line of text is KEY, a tab, VALUE, each read as `put` reads its arguments: the value goes to the end of the line,
    and nothing in it is unescaped. Give --key-as and --value-as (hex, base64) for bytes that do not fit.

    JSON: a line is one object with "key" or "key_base64", "value" or "value_base64", and perhaps "tree"; or {"tree":
    ..., "codecs": [...]}, which makes a tree record codecs. csv: a first line names the columns (key, value, tree;
    key_hex, value_base64, ...). db-dump, mdb-dump: what db_dump and mdb_dump write, either notation; a database with
    several values for a key becomes a tree of tuples (key, value). --tree takes the entries of one tree to another.
    """
    kind = arguments.format or ("json" if arguments.json else "text")
    if arguments.json and kind != "json":
        raise CommandError("--json and --format say two things: leave one out")
    if kind not in ("text", "csv") and (arguments.key_as or arguments.value_as):
        raise CommandError(f"--key-as and --value-as are for lines of text; {kind} says it itself")
    with input_stream(arguments.file) as stream:
        lines = _Lines(stream)
        read = _split(lines) if kind == "text" else FORMATS[kind].read(lines)
        # A first line that is none creates no file.
        steps = _peeked(lines.located(_into(read, arguments.tree)))
        with (
            open_writing(arguments.path, create=True, timeout=arguments.timeout) as db,
            Progress("loaded") as progress,
        ):
            Loader(db, progress, batch=arguments.batch, where=lines.place).run(
                lines.located(_encoded(steps, db, arguments))
            )
    return DONE


class _Lines:
    """The lines of a stream without their ends, counted."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.number = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            self.number += 1
            yield line.removesuffix(b"\n")

    def place(self) -> str:
        """Where it is, in a message."""
        return f"line {self.number}"

    def located(self, records: Iterable[Any]) -> Iterator[Any]:
        """Pass on what was read from the lines; a CommandError on the way tells the line."""
        try:
            yield from records
        except _LineError:
            raise
        except CommandError as error:
            raise _LineError(f"{self.place()}: {error}") from None


class _LineError(CommandError):
    """One that names its line."""


def _peeked(records: Iterator[Any]) -> Iterator[Any]:
    """The same, the first one read already."""
    return itertools.chain(list(itertools.islice(records, 1)), records)


def _into(steps: Iterable[Step], tree: str | None) -> Iterator[Step]:
    """The same for another tree, unless it is None; they have to be of one."""
    source: str | None = None
    for i, step in enumerate(steps):
        if tree is None:
            yield step
            continue
        if i == 0:
            source = step.tree
        elif step.tree != source:
            raise CommandError(
                f"of {tree_title(step.tree)}, the lines before of {tree_title(source)}: --tree takes one tree"
            )
        yield step._replace(tree=tree)


def _split(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The fields of lines of text."""
    for line in lines:
        key, tab, value = line.partition(b"\t")
        if not tab:
            hint = "; for JSON lines say --json" if line.startswith(b"{") else ""
            raise CommandError(f"no tab between key and value{hint}")
        yield Entry(None, Unread(key), Unread(value))


def _encoded(
    steps: Iterable[Step], db: cowtree.Database, arguments: argparse.Namespace
) -> Iterator[Step]:
    """The same with text as the bytes that the tree it goes to makes of it."""
    codecs: dict[str | None, tuple[str, str]] = {}
    for step in steps:
        if not isinstance(step, Entry):
            yield step
            continue
        tree, key, value = step
        if tree not in codecs:
            codecs[tree] = db.tree_codecs(tree)
        if isinstance(key, Unread):
            key = encode_to_store(bytes(key), arguments.key_as, codecs[tree][0], "key")
        if isinstance(value, Unread):
            value = encode_to_store(bytes(value), arguments.value_as, codecs[tree][1], "value")
        yield Entry(tree, key, value)
