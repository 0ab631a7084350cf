"""What the demo stores, and the bookkeeping by which a reader knows that it sees exactly one commit.

Each commit writes, beside its files, how many files there are and how many bytes they hold: in the default tree under
`STAMP` and in the named tree `TREE` under the same key. A snapshot that is one commit has both alike, and true.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import cowtree

__all__ = [
    "CHILD_ENTRIES",
    "FILES",
    "STAMP",
    "TREE",
    "Ledger",
    "find_files",
    "pack_stamp",
    "path_key",
    "unpack_stamp",
]

FILES = b"file/"
STAMP = b"meta/stamp"
TREE = "bookkeeping"
CHILD_ENTRIES = 50
"""Entries that each commit of the child that is killed writes: a reader must find all of them, or none."""
_STAMP = struct.Struct("<QQQ")


def find_files(directory: str) -> Iterator[tuple[bytes, bytes]]:
    """(key, content) of every readable regular file below a directory, without bytecode caches and symlinks."""
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            try:
                with open(path, "rb") as file:
                    content = file.read()
            except OSError:
                continue
            key = path_key(os.path.relpath(path, directory))
            if len(key) <= 1000:
                yield key, content


def path_key(path: str) -> bytes:
    """The key of a file."""
    return FILES + os.fsencode(path)


def pack_stamp(step: int, count: int, size: int) -> bytes:
    """Bookkeeping of one commit: its number, files, bytes."""
    return _STAMP.pack(step, count, size)


def unpack_stamp(stamp: bytes) -> tuple[int, int, int]:
    """The inverse of `pack_stamp`."""
    step, count, size = _STAMP.unpack(stamp)
    return step, count, size


class Ledger:
    """Keeps the bookkeeping while files are written and deleted."""

    def __init__(self) -> None:
        self.step = 0
        self.count = 0
        self.size = 0

    def put(self, txn: cowtree.Transaction, key: bytes, content: bytes) -> None:
        """Store a file, new or rewritten."""
        old = txn.replace(key, content)
        self.count += old is None
        self.size += len(content) - (0 if old is None else len(old))

    def delete(self, txn: cowtree.Transaction, key: bytes) -> None:
        """Delete a file."""
        self.size -= len(txn.pop(key))
        self.count -= 1

    def stamp(self, txn: cowtree.Transaction) -> None:
        """Write the bookkeeping of this commit, in both trees."""
        self.step += 1
        stamp = pack_stamp(self.step, self.count, self.size)
        txn[STAMP] = stamp
        txn.tree(TREE)[STAMP] = stamp
