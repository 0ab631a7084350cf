"""What the system tells beside the time: disk, device, memory. And putting the page cache out of the way."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import sys
import threading

from bench.machine import status_line

__all__ = [
    "DiskWatch",
    "UnavailableError",
    "anonymous_bytes",
    "device_bytes",
    "disk_bytes",
    "drop_cached",
    "written_bytes",
]

CACHED_SHARE_MAX = 0.05


class UnavailableError(Exception):
    """This machine does not offer what the workload needs; the message says what."""


def disk_bytes(folder: str) -> int:
    """What a folder's files take on the disk, with those that are unlinked and still open in this process."""
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    inside = os.path.join(os.path.realpath(folder), "")
    for links in ("/proc/self/fd", "/proc/self/map_files"):
        try:
            opened = [os.path.join(links, name) for name in os.listdir(links)]
        except OSError:
            continue
        paths += [link for link in opened if _target(link).startswith(inside)]
    sizes: dict[tuple[int, int], int] = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue  # gone meanwhile
        sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


class DiskWatch:
    """Looks at a folder every few milliseconds during `with`; `most` is the largest size seen.

    The collector is on meanwhile, as it is for users: what it has yet to free may hold a file.
    """

    def __init__(self, folder: str, *, interval_seconds: float = 0.01) -> None:
        self.most = 0
        self._folder = folder
        self._interval_seconds = interval_seconds
        self._collected = True
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def look(self) -> None:
        """Now too."""
        self.most = max(self.most, disk_bytes(self._folder))

    def __enter__(self) -> DiskWatch:
        self._collected = gc.isenabled()
        gc.enable()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        self.look()
        if not self._collected:
            gc.disable()

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_seconds):
            self.look()


def written_bytes() -> int:
    """What this process had the system write to block devices.

    The kernel counts memory when it becomes dirty, written yet or not, and by whole folios: where these are larger than
    a page, that is more than what reaches the device.
    """
    told = status_line("/proc/self/io", "write_bytes")
    if not told:
        raise UnavailableError("the system does not tell what a process writes (/proc/self/io)")
    return int(told)


def device_bytes(folder: str) -> int | None:
    """What was written to the device of a folder since the machine started, by anybody; None if it does not tell."""
    device = os.stat(folder).st_dev
    path = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read().split()[6]) * 512  # sectors, whatever the device's own are
    except (OSError, IndexError, ValueError):
        return None


def anonymous_bytes(process_id: int) -> int:
    """Private memory of a process that no file backs, as it is now."""
    told = status_line(f"/proc/{process_id}/status", "RssAnon")
    if not told:
        raise UnavailableError("the system does not tell a process's private memory (RssAnon)")
    return int(told.split()[0]) << 10


def drop_cached(folder: str) -> None:
    """Have the page cache forget a folder's files, which nobody has open or mapped.

    Raises UnavailableError if they are in it still.
    """
    if not hasattr(os, "posix_fadvise"):
        raise UnavailableError("the system has no posix_fadvise to drop the page cache")
    cached = total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(where, name), os.O_RDWR)
            try:
                os.fsync(descriptor)  # a dirty page stays
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                pages = _residency(descriptor)
                cached, total = cached + sum(pages), total + len(pages)
            finally:
                os.close(descriptor)
    if cached > total * CACHED_SHARE_MAX + 8:
        raise UnavailableError(f"{cached} of {total} pages stay in the page cache")


def _residency(descriptor: int) -> bytes:
    """A one for each page of a file that is in the page cache."""
    size = os.fstat(descriptor).st_size
    if not size or not sys.platform.startswith("linux"):
        return b""
    pages = -(-size // mmap.PAGESIZE)
    flags = (ctypes.c_ubyte * pages)()
    with mmap.mmap(descriptor, size) as mapped:
        start = ctypes.c_char.from_buffer(mapped)
        library = ctypes.CDLL(None, use_errno=True)
        failed = library.mincore(
            ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), flags
        )
        del start  # the mapping cannot be closed before
    return b"" if failed else bytes(flag & 1 for flag in flags)


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
