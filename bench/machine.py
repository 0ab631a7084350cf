"""What the benchmarks were run on."""

from __future__ import annotations

import os
import platform
import sys
import tempfile

__all__ = ["VOLATILE", "choose_folder", "describe", "disk_bytes", "file_system"]

VOLATILE = {"tmpfs", "ramfs"}
"""File systems in memory: there a durable commit costs nothing."""


def describe(folder: str) -> dict[str, object]:
    """Processor, memory, system, Python; and the file system of the folder, not its path."""
    return {
        "processor": _line_of("/proc/cpuinfo", "model name") or platform.processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory": _line_of("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "file_system": file_system(folder),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "interpreter_lock": getattr(sys, "_is_gil_enabled", lambda: True)(),
    }


def choose_folder(asked: str | None) -> str:
    """Where the databases go: as asked, else a temporary folder that is on a disk, if there is one."""
    if asked is not None:
        return asked
    usual = tempfile.gettempdir()
    for folder in (usual, "/var/tmp", os.getcwd()):
        if (
            os.path.isdir(folder)
            and os.access(folder, os.W_OK)
            and file_system(folder) not in VOLATILE
        ):
            return folder
    return usual


def file_system(path: str) -> str:
    """The type of the file system that a path is on; "unknown" where the system does not tell."""
    path = os.path.realpath(path)
    best, kind = "", "unknown"
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _, point, this_kind = line.split(" ")[:3]
                inside = path == point or path.startswith(point.rstrip("/") + "/")
                # The later of two mounts on one point lies over the earlier one.
                if inside and len(point) >= len(best):
                    best, kind = point, this_kind
    except OSError:
        pass
    return kind


def disk_bytes(folder: str) -> int:
    """What a folder's files take on the disk, with those that are unlinked and still open in this process."""
    files: dict[tuple[int, int], int] = {}
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    inside = os.path.join(os.path.realpath(folder), "")
    for links in ("/proc/self/fd", "/proc/self/map_files"):
        try:
            opened = [os.path.join(links, name) for name in os.listdir(links)]
        except OSError:
            continue
        paths += [link for link in opened if _target(link).startswith(inside)]
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue  # gone meanwhile
        files[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(files.values())


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _line_of(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith(name):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""
