"""Commands that move many entries: load, dump."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

import cowtree
from cowtree.cli.display import entries_text
from cowtree.cli.failures import DONE, NOT_HELD, CommandError
from cowtree.cli.json_lines import Declaration, Entry, entry_line, read_lines
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
from cowtree.views import prefix_end
from cowtree.writer import Writer

__all__ = ["dump", "load"]

Step = Entry | Declaration
_ByteTree = Writer[bytes, bytes, Any, Any]


@command(
    "dump",
    PATH,
    argument(
        "file", metavar="TARGET", nargs="?", help="a new file (default, and -: standard output)"
    ),
    argument("--tree", metavar="NAME", type=tree_name, help="only this tree (default: every tree)"),
    AT,
    argument("--json", action="store_true", help="JSON lines, which is what it writes anyway"),
    examples="""
    cowtree dump people.cow people.jsonl
    cowtree dump people.cow --at before-import | cowtree load --json copy.cow
    """,
)
def dump(arguments: argparse.Namespace) -> int:
    """Write the entries of a commit as JSON lines.

    `cowtree load --json` reads them back byte for byte.

    A line is {"key": ..., "value": ...}; bytes that are not UTF-8 are "key_base64" and "value_base64". Entries of
    named trees have a "tree" as well. In front of the entries of a typed tree stands a line with the names of its
    codecs: {"tree": ..., "codecs": [of keys, of values]}. The past, its tags and settings are not written: that is
    what `cowtree backup` is for.
    """
    with (
        open_snapshot(arguments.path, arguments.at) as (_, snapshot),
        output_stream(arguments.file) as stream,
        Progress("dumped") as progress,
    ):
        names = [None, *snapshot.trees()] if arguments.tree is None else [arguments.tree]
        sources = [Source(snapshot, name, None, None) for name in names]
        total = sum(len(source.tree) for source in sources)
        for done, step in enumerate(_steps_of(sources)):
            stream.write(entry_line(step))
            progress.entries(done, total)
        missing = [source.complain_if_missing() for source in sources]
    return NOT_HELD if any(missing) else DONE


def _steps_of(sources: Iterable[Source]) -> Iterator[Step]:
    for source in sources:
        tree, name = source.tree, source.name
        if (
            source.key_codec
            or source.value_codec
            or (name is not None and source.exists and not tree)
        ):
            yield Declaration(name, source.key_codec, source.value_codec)
        for key, value in tree.items():
            yield Entry(name, key, value)


@command(
    "load",
    PATH,
    argument("file", metavar="SOURCE", nargs="?", help="default, and -: standard input"),
    argument(
        "--json", action="store_true", help="JSON lines, as `dump` and `scan --json` write them"
    ),
    argument(
        "--tree",
        metavar="NAME",
        type=tree_name,
        help="store into this tree (default: the default tree, with --json the one that a line names)",
    ),
    argument(
        "--batch",
        metavar="N",
        type=whole_number(1),
        help="commit every N lines (default: one commit, all or nothing)",
    ),
    KEY_AS,
    VALUE_AS,
    TIMEOUT,
    examples=r"""
    cowtree load --json copy.cow people.jsonl
    printf 'ada\t1815\ngrace\t1906\n' | cowtree load people.cow
    cowtree scan a.cow --key-as hex --value-as hex | cowtree load b.cow --key-as hex --value-as hex
    """,
)
def load(arguments: argparse.Namespace) -> int:
    """Store many entries; creates the file if there is none.

    Keys that are there already get the new value.

    Without --json a line is KEY, a tab, VALUE, each read as `put` reads its arguments: the value goes to the end of
    the line, and nothing in it is unescaped. Give --key-as and --value-as (hex, base64) for bytes that do not fit.

    With --json a line is one object with "key" or "key_base64", "value" or "value_base64", and perhaps "tree"; or
    {"tree": ..., "codecs": [...]}, which makes a tree record codecs. --tree takes the entries of one tree to another.
    """
    if arguments.json and (arguments.key_as or arguments.value_as):
        raise CommandError(
            "--key-as and --value-as are for lines of text; --json lines say it each"
        )
    with input_stream(arguments.file) as stream:
        lines = _Lines(stream)
        read = _into(read_lines(lines), arguments.tree) if arguments.json else _split(lines)
        # A first line that is none creates no file.
        records = _peeked(lines.located(read))
        with (
            open_writing(arguments.path, create=True, timeout=arguments.timeout) as db,
            Progress("loaded") as progress,
        ):
            steps = records if arguments.json else lines.located(_encoded(records, db, arguments))
            _Loader(db, lines, arguments.batch, progress).run(steps)
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

    def located(self, records: Iterable[Any]) -> Iterator[Any]:
        """Pass on what was read from the lines; a CommandError on the way tells the line."""
        try:
            yield from records
        except _LineError:
            raise
        except CommandError as error:
            raise _LineError(f"line {self.number}: {error}") from None


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


def _split(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The fields of lines of text."""
    for line in lines:
        key, tab, value = line.partition(b"\t")
        if not tab:
            hint = "; for JSON lines say --json" if line.startswith(b"{") else ""
            raise CommandError(f"no tab between key and value{hint}")
        yield key, value


def _encoded(
    fields: Iterable[tuple[bytes, bytes]], db: cowtree.Database, arguments: argparse.Namespace
) -> Iterator[Entry]:
    tree = arguments.tree
    key_codec, value_codec = db.tree_codecs(tree)
    for key, value in fields:
        yield Entry(
            tree,
            encode_to_store(key, arguments.key_as, key_codec, "key"),
            encode_to_store(value, arguments.value_as, value_codec, "value"),
        )


class _Loader:
    """Stores what a stream of entries and declarations says, in one transaction or one for each batch."""

    def __init__(
        self, db: cowtree.Database, lines: _Lines, batch: int | None, progress: Progress
    ) -> None:
        self._db = db
        self._lines = lines
        self._batch = batch
        self._progress = progress
        self._declared: dict[str | None, Declaration] = {}
        self._entries = 0  # of the open transaction, too
        self._committed = 0

    def run(self, steps: Iterator[Step]) -> None:
        """Store everything. CommandError: which line could not be stored, and how much was."""
        try:
            for first in steps:
                more = steps if self._batch is None else itertools.islice(steps, self._batch - 1)
                with self._db.transaction() as txn:
                    self._store(txn, itertools.chain([first], more))
                self._committed = self._entries
        except (cowtree.CodecError, cowtree.KeyTooLargeError, cowtree.ValueTooLargeError) as error:
            raise CommandError(f"line {self._lines.number}: {error}{self._kept()}") from None
        except CommandError as error:
            raise CommandError(f"{error}{self._kept()}") from None

    def _kept(self) -> str:
        return (
            f" ({entries_text(self._committed)} of the lines before stored)"
            if self._committed
            else ""
        )

    def _store(self, txn: cowtree.Transaction, steps: Iterator[Step]) -> None:
        for (name, kind), group in itertools.groupby(
            steps, key=lambda step: (step.tree, type(step))
        ):
            if kind is Declaration:
                for step in group:
                    self._declare(txn, cast("Declaration", step))
            else:
                self._tree(txn, name).load(self._pairs(cast("Iterator[Entry]", group)))

    def _declare(self, txn: cowtree.Transaction, declaration: Declaration) -> None:
        """Make a tree exist and record its codecs; they are recorded by a write."""
        self._declared[declaration.tree] = declaration
        tree = self._tree(txn, declaration.tree)
        before = tree.get(b"")
        tree.put(b"", b"")
        if before is None:
            tree.delete(b"")
        else:
            tree.put(b"", before)

    def _tree(self, txn: cowtree.Transaction, name: str | None) -> _ByteTree:
        declared = self._declared.get(name)
        if declared is None:
            return txn.tree(name)
        key, value = (
            _RecordedCodec(codec) if codec else None
            for codec in (declared.key_codec, declared.value_codec)
        )
        return cast("_ByteTree", cast("Any", txn).tree(name, key=key, value=value))

    def _pairs(self, entries: Iterator[Entry]) -> Iterator[tuple[bytes, bytes]]:
        for entry in entries:
            self._entries += 1
            self._progress.entries(self._entries)
            yield entry.key, entry.value


class _RecordedCodec:
    """Has the name of a codec and takes its bytes: a tree written through it records that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, obj: bytes, /) -> bytes:
        """The bytes themselves."""
        return obj

    def decode(self, data: bytes, /) -> bytes:
        """The bytes themselves."""
        return data

    def prefix(self, obj: bytes, /) -> tuple[bytes, bytes | None]:
        """As of bytes."""
        return obj, prefix_end(obj)
