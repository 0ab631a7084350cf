"""cowtree: an embedded, ordered, persistent key-value database that remembers.

Layers, each importing only those above it in this list:

    errors, options, log, layout, checksum, buffers   what everything stands on
    pages/                                 what a tree page's bytes mean
    storage/                               where pages live: file, mapping, append, sync, lock, recovery
    tree/                                  how pages form a B-tree: search, edit, cursor
    arrow, views, codecs/                  columns; ranges to iterate; what the bytes of keys and values mean
    stats, catalogue, history, feed        values: numbers, records of the catalogue, commits, changes
    tree_codecs                            the codecs of a handle, and those that a tree records
    reader                                 the read methods that all handles share
    commit_state, succession               one commit to read; what a compacted file takes over
    tips, engine, registry                 the newest commit; who writes; one engine per file and process
    states, differences                    the named trees and tags of a commit; what two of them differ in
    session_trees, changes, session        what a transaction sees and edits, until it is a commit
    sorted_load, writer                    runs of pairs; the write methods
    snapshot, transaction, database        the handles
    check, backup, increment               the file as a whole
    replacement, renumbering, page_mover, relocation    a new file in the place of the old one; made beside the writer,
    compaction, auto_compaction            or in key order; when, and how the writer is slowed
    dbm, aio/, rescue/                     the interfaces of dbm and of asyncio; what a damaged file still gives
    demo/, cli/                            what `python -m cowtree` does
"""

from __future__ import annotations

import importlib
import os
from datetime import timedelta

from cowtree.database import Database
from cowtree.errors import (
    ClosedError,
    CodecError,
    CommitUncertainError,
    CorruptionError,
    DecodeError,
    Error,
    FormatError,
    KeyTooLargeError,
    LockTimeoutError,
    ReadOnlyError,
    SnapshotGoneError,
    TransactionError,
    ValueTooLargeError,
)
from cowtree.options import ALL, DEFAULT, Default
from cowtree.reader import Reader
from cowtree.snapshot import Snapshot, SnapshotTree
from cowtree.transaction import Savepoint, Transaction
from cowtree.tree.cursor import Cursor
from cowtree.writer import Writer as Tree

# Importing `typing` takes a quarter of the time that an import of cowtree may take: nothing here does when it runs.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from cowtree import codecs as codecs
    from cowtree.feed import Change, Changes
    from cowtree.history import At, Commit
    from cowtree.stats import Report, Settings, Stats

__version__ = "0.1.0"

__all__ = [
    "ALL",
    "DEFAULT",
    "At",
    "Change",
    "Changes",
    "ClosedError",
    "CodecError",
    "Commit",
    "CommitUncertainError",
    "CorruptionError",
    "Cursor",
    "Database",
    "DecodeError",
    "Error",
    "FormatError",
    "KeyTooLargeError",
    "LockTimeoutError",
    "ReadOnlyError",
    "Reader",
    "Report",
    "Savepoint",
    "Settings",
    "Snapshot",
    "SnapshotGoneError",
    "SnapshotTree",
    "Stats",
    "Transaction",
    "TransactionError",
    "Tree",
    "ValueTooLargeError",
    "open",
]


# Loaded when they are first used: importing dataclasses alone takes a quarter of the time that an import may take.
_LATER = {
    "At": "history",
    "Change": "feed",
    "Changes": "feed",
    "Commit": "history",
    "Report": "stats",
    "Settings": "stats",
    "Stats": "stats",
    "codecs": "codecs",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module 'cowtree' has no attribute {name!r}")
    found = importlib.import_module(f"cowtree.{module}")
    value: object = found if name == module else getattr(found, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


def open(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    readonly: bool = False,
    mode: int = 0o666,
    page_size: int | Default = DEFAULT,
    sync: bool = True,
    timeout: float | None = None,
    mmap: bool = True,
    write_memory: int = 64 << 20,
    auto_compact: float | Default | None = DEFAULT,
    history: int | timedelta | Default | None = DEFAULT,
    any_file_system: bool = False,
) -> Database:
    """Open the database in the file `path`, creating it if it is missing.

    Args:
        path: one file, or ":memory:" for a private database without a file.
        create: create a missing file; else FileNotFoundError.
        readonly: never write; works on read-only files, directories and media.
        mode: permissions of a created file, less the umask.
        page_size: bytes, a power of two from 4096 (the default) to 65536; fixed at creation. Another value for an
            existing file is a ValueError.
        sync: are commits durable when they return?
        timeout: seconds a writer waits for the lock: None = for ever, 0 = not at all; then LockTimeoutError.
        mmap: read through a memory mapping; False reads by position, for file systems that cannot map.
        write_memory: bytes of changed pages that a transaction holds before it writes some early.
        auto_compact: of the file, 2.0 if not given: the ratio of file to live size that starts compaction; None: never.
            Set at creation, changed by `Database.configure`; another value for an existing file is a ValueError.
        history: of the file, None if not given: what compaction keeps of the past besides tags; an int = that many
            newest commits, a timedelta = that age. Set and changed as `auto_compact`.
        any_file_system: write also on network file systems and FUSE, whose locks may not hold between machines.

    Raises:
        FormatError: not a cowtree database, or a newer format; the file is untouched.
        CorruptionError: acknowledged data are damaged.
        OSError: FileNotFoundError, IsADirectoryError, PermissionError, and others.
    """
    return Database(
        path,
        create=create,
        readonly=readonly,
        mode=mode,
        page_size=page_size,
        sync=sync,
        timeout=timeout,
        mmap=mmap,
        write_memory=write_memory,
        auto_compact=auto_compact,
        history=history,
        any_file_system=any_file_system,
    )
