"""What the demo stores, and the bookkeeping by which a reader knows that it sees exactly one commit.

Each commit writes, beside its files, how many files there are, how many bytes they hold and a running hash over all of
them: in the default tree under `STAMP` and in the named tree `TREE` under the same key. A snapshot that is one commit
has both alike, and true.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import cowtree

__all__ = ["FILES", "STAMP", "TREE", "Books", "Ledger", "Source", "batches", "find_files"]

FILES = b"file/"
STAMP = b"meta/stamp"
TREE = "bookkeeping"
_STAMP = struct.Struct("<QQQQ")
_HASH_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Source:
    """A file to store."""

    key: bytes
    path: str

    def read(self) -> bytes | None:
        """Its content; None if it cannot be read (any more)."""
        try:
            with open(self.path, "rb") as file:
                return file.read()
        except OSError:
            return None


def find_files(directory: str, key_size_max: int) -> list[Source]:
    """Every readable regular file below a directory whose key fits, without bytecode caches and symlinks."""
    found = []
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path) or not os.access(path, os.R_OK):
                continue
            key = FILES + os.fsencode(os.path.relpath(path, directory))
            if len(key) <= key_size_max:
                found.append(Source(key, path))
    return found


def batches(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    """`size` files at a time: one commit."""
    rest = iter(sources)
    while batch := list(islice(rest, size)):
        yield batch


@dataclass(slots=True)
class Books:
    """The bookkeeping of one commit. `hash` sums one hash per file, so that a file can leave it again."""

    step: int = 0
    count: int = 0
    size: int = 0
    hash: int = 0

    def add(self, key: bytes, content: bytes) -> None:
        """Count a file."""
        self.count += 1
        self.size += len(content)
        self.hash = (self.hash + _file_hash(key, content)) & _HASH_MASK

    def remove(self, key: bytes, content: bytes) -> None:
        """Count a file no longer."""
        self.count -= 1
        self.size -= len(content)
        self.hash = (self.hash - _file_hash(key, content)) & _HASH_MASK

    def pack(self) -> bytes:
        """As an entry's value."""
        return _STAMP.pack(self.step, self.count, self.size, self.hash)

    @staticmethod
    def unpack(stamp: bytes) -> Books:
        """The inverse of `pack`."""
        return Books(*_STAMP.unpack(stamp))


def _file_hash(key: bytes, content: bytes) -> int:
    # Spread over 64 bits, so that a sum of many does not hide one that is missing.
    return zlib.crc32(content, zlib.crc32(key)) * 0x9E3779B97F4A7C15 & _HASH_MASK


class Ledger:
    """Writes files and keeps the books meanwhile."""

    def __init__(self) -> None:
        self.books = Books()

    def put(self, txn: cowtree.Transaction, key: bytes, content: bytes) -> None:
        """Store a file, new or rewritten."""
        old = txn.replace(key, content)
        if old is not None:
            self.books.remove(key, old)
        self.books.add(key, content)

    def delete(self, txn: cowtree.Transaction, key: bytes) -> None:
        """Delete a file."""
        self.books.remove(key, txn.pop(key))

    def stamp(self, txn: cowtree.Transaction) -> None:
        """Write the bookkeeping of this commit, in both trees."""
        self.books.step += 1
        stamp = self.books.pack()
        txn[STAMP] = stamp
        txn.tree(TREE)[STAMP] = stamp
