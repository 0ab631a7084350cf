"""The same loading, alone: with cowtree, and with LMDB when it is installed."""

from __future__ import annotations

import hashlib
import importlib
import os
import time
from collections.abc import Sequence
from typing import Any

import cowtree
from cowtree.demo.files import Source, batches

__all__ = ["Loading", "load_with_cowtree", "load_with_lmdb"]

Loading = tuple[float, int]
"""Seconds, and bytes on disk."""

_LMDB_KEY_SIZE_MAX = 511


def load_with_cowtree(path: str, sources: Sequence[Source], per_commit: int) -> Loading:
    """Durable commits of `per_commit` files."""
    with cowtree.open(path) as db:
        started = time.perf_counter()
        for batch in batches(sources, per_commit):
            with db.transaction() as txn:
                for source in batch:
                    content = source.read()
                    if content is not None:
                        txn.put(source.key, content)
        seconds = time.perf_counter() - started
    return seconds, _disk_bytes(path)


def load_with_lmdb(
    directory: str, sources: Sequence[Source], per_commit: int, map_size: int
) -> Loading | None:
    """Likewise; None if LMDB is not installed."""
    try:
        lmdb: Any = importlib.import_module("lmdb")
    except ImportError:
        return None
    environment = lmdb.open(directory, map_size=map_size)
    try:
        started = time.perf_counter()
        for batch in batches(sources, per_commit):
            with environment.begin(write=True) as txn:
                for source in batch:
                    content = source.read()
                    if content is not None:
                        txn.put(_short_key(source.key), content)
        seconds = time.perf_counter() - started
    finally:
        environment.close()
    return seconds, _disk_bytes(os.path.join(directory, "data.mdb"))


def _short_key(key: bytes) -> bytes:
    """LMDB's keys end at 511 bytes: a longer one ends in its digest."""
    if len(key) <= _LMDB_KEY_SIZE_MAX:
        return key
    digest = hashlib.sha256(key).hexdigest().encode()
    return key[: _LMDB_KEY_SIZE_MAX - len(digest)] + digest


def _disk_bytes(path: str) -> int:
    return os.stat(path).st_blocks * 512
