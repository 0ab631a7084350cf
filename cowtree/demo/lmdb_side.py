"""The same loading done with LMDB, when it is installed."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from typing import Any

__all__ = ["load_with_lmdb"]


def load_with_lmdb(
    directory: str, files: Sequence[tuple[bytes, bytes]], per_commit: int
) -> tuple[float, int] | None:
    """(seconds, bytes on disk) of storing the files in commits of `per_commit`; None without LMDB."""
    try:
        import lmdb  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    total = sum(len(content) for _, content in files)
    environment: Any = lmdb.open(directory, map_size=max(1 << 30, 4 * total))
    started = time.perf_counter()
    source = iter(files)
    while part := list(itertools.islice(source, per_commit)):
        with environment.begin(write=True) as txn:
            for key, content in part:
                # LMDB keys end at 511 bytes; cowtree's at 1008.
                txn.put(key[:511], content)
    seconds = time.perf_counter() - started
    environment.close()
    status = os.stat(os.path.join(directory, "data.mdb"))
    return seconds, status.st_blocks * 512
