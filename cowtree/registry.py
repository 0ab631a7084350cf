"""Engines by file: one per (device, inode) and process, whatever the number of handles."""

from __future__ import annotations

import errno
import os
import threading

from cowtree.engine import Engine
from cowtree.errors import FormatError
from cowtree.storage.checkpoint import boot_id
from cowtree.storage.creation import create_file, write_empty_database
from cowtree.storage.devices import open_device
from cowtree.storage.file_lock import FileLock, file_system_kind
from cowtree.storage.page_file import PageFile, anonymous_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cowtree.storage.file_system import FileSystem

__all__ = ["engine_for", "hold", "memory_engine", "private_engine", "release"]

_engines: dict[tuple[int, int, bool], Engine] = {}
# Re-entrant: a collection that runs in the middle may release handles.
engines_lock = threading.RLock()
# Zeros written ahead are copied again on these: they gain nothing (D5).
_COPY_ON_WRITE = frozenset({"btrfs", "zfs", "bcachefs"})
_REFUSED = frozenset({"nfs", "cifs", "9p", "fuse"})


def _after_fork() -> None:
    """A child opens engines of its own; what it inherited stays readable through its snapshots."""
    global _engines, engines_lock
    _engines = {}
    engines_lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def engine_for(
    path: str,
    *,
    create: bool,
    readonly: bool,
    mode: int,
    page_size: int | None,
    mapped: bool,
    any_file_system: bool = False,
    file_system: FileSystem | None = None,
    trace: object = None,
) -> Engine:
    """The engine of a file, opened (and created) if need be, with one more handle counted.

    `trace` and `file_system` are where tests plug in. Raises FileNotFoundError, IsADirectoryError, FormatError,
    CorruptionError, ValueError (another page size), OSError.
    """
    with engines_lock:
        engine: Engine | None = None
        while engine is None:
            try:
                status = os.stat(path)
            except FileNotFoundError:
                if not create or readonly:
                    raise
                create_file(path, page_size or 4096, mode, file_system, trace=trace)
                continue
            if os.path.isdir(path):
                hint = ""
                if os.path.exists(os.path.join(path, "data.mdb")):
                    hint = " (it holds an LMDB environment: see `cowtree import-lmdb`)"
                raise IsADirectoryError(
                    errno.EISDIR, f"a database is one file, this is a directory{hint}", path
                )
            engine = _known(status, readonly)
            if engine is None:
                engine = _open(path, readonly, mapped, any_file_system, trace)
                if engine is not None:
                    _engines[(*engine.identity, readonly)] = engine
        engine.count_handles(1)  # at once: a collection may release the other handles
        if page_size is not None and page_size != engine.file.page_size:
            release(engine)
            raise ValueError(
                f"{path}: its page size is {engine.file.page_size}, fixed at creation, not {page_size}"
            )
        return engine


def _known(status: os.stat_result, readonly: bool) -> Engine | None:
    engine = _engines.get((status.st_dev, status.st_ino, False))
    if engine is None and readonly:
        engine = _engines.get((status.st_dev, status.st_ino, True))
    return engine


def _open(
    path: str, readonly: bool, mapped: bool, any_file_system: bool, trace: object
) -> Engine | None:
    """None: a compaction has put another file at the path meanwhile; open that one."""
    if os.path.getsize(path) == 0:
        raise FormatError(f"{path}: an empty file, not a cowtree database")
    device = open_device(path, readonly=readonly, trace=trace)
    lock = None
    file = None
    try:
        file = PageFile(device, path, mapped=mapped)
        kind = file_system_kind(device.fd)
        if not readonly:
            if file.write_refused_reason is not None:
                raise FormatError(f"{path}: {file.write_refused_reason}")
            if kind in _REFUSED and not any_file_system:
                raise OSError(
                    errno.ENOTSUP,
                    f"locks and mappings are not reliable on {kind}: open it with readonly=True, "
                    "or with any_file_system=True if no other machine uses it",
                    path,
                )
            lock = FileLock(path)
            if not _same_file(lock.fd, device.fd):
                lock.close()
                file.close()
                return None
        engine = Engine(file, lock, path, boot_id(), kind in _COPY_ON_WRITE)
        if engine.replaced():
            engine.shutdown()
            return None
        return engine
    except BaseException:
        if lock is not None:
            lock.close()
        if file is not None:
            file.close()
        device.close()
        raise


def private_engine(path: str | os.PathLike[str], *, trace: object = None) -> Engine:
    """An engine of its own over a file, whatever handles this process has: to this one they are another process's.

    Who calls this shuts it down. Errors of `engine_for`; FileNotFoundError if there is no file.
    """
    name = os.path.abspath(os.fspath(path))
    if os.path.isdir(name):
        raise IsADirectoryError(errno.EISDIR, "a database is one file, this is a directory", name)
    engine = None
    while engine is None:
        engine = _open(name, False, True, False, trace)
    return engine


def _same_file(one: int, other: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(other))


def memory_engine(page_size: int) -> Engine:
    """An engine over a private file without a name."""
    device = open_device(anonymous_descriptor())
    write_empty_database(device, page_size)
    engine = Engine(PageFile(device, anonymous=True), None, None, boot_id(), True)
    engine.handles = 1
    return engine


def hold(engine: Engine) -> None:
    """One handle more.

    Takes no lock: who begins a transaction has the writer's, for which the release of the last handle waits.
    """
    engine.count_handles(1)


def release(engine: Engine) -> None:
    """One handle less; with the last one the engine shuts down.

    If memory was too short for that, the handle still counts: release it again.
    """
    with engines_lock:
        if engine.count_handles(-1) > 0:
            return
        try:
            _forget(engine)
        except BaseException:
            if not engine.closed:
                engine.count_handles(1)
            raise


def _forget(engine: Engine) -> None:
    # A copy is made without collections, which may release other engines, in between.
    for key, known in _engines.copy().items():
        if known is engine:
            _engines.pop(key, None)
    engine.shutdown()
