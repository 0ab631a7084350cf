"""Backups: a file's records up to one of them, as a database of its own (FORMAT §6.4).

    temporary file ── records, sealed anew ── pages 0 and 1 ── sync ──> link without replacing ──> directory sync

Nothing that a record covers is ever written again (I1), so no lock is taken and no writer waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable

from cowtree.errors import FormatError
from cowtree.storage.checkpoint import CLEAN, boot_id, encode_slot
from cowtree.storage.commit_record import CommitRecord
from cowtree.storage.devices import Device, open_device
from cowtree.storage.file_system import FileSystem
from cowtree.storage.page_file import PageFile
from cowtree.storage.range_copy import RangeCopier

__all__ = ["Meter", "Progress", "write_backup"]

Progress = Callable[[int, int | None], object]

# Between two calls of `progress`; an eighth, so that the last call, which is not held back, is the tenth at most.
PROGRESS_SECONDS = 0.125


class Meter:
    """Passes bytes on to a caller's `progress`, at most ten calls a second, the total unknown until the end."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = 0
        self._next_call = 0.0

    def advance(self, size: int) -> None:
        """`size` bytes more are done."""
        self._done += size
        if self._progress is not None and (now := time.monotonic()) >= self._next_call:
            self._next_call = now + PROGRESS_SECONDS
            self._progress(self._done, None)

    def finish(self) -> None:
        """The last call."""
        if self._progress is not None:
            self._progress(self._done, self._done)


def write_backup(
    source: PageFile,
    tip: CommitRecord,
    path: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    file_system: FileSystem | None = None,
    trace: object = None,
) -> None:
    """Write the records of `source` up to and with `tip` to a new file at `path`, durable when this returns.

    `progress(done, total)`: bytes, at most ten calls a second, the last with done == total before the file gets its
    name. `trace` and `file_system` are where tests plug in.

    Raises FileExistsError (whatever is at `path` stays), CorruptionError naming the first damaged page, FormatError,
    OSError, and what `progress` raises; then nothing is left behind. O(file) time, O(1) memory.
    """
    copier = RangeCopier(source, tip)  # from here on `source` may be closed
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(
            f"the path of a backup is a str or a path of str, not {type(name).__name__}"
        )
    if name == ":memory:":
        raise ValueError("a backup is a file: another path than ':memory:'")
    name = os.path.abspath(name)  # whatever `progress` makes of the working directory
    system = FileSystem() if file_system is None else file_system
    if os.path.lexists(name):
        raise _exists(name)
    if source.write_refused_reason is not None:
        raise FormatError(f"{source.path}: {source.write_refused_reason}")
    descriptor, temporary = system.create_temporary(name, 0o666)
    # Open to the end: as long as it is, no other file can have the number of its inode.
    device = open_device(descriptor, trace=trace)
    try:
        _write(copier, source.page_size, tip, device, progress)
        try:
            system.link_without_replacing(temporary, name)
        except FileExistsError:
            raise _exists(name) from None
        except FileNotFoundError:
            # Who opened the file that has appeared at the path may have taken this one for debris.
            if os.path.lexists(name):
                raise _exists(name) from None
            raise
        system.sync_directory(name)
    except BaseException:
        # The first error tells more than one of these.
        with contextlib.suppress(OSError):
            system.unlink(temporary)
        with contextlib.suppress(OSError):
            if os.path.samestat(system.stat(name), system.stat(descriptor)):
                system.unlink(name)
        raise
    finally:
        device.close()


def _write(
    copier: RangeCopier,
    page_size: int,
    tip: CommitRecord,
    device: Device,
    progress: Progress | None,
) -> None:
    """The whole contents, synced."""
    total = tip.end_page * page_size
    # One page behind the tip, which is a hole (FORMAT §6.3). A limit on sizes is noticed now.
    device.set_size(total + page_size)
    next_call = 0.0
    while True:
        generation = int.from_bytes(os.urandom(8), "little")
        identity = copier.begin(device, generation)
        while copier.advance() and not copier.unlucky:
            if progress is not None and (now := time.monotonic()) >= next_call:
                next_call = now + PROGRESS_SECONDS
                progress(copier.next_page * page_size, total)
        # I6, once in 2^64 records. Another generation leaves times and nonces as they are, which tags repeat.
        if not copier.unlucky:
            break
    # Last: what a killed process leaves is no database.
    device.write_bytes(page_size, _clean_slot(tip, generation))
    device.write_bytes(0, identity)
    device.sync_data()
    if progress is not None:
        progress(total, total)


def _clean_slot(tip: CommitRecord, generation: int) -> bytes:
    """The one slot of the new file's page 1."""
    return encode_slot(
        generation,
        slot_sequence=1,
        page=tip.page,
        sequence=tip.sequence,
        commit_id=tip.commit_id,
        nonce=tip.nonce,
        boot_id=boot_id(),
        flags=CLEAN,
        time_ns=time.time_ns(),
    )


def _exists(path: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
