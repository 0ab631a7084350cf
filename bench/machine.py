"""What the benchmarks were run on."""

from __future__ import annotations

import os
import platform
import sys
import tempfile

__all__ = ["VOLATILE", "choose_folder", "describe", "file_system", "status_line"]

VOLATILE = {"tmpfs", "ramfs"}
"""File systems in memory: there a durable commit costs nothing."""


def describe(folder: str) -> dict[str, object]:
    """Processor, memory, system, Python; and the file system of the folder, not its path."""
    return {
        "processor": status_line("/proc/cpuinfo", "model name") or platform.processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory": status_line("/proc/meminfo", "MemTotal"),
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


def status_line(path: str, name: str) -> str:
    """What follows the name and a colon in a file of the system; empty where it does not tell."""
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith(name):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""
