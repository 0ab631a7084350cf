"""Commands that take a database from LMDB and to it: import-lmdb, export-lmdb. They need the package lmdb."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import cowtree
from cowtree.cli.db_dump import composite
from cowtree.cli.failures import DONE, CommandError
from cowtree.cli.json_lines import Declaration, Entry
from cowtree.cli.loading import Loader, Step
from cowtree.cli.opening import (
    AT,
    PATH,
    TIMEOUT,
    ByteReader,
    open_snapshot,
    open_writing,
    tree_title,
)
from cowtree.cli.parser import argument, command, whole_number
from cowtree.cli.progress import Progress

__all__ = ["export_lmdb", "import_lmdb"]

_KEY_SIZE_MAX = 511
# A record of LMDB's main database that says where a named one is has this size.
_RECORD_SIZE = 48
_BATCH_ENTRIES = 1000


def _lmdb() -> Any:
    try:
        import lmdb
    except ModuleNotFoundError:
        raise CommandError("this needs the package lmdb (`pip install lmdb`)") from None
    return lmdb


@command(
    "import-lmdb",
    argument("source", metavar="LMDB", help="an LMDB environment: its folder, or its file"),
    PATH,
    argument(
        "--batch",
        metavar="N",
        type=whole_number(1),
        help="commit every N entries (default: one commit, all or nothing)",
    ),
    TIMEOUT,
    examples="""
    cowtree import-lmdb people.lmdb people.cow
    """,
)
def import_lmdb(arguments: argparse.Namespace) -> int:
    """Copy an LMDB environment, which is only read, into a database; creates the file if there is none.

    Its main database becomes the default tree and each named one a tree of that name. A named database with several
    values for a key becomes a tree whose keys are tuples (key, value) and whose values are empty. Keys keep their
    bytes, those of integers too, and sort by them. Keys that are there already get the new value.
    """
    lmdb = _lmdb()
    with _reading(lmdb, arguments.source) as environment:
        names = _database_names(lmdb, environment)
        reader = _Reader(environment, names)
        with (
            open_writing(arguments.path, create=True, timeout=arguments.timeout) as db,
            Progress("imported") as progress,
        ):
            loader = Loader(
                db,
                progress,
                batch=arguments.batch,
                total=environment.stat()["entries"] - len(names) + reader.named_entries,
                where=reader.place,
            )
            loader.run(reader.steps())
    return DONE


@contextlib.contextmanager
def _reading(lmdb: Any, path: str) -> Iterator[Any]:
    """The environment, open to read, with as many named databases as it can have."""
    if not os.path.exists(os.path.join(path, "data.mdb") if os.path.isdir(path) else path):
        raise CommandError(f"{path}: there is no LMDB environment")
    environment = _opened(lmdb, path, 0)
    names = len(_candidates(environment))
    if names:  # how many there are is told by the first look
        environment.close()
        environment = _opened(lmdb, path, names)
    with environment:
        yield environment


def _opened(lmdb: Any, path: str, names: int) -> Any:
    try:
        return lmdb.open(
            path,
            subdir=os.path.isdir(path),
            readonly=True,
            create=False,
            lock=_may_lock(path),
            max_dbs=names,
        )
    except lmdb.Error as error:
        raise CommandError(f"{path}: LMDB cannot open it: {error}") from None


def _may_lock(path: str) -> bool:
    """Can LMDB note its reader in the lock file? Without it nobody may write meanwhile."""
    folder = path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path))
    return os.access(folder, os.W_OK)


def _candidates(environment: Any) -> list[bytes]:
    """Keys of the main database that may name others."""
    with environment.begin() as txn:
        return [
            bytes(key)
            for key, value in txn.cursor()
            if len(value) == _RECORD_SIZE and b"\0" not in key
        ]


def _database_names(lmdb: Any, environment: Any) -> dict[bytes, Any]:
    """The named databases, open."""
    found = {}
    for name in _candidates(environment):
        with contextlib.suppress(lmdb.Error):  # an entry like any other
            found[name] = environment.open_db(name, create=False)
    return found


class _Reader:
    """Steps of what an environment holds."""

    def __init__(self, environment: Any, names: dict[bytes, Any]) -> None:
        self._environment = environment
        self._names = names
        self._place = "the main database"
        with environment.begin() as txn:
            self.named_entries = sum(txn.stat(handle)["entries"] for handle in names.values())

    def place(self) -> str:
        """What is being read, in a message."""
        return self._place

    def steps(self) -> Iterator[Step]:
        """All databases in one transaction: one state."""
        with self._environment.begin() as txn:
            for key, value in txn.cursor():
                if key not in self._names:
                    yield Entry(None, bytes(key), bytes(value))
            for name, handle in self._names.items():
                yield from self._named(txn, name, handle)

    def _named(self, txn: Any, name: bytes, handle: Any) -> Iterator[Step]:
        try:
            tree = name.decode()
        except UnicodeDecodeError:
            raise CommandError(
                f"the database {name!r} has a name that is not UTF-8: no tree can have it"
            ) from None
        self._place = f"the database {tree!r}"
        several = handle.flags(txn)["dupsort"]
        yield Declaration(tree, "tuple" if several else "", "")
        for key, value in txn.cursor(db=handle):
            if several:
                yield Entry(tree, composite(key, value), b"")
            else:
                yield Entry(tree, key, value)


@command(
    "export-lmdb",
    PATH,
    argument("target", metavar="LMDB", help="a new folder, for an LMDB environment"),
    AT,
    examples="""
    cowtree export-lmdb people.cow people.lmdb
    """,
)
def export_lmdb(arguments: argparse.Namespace) -> int:
    """Copy a commit into a new LMDB environment: the default tree as its main database, named trees as named ones.

    The bytes of keys and values are copied; LMDB takes keys of 1 to 511 bytes. All of it, or nothing.
    """
    lmdb = _lmdb()
    target = os.path.abspath(arguments.target)
    if os.path.lexists(target) and not (os.path.isdir(target) and not os.listdir(target)):
        raise CommandError(f"{arguments.target}: exists already: choose a new folder")
    with open_snapshot(arguments.path, arguments.at) as (db, snapshot):
        folder = tempfile.mkdtemp(prefix=".cowtree-export-", dir=os.path.dirname(target))
        try:
            map_size = 2 * db.stats().file_bytes + (16 << 20)
            while not _written(lmdb, snapshot, folder, map_size):
                map_size *= 2
            os.chmod(folder, 0o777 & ~_umask())
            os.replace(folder, target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return DONE


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _written(lmdb: Any, snapshot: cowtree.Snapshot, folder: str, map_size: int) -> bool:
    """Copy everything in one transaction; False: the map was too small, and nothing was written."""
    names = snapshot.trees()
    total = sum(len(snapshot.tree(name)) for name in (None, *names))
    with (
        lmdb.open(folder, map_size=map_size, max_dbs=max(1, len(names))) as environment,
        Progress("exported") as progress,
    ):
        try:
            with environment.begin(write=True) as txn:
                _copy_tree(
                    txn, None, snapshot.tree(None), lambda done: progress.entries(done, total)
                )
                before = len(snapshot.tree(None))
                for name in names:
                    key = name.encode()
                    if len(key) > _KEY_SIZE_MAX or key in snapshot:
                        raise CommandError(
                            f"the default tree has the key {name!r}, which is to name a database"
                            if key in snapshot
                            else f"the name {name!r} is longer than LMDB's {_KEY_SIZE_MAX} bytes"
                        )
                    handle = environment.open_db(key, txn=txn)
                    tree = snapshot.tree(name)
                    _copy_tree(
                        txn,
                        handle,
                        tree,
                        lambda done, before=before: progress.entries(before + done, total),
                        name,
                    )
                    before += len(tree)
        except lmdb.MapFullError:
            return False
        except lmdb.Error as error:
            raise CommandError(f"LMDB: {error}") from None
    return True


def _copy_tree(txn: Any, handle: Any, tree: ByteReader, tell: Any, name: str | None = None) -> None:
    cursor = txn.cursor(db=handle)
    batch: list[tuple[bytes, bytes]] = []
    done = 0
    for key, value in tree.items():
        if not 0 < len(key) <= _KEY_SIZE_MAX:
            raise CommandError(
                f"{tree_title(name)} has a key of {len(key)} bytes ({key[:40]!r}): LMDB takes 1 to {_KEY_SIZE_MAX}"
            )
        batch.append((key, value))
        if len(batch) == _BATCH_ENTRIES:
            cursor.putmulti(batch, append=True)
            done += len(batch)
            batch.clear()
            tell(done)
    cursor.putmulti(batch, append=True)
