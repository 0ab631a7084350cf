"""Open-file-description locks: the writer byte, the published range, waiting, death and fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cowtree.storage.file_lock import FileLock, file_system_kind, published_pages_of

CHILD = """
import sys
from cowtree.storage.file_lock import FileLock
lock = FileLock(sys.argv[1])
print(lock.try_acquire(), flush=True)
if len(sys.argv) > 2:
    lock.publish(int(sys.argv[2]))
    print("published", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "locked"
    path.write_bytes(b"content")
    return str(path)


def test_two_descriptors_of_one_process_exclude_each_other(file: str) -> None:
    one, two = FileLock(file), FileLock(file)
    assert one.try_acquire()
    assert not two.try_acquire()
    one.release()
    assert two.try_acquire()
    one.close()
    two.close()


def test_published_range_is_seen_by_a_read_only_descriptor(file: str) -> None:
    lock = FileLock(file)
    fd = os.open(file, os.O_RDONLY)
    try:
        assert published_pages_of(fd) == -1
        assert lock.try_acquire()
        assert published_pages_of(fd) == 0
        for pages in (1, 7, 1 << 40):
            lock.publish(pages)
            assert published_pages_of(fd) == pages
        lock.release()
        assert published_pages_of(fd) == -1
    finally:
        os.close(fd)
        lock.close()


def test_closing_another_descriptor_drops_no_lock(file: str) -> None:
    lock, other = FileLock(file), FileLock(file)
    assert lock.try_acquire()
    os.close(os.open(file, os.O_RDONLY))
    assert not other.try_acquire()
    lock.close()
    assert other.try_acquire()
    other.close()


def test_death_of_the_holder_frees_the_lock(file: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, file, "9"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == "True\n"
    assert child.stdout.readline() == "published\n"
    lock = FileLock(file)
    assert not lock.try_acquire()
    assert published_pages_of(lock.fd) == 9
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    assert published_pages_of(lock.fd) == -1
    assert lock.try_acquire()
    lock.close()


def test_waiting_is_seen_by_the_holder(file: str) -> None:
    holder, waiter = FileLock(file), FileLock(file)
    assert holder.try_acquire()
    assert not holder.others_waiting()
    waiter.set_waiting(True)
    assert holder.others_waiting()
    waiter.set_waiting(False)
    assert not holder.others_waiting()
    holder.close()
    waiter.close()


def test_forked_child_keeps_no_lock(file: str) -> None:
    """The child lives on after the parent has let go: the lock must be free."""
    lock, other = FileLock(file), FileLock(file)
    assert lock.try_acquire()
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(from_child, b"r")
        os.read(to_child, 1)
        os._exit(0)
    os.read(to_parent, 1)
    assert not other.try_acquire(), "the fork took the lock from the parent"
    lock.close()
    freed = other.try_acquire()
    os.write(from_parent, b"x")
    os.waitpid(child, 0)
    for fd in (to_child, from_parent, to_parent, from_child):
        os.close(fd)
    other.close()
    assert freed


def test_file_system_has_a_kind(file: str) -> None:
    fd = os.open(file, os.O_RDONLY)
    try:
        assert file_system_kind(fd)
    finally:
        os.close(fd)
