"""Open-file-description locks: the writer byte, the published range, waiting, death and fork."""

from __future__ import annotations

import os
import select
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


def test_a_kept_lock_can_be_claimed_and_goes_when_idle(file: str) -> None:
    lock, other = FileLock(file), FileLock(file)
    assert not lock.claim()
    assert lock.try_acquire()
    lock.publish(5)
    assert not lock.claim(), "a lock in use was claimed"
    assert lock.keep()
    assert lock.held and published_pages_of(other.fd) == 5
    assert lock.claim()
    assert published_pages_of(other.fd) == 5
    # In use it stays, whatever the keeper thinks; kept and idle it goes, with the published range.
    assert not other.try_acquire()
    assert lock.keep()
    acquired_soon(other)
    assert not lock.held and not lock.claim()
    assert published_pages_of(lock.fd) == 0
    other.close()
    lock.close()


def test_a_kept_lock_goes_when_another_waits(file: str) -> None:
    """Claimed and kept without a pause, so that it is never idle: only the waiting byte can make it go."""
    lock, other = FileLock(file), FileLock(file)
    assert lock.try_acquire()
    assert lock.keep()
    other.set_waiting(True)
    turns = 0
    while lock.claim():
        turns += 1
        assert turns < 50_000_000, "the lock never went"
        assert lock.keep()
    assert other.try_acquire()
    other.close()
    lock.close()


def test_releasing_and_closing_a_kept_lock_free_it(file: str) -> None:
    lock, other = FileLock(file), FileLock(file)
    for end in (lock.release, lock.close):
        assert lock.try_acquire()
        assert lock.keep()
        end()
        assert not lock.held
        assert other.try_acquire()
        other.release()
    other.close()


def test_a_fork_frees_a_kept_lock_and_not_one_in_use(file: str, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.write_bytes(b"content")
    kept, used, other = FileLock(file), FileLock(str(second)), FileLock(file)
    assert kept.try_acquire() and used.try_acquire()
    assert kept.keep()
    child = os.fork()
    if child == 0:
        # No thread came along, and nothing of the parent's is held here.
        os._exit(0 if not FileLock(str(second)).try_acquire() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not kept.claim(), "kept across the fork, where no keeper ran"
    assert other.try_acquire()
    other.release()
    # After the fork a lock is kept, and let go, as before.
    assert used.held
    assert used.keep()
    acquired_soon(FileLock(str(second)))
    for lock in (kept, used, other):
        lock.close()


def acquired_soon(lock: FileLock) -> None:
    """Wait until the keeper of another lock has let go; it says so to nobody, hence the poll."""
    tries = 0
    while not lock.try_acquire():
        tries += 1
        assert tries < 10_000, "the idle lock was not let go"
        os.sched_yield() if tries % 10 else select.select([], [], [], 0.002)
