"""SIGBUS under a mapping becomes an exception; any other SIGBUS stays what it is."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowtree.storage.fault_guard import install, read_guarded

PAGE = mmap.PAGESIZE


class Mapped:
    """Two pages of a file, of which the second is cut off afterwards."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(b"x" * 2 * PAGE)
        self.file = path.open("r+b")
        self.map = mmap.mmap(self.file.fileno(), 2 * PAGE, access=mmap.ACCESS_WRITE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        os.ftruncate(self.file.fileno(), PAGE)
        install()

    def read(self, page: int) -> bytes:
        return read_guarded(self.address + page * PAGE, 16, self.address, self.address + 2 * PAGE)


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[Mapped]:
    mapping = Mapped(tmp_path / "mapped")
    yield mapping
    mapping.file.close()


def test_truncation_is_an_error_and_the_process_lives(mapped: Mapped) -> None:
    for _ in range(1000):
        assert mapped.read(0) == b"x" * 16
        with pytest.raises(OSError):
            mapped.read(1)


def test_every_thread_has_its_own_guard(mapped: Mapped) -> None:
    faults = []

    def work() -> None:
        for _ in range(200):
            assert mapped.read(0) == b"x" * 16
            try:
                mapped.read(1)
            except OSError:
                faults.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(faults) == 800


CHILD = """
import ctypes, faulthandler, mmap, os, sys
{before}
from cowtree.storage.fault_guard import install, read_guarded
path = sys.argv[1]
open(path, "wb").write(b"x" * 2 * mmap.PAGESIZE)
file = open(path, "r+b")
map = mmap.mmap(file.fileno(), 2 * mmap.PAGESIZE, access=mmap.ACCESS_WRITE)
address = ctypes.addressof(ctypes.c_char.from_buffer(map))
os.ftruncate(file.fileno(), mmap.PAGESIZE)
install()
{after}
install()
try:
    read_guarded(address + mmap.PAGESIZE, 8, address, address + 2 * mmap.PAGESIZE)
except OSError:
    print("guarded", flush=True)
ctypes.string_at(address + mmap.PAGESIZE, 8)   # outside any guard
print("not reached")
"""


@pytest.mark.parametrize("before", ["", "faulthandler.enable()"])
@pytest.mark.parametrize("after", ["", "faulthandler.enable()"])
def test_sigbus_outside_the_guard_still_kills(tmp_path: Path, before: str, after: str) -> None:
    code = CHILD.format(before=before, after=after)
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == "guarded\n"
    assert result.returncode < 0
    if before or after:
        assert "Bus error" in result.stderr
