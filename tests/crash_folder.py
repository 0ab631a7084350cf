"""A simulated folder: several files, their names, and what a power cut may leave of both.

Names become durable with the sync of the directory, contents with the sync of their file: each may have landed without
the other. Until then any subset of the changes of names has landed, and of each file any image of `crash_device`.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from crash_device import Cut, Disk, Event, Marks, Piece, images, pieces_of, synced

from cowtree import backup, registry, replacement
from cowtree.storage import creation, devices
from cowtree.storage.file_system import FileSystem

__all__ = ["FileTrace", "Folder", "FolderRecorder", "Moment", "moments", "outcomes"]


class FileTrace:
    """The `trace` of one file's device."""

    def __init__(self, recorder: FolderRecorder, number: int) -> None:
        self.recorder, self.number = recorder, number

    def write(self, offset: int, data: bytes) -> int | None:
        return self.recorder.write(self.number, offset, data)

    def sync(self) -> None:
        self.recorder.note("sync", self.number)

    def sync_range(self, offset: int, size: int) -> None:
        self.recorder.note("sync_range", self.number, offset, size)

    def truncate(self, size: int) -> None:
        self.recorder.note("truncate", self.number, size)


class FolderRecorder:
    """Records what this process does to the files in one folder, from `install` to `remove`.

    Events are those of `crash_device.Recorder` with the file's number behind the kind, ("names", changes), a dict of
    names and what they lead to (None: nothing), and ("sync_names",). Tests add notes as there.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.events: list[Event] = []
        self.on = True
        self._numbers: dict[tuple[int, int], int] = {}
        self._next = 0
        self._patch = pytest.MonkeyPatch()
        for name in sorted(os.listdir(self.folder)):
            self._number(os.stat(os.path.join(self.folder, name)))
        self.start = Folder.of(self.folder)

    def note(self, *event: Any) -> None:
        if self.on:
            self.events.append(event)

    def write(self, number: int, offset: int, data: bytes) -> int | None:
        """A test may override it to fail."""
        self.note("write", number, offset, data)
        return None

    # -- plugging in ---------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Every device opened from here on in this folder tells what it is asked to do, and so do names."""
        for module in (registry, replacement, creation, backup):
            self._patch.setattr(module, "open_device", self._open_device)
        for name in ("create_temporary", "link_without_replacing", "rename", "unlink"):
            self._patch.setattr(FileSystem, name, self._names_told(name, getattr(FileSystem, name)))
        self._patch.setattr(
            FileSystem, "sync_directory", self._sync_told(FileSystem.sync_directory)
        )

    def remove(self) -> None:
        """As before."""
        self._patch.undo()

    def _number(self, status: os.stat_result, *, new: bool = False) -> int:
        key = status.st_dev, status.st_ino
        if new or key not in self._numbers:  # an inode's number is given again
            self._numbers[key] = self._next
            self._next += 1
        return self._numbers[key]

    def _open_device(
        self, path: str | int, *, readonly: bool = False, trace: object = None
    ) -> devices.Device:
        target = f"/proc/self/fd/{path}" if isinstance(path, int) else path
        where = os.path.dirname(os.path.realpath(target))
        if trace is None and where == self.folder:
            trace = FileTrace(self, self._number(os.stat(path)))
        return devices.open_device(path, readonly=readonly, trace=trace)

    def _names(self) -> dict[str, int]:
        found = {}
        for name in os.listdir(self.folder):
            found[name] = self._number(os.stat(os.path.join(self.folder, name)))
        return found

    def _names_told(self, method: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Calls the method, then notes what has become of the names, one event for each call."""

        def told(system: FileSystem, *arguments: Any) -> Any:
            before = self._names()
            made = plain(system, *arguments)
            if method == "create_temporary" and os.path.dirname(made[1]) == self.folder:
                self._number(os.fstat(made[0]), new=True)
            after = self._names()
            changes = {name: after.get(name) for name in before.keys() | after.keys()}
            changes = {name: at for name, at in changes.items() if before.get(name) != at}
            if changes:
                self.note("names", changes)
            return made

        return told

    def _sync_told(self, plain: Callable[..., None]) -> Callable[..., None]:
        def told(system: FileSystem, path: str) -> None:
            if os.path.dirname(os.path.realpath(path)) == self.folder:
                self.note("sync_names")
            plain(system, path)

        return told


class Folder(NamedTuple):
    """What is on the disk."""

    names: dict[str, int]
    disks: dict[int, Disk]

    @classmethod
    def of(cls, folder: str) -> Folder:
        """A real folder; numbers as a new `FolderRecorder` gives them."""
        names = {name: number for number, name in enumerate(sorted(os.listdir(folder)))}
        disks = {n: Disk.of_file(os.path.join(folder, name)) for name, n in names.items()}
        return cls(names, disks)

    def put(self, folder: str) -> None:
        """Make a real folder hold it, and nothing else."""
        for name in os.listdir(folder):
            if name not in self.names:
                os.unlink(os.path.join(folder, name))
        for name, number in self.names.items():
            self.disks[number].put(os.path.join(folder, name))


Names = dict[str, int | None]


class Moment(NamedTuple):
    """A moment of a history: what is durable, what is pending, and where a recovery must land (see `Cut`)."""

    files: dict[int, Cut]
    names: dict[str, int]
    changes: list[Names]
    lowest: int
    highest: int
    seen: int
    gone: frozenset[int]


def moments(start: Folder, events: list[Event]) -> Iterator[Moment]:
    """Every moment between two events, and the one in the middle of each sync."""
    names, changes = dict(start.names), list[Names]()
    files: dict[int, tuple[Disk, list[Piece]]] = {n: (d, []) for n, d in start.disks.items()}
    marks = Marks()

    def now() -> Moment:
        shown = {n: Cut(disk, pending, *marks) for n, (disk, pending) in files.items()}
        return Moment(shown, dict(names), list(changes), *marks)

    for event in events:
        kind = event[0]
        if kind in ("write", "truncate", "sync", "sync_range"):
            number = event[1]
            disk, pending = files.get(number, (Disk(), []))
            if kind in ("write", "truncate"):
                files[number] = disk, [*pending, *pieces_of((kind, *event[2:]))]
            else:
                yield now()
                files[number] = synced(disk, pending, (kind, *event[2:]))
        elif kind == "names":
            changes.append(event[1])
        elif kind == "sync_names":
            yield now()
            for change in changes:
                _rename(names, change)
            changes = []
        marks = marks.after(event)
        yield now()


def _rename(names: dict[str, int], change: Names) -> None:
    for name, number in change.items():
        if number is None:
            names.pop(name, None)
        else:
            names[name] = number


def outcomes(moment: Moment, rng: random.Random, most: int) -> Iterator[Folder]:
    """At most `most` folders that a power cut may leave: images of each file, with subsets of the changes of names."""
    possible = list(_name_outcomes(moment, rng))
    referred = {number for names in possible for number in names.values()}
    per_file = {
        number: list(images(cut, rng, most))
        for number, cut in moment.files.items()
        if number in referred
    }
    count = min(most, max([len(possible), *map(len, per_file.values())]))
    for index in range(count):
        names = possible[index % len(possible)]
        disks = {}
        for number in set(names.values()):
            choices = per_file.get(number, [Disk()])
            # The file that has the most to lose shows every image; the others keep it company.
            disks[number] = (
                choices[index % len(choices)] if len(choices) >= count else rng.choice(choices)
            )
        yield Folder(names, disks)


def _name_outcomes(moment: Moment, rng: random.Random) -> Iterator[dict[str, int]]:
    """All subsets of the changes if they are few, else all prefixes and some subsets."""
    count = len(moment.changes)
    if count <= 4:
        chosen = list(itertools.product((True, False), repeat=count))
    else:
        chosen = [(True,) * i + (False,) * (count - i) for i in range(count + 1)]
        chosen += [tuple(rng.random() < 0.5 for _ in range(count)) for _ in range(8)]
    for landed in chosen:
        names = dict(moment.names)
        for change, there in zip(moment.changes, landed, strict=True):
            if there:
                _rename(names, change)
        yield names
