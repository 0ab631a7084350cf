"""The file, the commit, the tree and the keys that a command's arguments name."""

from __future__ import annotations

import argparse
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import cowtree
from cowtree.cli.failures import CommandError
from cowtree.cli.notations import NOTATIONS, argument_bytes, encode, encode_prefix
from cowtree.cli.parser import Argument, argument
from cowtree.cli.streams import complain
from cowtree.reader import Reader

__all__ = [
    "AT",
    "JSON",
    "KEY",
    "KEY_AS",
    "PATH",
    "RANGE",
    "TIMEOUT",
    "TREE",
    "VALUE_AS",
    "Source",
    "open_reading",
    "open_snapshot",
    "open_source",
    "open_writing",
    "parse_at",
    "seconds",
    "snapshot_at",
    "source_of",
    "tree_name",
    "tree_title",
]

ByteReader = Reader[bytes, bytes, Any, Any]


def parse_at(text: str) -> int | str | datetime:
    """A commit as it is named on the command line: an id, a time with its offset, or a tag."""
    if re.fullmatch(r"[0-9]+", text):
        return int(text)
    if re.match(r"[A-Za-z_]", text):
        return text
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no commit id, tag, or time such as 2026-07-01T12:00:00+00:00"
        ) from None
    if time.utcoffset() is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} has no offset and names no moment: say {time.isoformat()}+00:00 for UTC"
        )
    return time


def tree_name(text: str) -> str:
    """The name of a tree."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("a tree's name is text in UTF-8") from None
    if not text:
        raise argparse.ArgumentTypeError("a tree's name is not empty")
    return text


def seconds(text: str) -> float:
    """A time to wait."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"a number of seconds, not {text!r}")
    return number


PATH = argument("path", metavar="FILE", help="the database")
KEY = argument("key", metavar="KEY", help="the key (see --key-as)")
TREE = argument(
    "--tree", metavar="NAME", type=tree_name, help="a named tree (default: the default tree)"
)
AT = argument(
    "--at",
    metavar="AT",
    type=parse_at,
    help="a commit: its id, a tag, or a time with offset (default: the newest)",
)
KEY_AS = argument(
    "--key-as",
    choices=NOTATIONS,
    help="how keys are written; json and msgpack take JSON, tuple a JSON array (default: text, or what the tree's "
    "codec is for)",
)
VALUE_AS = argument("--value-as", choices=NOTATIONS, help="how values are written, likewise")
JSON = argument("--json", action="store_true", help="as JSON, one object per line")
TIMEOUT = argument(
    "--timeout",
    metavar="SECONDS",
    type=seconds,
    help="how long to wait for another writer (default: until it is done)",
)
RANGE: tuple[Argument, ...] = (
    argument("--start", metavar="KEY", help="from this key on"),
    argument("--stop", metavar="KEY", help="up to this key, without it"),
    argument(
        "--prefix",
        metavar="KEY",
        help="keys that begin with this text, these bytes, or these elements of a tuple",
    ),
)


@contextmanager
def open_reading(path: str) -> Iterator[cowtree.Database]:
    """The database, read-only: works on read-only files and beside a writer; never creates."""
    _refuse_memory(path)
    try:
        db = cowtree.open(path, readonly=True)
    except FileNotFoundError:
        raise _missing(path) from None
    with db:
        yield db


@contextmanager
def open_writing(
    path: str, *, create: bool = False, timeout: float | None = None
) -> Iterator[cowtree.Database]:
    """The database, to write."""
    _refuse_memory(path)
    try:
        db = cowtree.open(path, create=create, timeout=timeout)
    except FileNotFoundError:
        if not create:
            raise _missing(path) from None
        folder = os.path.dirname(os.path.abspath(path))
        raise FileNotFoundError(
            errno.ENOENT, "there is no such directory to create a database in", folder
        ) from None
    with db:
        yield db


def _refuse_memory(path: str) -> None:
    if path == ":memory:":
        raise CommandError(
            "a database in memory ends with the command: name a file (./:memory: if that is its name)"
        )


def _missing(path: str) -> OSError:
    return FileNotFoundError(
        errno.ENOENT, "there is no such file (`cowtree put` and `cowtree load` create one)", path
    )


@contextmanager
def open_snapshot(
    path: str, at: int | str | datetime | None
) -> Iterator[tuple[cowtree.Database, cowtree.Snapshot]]:
    """The database, read-only, and one commit of it."""
    with open_reading(path) as db, snapshot_at(db, at) as snapshot:
        yield db, snapshot


def snapshot_at(db: cowtree.Database, at: int | str | datetime | None) -> cowtree.Snapshot:
    """A commit of a database. CommandError: it has none that `at` names."""
    try:
        return db.snapshot(at)
    except KeyError:
        raise CommandError(
            f"there is no tag {at!r} (`cowtree tag {db.path}` lists the tags)"
        ) from None
    except cowtree.SnapshotGoneError as error:
        raise CommandError(f"{error} (`cowtree history {db.path}` lists the commits)") from None


def tree_title(name: str | None) -> str:
    """A tree in a sentence."""
    return "the default tree" if name is None else f"the tree {name!r}"


class Source:
    """One tree of one commit, and how its keys and values are written."""

    def __init__(
        self,
        snapshot: cowtree.Snapshot,
        name: str | None,
        key_notation: str | None,
        value_notation: str | None,
    ) -> None:
        self.name = name
        self.key_codec, self.value_codec = snapshot.tree_codecs(name)
        self.key_notation = key_notation
        self.value_notation = value_notation
        self.tree: ByteReader = snapshot.tree(name)
        self.exists = name is None or bool(self.tree) or name in snapshot.trees()

    def key(self, argument: str) -> bytes:
        """The key that an argument means."""
        return encode(argument_bytes(argument), self.key_notation, self.key_codec, "key")

    def bounds(self, arguments: argparse.Namespace) -> tuple[bytes | None, bytes | None]:
        """(start, stop) of --start, --stop and --prefix together."""
        start = None if arguments.start is None else self.key(arguments.start)
        stop = None if arguments.stop is None else self.key(arguments.stop)
        if arguments.prefix is not None:
            low, high = encode_prefix(
                argument_bytes(arguments.prefix), self.key_notation, self.key_codec
            )
            start = low if start is None else max(start, low)
            if high is not None:
                stop = high if stop is None else min(stop, high)
        return start, stop

    def complain_if_missing(self) -> bool:
        """Tell, on standard error, that there is no such tree; an empty result may look like another."""
        if not self.exists:
            complain(f"there is no tree {self.name!r} (`cowtree info` lists the trees)")
        return not self.exists


@contextmanager
def open_source(arguments: argparse.Namespace) -> Iterator[Source]:
    """The tree that PATH, --tree and --at name."""
    with open_snapshot(arguments.path, arguments.at) as (_, snapshot):
        yield source_of(snapshot, arguments)


def source_of(snapshot: cowtree.Snapshot, arguments: argparse.Namespace) -> Source:
    """The tree of a commit that --tree names."""
    return Source(
        snapshot,
        arguments.tree,
        getattr(arguments, "key_as", None),
        getattr(arguments, "value_as", None),
    )
