"""Power cuts of real file systems: a loop device with ext4 or XFS is shut down under a writer, mounted again and read.

The shutdown ioctl stops a file system at once: what is not on the device is lost, with or without what its journal has.
Every cut counts as a start of the system: the boot id is another one after it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import cowtree
from campaign.history import boot_anew
from campaign.kills import STAMP, verify_stamped, write_stamped
from cowtree import registry

__all__ = ["KINDS", "Cuts", "Disk", "campaign", "unavailable"]

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN
FLUSH, LOG_FLUSH, NO_LOG_FLUSH = 0, 1, 2
ACKNOWLEDGED = struct.Struct("<QB")
OPENED, UNSYNCED, DURABLE = range(3)
FILE_SIZE_MAX = 12 << 20

KINDS = {
    "ext4 ordered": ("ext4", "data=ordered"),
    "ext4 writeback": ("ext4", "data=writeback"),
    "xfs": ("xfs", "nouuid"),
}


class Cuts(NamedTuple):
    kind: str
    cuts: int
    commits: int  # acknowledged in all
    lost: int  # of these, unsynced ones that a cut has taken
    seconds: float
    failure: str | None


class Everything(frozenset[str]):
    """Each file system is one on which no zeros are written ahead."""

    def __contains__(self, name: object) -> bool:
        return True


def unavailable(kind: str) -> str | None:
    """Why it cannot be done here, or None."""
    if os.geteuid() != 0:
        return "only root may mount"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    if shutil.which("mkfs." + KINDS[kind][0]) is None:
        return f"mkfs.{KINDS[kind][0]} is not installed"
    with tempfile.TemporaryDirectory(prefix="cowtree-cuts-", dir=_folder()) as folder:
        try:
            Disk(folder, kind).close()
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"") or b""
            return f"{kind} cannot be mounted: {error} {said.decode(errors='replace').strip()}"
    return None


def _folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Disk:
    """A file system in a file, mounted."""

    def __init__(self, folder: str, kind: str) -> None:
        self.name, self.options = KINDS[kind]
        self.place = os.path.join(folder, "mounted")
        self.device: str | None = None
        image = os.path.join(folder, "image")
        os.mkdir(self.place)
        with open(image, "wb") as file:
            file.truncate((64 if self.name == "ext4" else 320) << 20)
        quiet = ["-q", "-F"] if self.name == "ext4" else ["-q", "-f"]
        _run("mkfs." + self.name, *quiet, image)
        self.device = _run("losetup", "--find", "--show", image).strip()
        try:
            self.mount()
        except BaseException:
            _run("losetup", "--detach", self.device)
            raise

    def mount(self) -> None:
        assert self.device is not None
        _run("mount", "-i", "-t", self.name, "-o", self.options, self.device, self.place)

    def shut_down(self, flags: int) -> None:
        fd = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", flags))
        finally:
            os.close(fd)

    def unmount(self) -> None:
        for turn in range(200):
            done = subprocess.run(["umount", "-i", self.place], capture_output=True)
            if done.returncode == 0:
                return
            time.sleep(0.001 * turn)  # who was killed may not be gone for the kernel yet
        raise OSError(f"cannot unmount: {done.stderr.decode()}")

    def close(self) -> None:
        self.unmount()
        assert self.device is not None
        _run("losetup", "--detach", self.device)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def campaign(seed: int, cuts: int) -> Iterator[Cuts | str]:
    """So many cuts of each kind of file system that can be had; a text says why one was left out."""
    for kind in KINDS:
        reason = unavailable(kind)
        if reason:
            yield f"skipped: {reason}"
        else:
            yield cut_again_and_again(kind, seed, cuts // len(KINDS))


def cut_again_and_again(kind: str, seed: int, cuts: int) -> Cuts:
    """Over the same file, which is begun anew now and then."""
    rng = random.Random(f"{seed} {kind}")
    began = time.monotonic()
    mended = registry.boot_id, registry._COPY_ON_WRITE
    with tempfile.TemporaryDirectory(prefix="cowtree-cuts-", dir=_folder()) as folder:
        disk = Disk(folder, kind)
        state = State(os.path.join(disk.place, "cut.cow"))
        failure = None
        done = 0
        try:
            while done < cuts:
                one_cut(disk, state, rng)
                done += 1
        except (AssertionError, OSError, cowtree.Error) as error:
            failure = f"seed {seed}, {kind}, cut {done}: {type(error).__name__}: {error}"
        finally:
            registry.boot_id, registry._COPY_ON_WRITE = mended
            disk.close()
    return Cuts(kind, done, state.commits, state.lost, time.monotonic() - began, failure)


class State:
    """What the parent knows of the file: the stamps that it may be at."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lowest = self.highest = 0
        self.commits = self.lost = 0


def one_cut(disk: Disk, state: State, rng: random.Random) -> None:
    """A child commits, or is only about to open or create the file; cut, mount, and mostly look."""
    if rng.random() < 0.05 or (
        os.path.exists(state.path) and os.path.getsize(state.path) > FILE_SIZE_MAX
    ):
        if os.path.exists(state.path):
            os.unlink(state.path)
        fd = os.open(disk.place, os.O_RDONLY)
        os.fsync(fd)  # or the cut brings it back
        os.close(fd)
        state.lowest = state.highest = 0
    registry._COPY_ON_WRITE = Everything() if rng.random() < 0.3 else frozenset()
    boot_anew()
    durable = rng.choice((0.0, 0.5, 0.5, 1.0))
    compacts = rng.choice((0, 0, 0, 0.2))
    enough = rng.choice((0, 0, 1, 2, 5, 10))  # acknowledgements before the cut
    child, reading = start_writer(state.path, durable, compacts, rng.random())
    said = b""
    try:
        while len(said) < enough * ACKNOWLEDGED.size:
            piece = os.read(reading, 1 << 12)
            assert piece, "the writer ended by itself"
            said += piece
        time.sleep(rng.random() * 0.004)
        os.set_blocking(reading, False)
        with contextlib.suppress(BlockingIOError):
            said += os.read(reading, 1 << 16)
        os.set_blocking(reading, True)
        # A sync that runs while the file system is shut down may be told that it succeeded: the power of a machine
        # does not fail like that. So only what was said before is sure to be there. (A program that does nothing but
        # append and call fdatasync lost what it was told in that moment in 26 of 150 cuts of ext4 and 8 of XFS, and
        # never what it was told before; Linux 6.18.)
        sure = len(said)
        disk.shut_down(rng.choice((FLUSH, LOG_FLUSH, LOG_FLUSH) + 3 * (NO_LOG_FLUSH,)))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    while piece := os.read(reading, 1 << 16):
        said += piece
    os.close(reading)
    learn(state, said, sure // ACKNOWLEDGED.size)
    disk.unmount()
    disk.mount()
    if rng.random() < 0.25:
        return  # the next child recovers, and may be cut in that
    boot_anew()
    if not os.path.exists(state.path):
        assert state.lowest == 0, f"the file is gone, with commits up to {state.lowest}"
        state.highest = 0
        return
    found = verify_stamped(state.path, state.lowest, state.highest + 1)
    state.lost += max(0, state.highest - found)
    state.lowest = state.highest = found


def learn(state: State, said: bytes, sure: int) -> None:
    """Narrow down what the file may be at, from what the child said; the first `sure` of it before the cut."""
    whole = len(said) // ACKNOWLEDGED.size * ACKNOWLEDGED.size
    for turn, (number, what) in enumerate(ACKNOWLEDGED.iter_unpack(said[:whole])):
        if what == OPENED:
            assert state.lowest <= number <= state.highest + 1, (
                f"opened at {number}, not between {state.lowest} and {state.highest + 1}"
            )
            state.lost += max(0, state.highest - number)
            state.highest = number
        else:
            state.commits += 1
            state.highest = number
        if what != UNSYNCED and turn < sure:
            state.lowest = number


def start_writer(path: str, durable: float, compacts: float, seed: float) -> tuple[int, int]:
    """A child that commits until it is killed; where it says what it was told is done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    rng = random.Random(seed)
    try:
        os.close(reading)
        with cowtree.open(path) as db:
            stamp = int(db.get(STAMP, b"0"))
            os.write(writing, ACKNOWLEDGED.pack(stamp, OPENED))
            while True:
                stamp += 1
                synced = rng.random() < durable
                write_stamped(db, stamp, durable=synced)
                os.write(writing, ACKNOWLEDGED.pack(stamp, DURABLE if synced else UNSYNCED))
                if rng.random() < compacts:
                    db.compact()
    finally:
        # The file system is gone; the parent reads the rest and kills.
        signal.pause()
        os._exit(1)
