"""A simulated disk: records what the engine did to its file, and builds the images that a power cut may leave.

Since the last sync any subset of the written sectors may be there, in any order: a page is lost (what was there before
shows), whole, torn at a sector, or a mixture of sectors; a truncation has happened or not; the file ends anywhere
between its last synced and its present size. What was synced stays.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cowtree
from cowtree import registry

PAGE = 4096
SECTOR = 512
ZEROS = bytes(PAGE)

Event = tuple[Any, ...]


class Recorder:
    """The `trace` of a device: an event log, to which a test adds what commits have come to.

    ("start", k), ("visible", k), ("durable", k), ("gone", k): k is the commit's number.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.on = True

    def write(self, offset: int, data: bytes) -> None:
        if self.on:
            self.events.append(("write", offset, data))

    def sync(self) -> None:
        # The sync counts from when it has returned; until then anything pending may be lost.
        if self.on:
            self.events.append(("sync",))

    def sync_range(self, offset: int, size: int) -> None:
        """Only this range: what else is pending may still be lost."""
        if self.on:
            self.events.append(("sync_range", offset, size))

    def truncate(self, size: int) -> None:
        if self.on:
            self.events.append(("truncate", size))

    def note(self, *event: Any) -> None:
        if self.on:
            self.events.append(event)


class TracedDatabase:
    """A database over a recording device."""

    def __init__(self, path: str, trace: object, **options: Any) -> None:
        self.engine = registry.engine_for(
            path, create=True, readonly=False, mode=0o666, page_size=None, mapped=True, trace=trace
        )
        self.db = cowtree.open(path, **options)

    def close(self) -> None:
        self.db.close()
        registry.release(self.engine)


class Piece(NamedTuple):
    """A write within a page, or a truncation (data is None) to `offset` bytes."""

    offset: int
    data: bytes | None


class Disk:
    """A file, sparse: pages that were written, and a size."""

    __slots__ = ("pages", "size")

    def __init__(self, pages: dict[int, bytes] | None = None, size: int = 0) -> None:
        self.pages = {} if pages is None else pages
        self.size = size

    def copy(self) -> Disk:
        return Disk(dict(self.pages), self.size)

    @classmethod
    def of(cls, content: bytes) -> Disk:
        disk = cls()
        for start in range(0, len(content), PAGE):
            disk.write(start, content[start : start + PAGE])
        disk.size = len(content)
        return disk

    @classmethod
    def of_file(cls, path: str) -> Disk:
        """A file with its holes."""
        disk = cls()
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            at = 0
            while at < size:
                try:
                    at = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break  # a hole to the end
                end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
                file.seek(at)
                for start in range(at, end, PAGE):
                    data = file.read(min(PAGE, end - start))
                    if data.strip(b"\0"):  # to look at a hole may make it a page of zeros
                        disk.write(start, data)
                at = end
        disk.size = size
        return disk

    def write(self, offset: int, data: bytes) -> None:
        """Within a page."""
        number, start = divmod(offset, PAGE)
        if start == 0 and len(data) == PAGE:
            self.pages[number] = data
        else:
            page = self.pages.get(number, ZEROS)
            self.pages[number] = page[:start] + data + page[start + len(data) :]
        self.size = max(self.size, offset + len(data))

    def truncate(self, size: int) -> None:
        if size < self.size:
            last, inside = divmod(size, PAGE)
            for number in [number for number in self.pages if number >= last]:
                page = self.pages.pop(number)
                if number == last and inside:
                    self.pages[number] = page[:inside] + ZEROS[inside:]
        self.size = size

    def apply(self, piece: Piece) -> None:
        if piece.data is None:
            self.truncate(piece.offset)
        else:
            self.write(piece.offset, piece.data)

    def put(self, path: str) -> None:
        """Write it to a file."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.ftruncate(fd, self.size)
            for number, page in self.pages.items():
                if page is not ZEROS:
                    os.pwrite(fd, page[: self.size - number * PAGE], number * PAGE)
        finally:
            os.close(fd)


class Cut(NamedTuple):
    """A moment of a history: what is durable, what is pending, and where a recovery must land."""

    durable: Disk
    pending: list[Piece]
    lowest: int  # the last commit that was acknowledged as durable
    highest: int  # the last one that was started
    seen: int  # the last one that readers may have seen
    gone: frozenset[int]  # those whose rollback was reported


def pieces_of(event: Event) -> Iterator[Piece]:
    if event[0] == "truncate":
        yield Piece(event[1], None)
        return
    _, offset, data = event
    at = 0
    while at < len(data):
        size = min(PAGE - (offset + at) % PAGE, len(data) - at)
        yield Piece(offset + at, data[at : at + size])
        at += size


class Marks(NamedTuple):
    """Where a recovery must land, as far as the events up to a moment tell; see `Cut`."""

    lowest: int = 0
    highest: int = 0
    seen: int = 0
    gone: frozenset[int] = frozenset()

    def after(self, event: Event) -> Marks:
        kind = event[0]
        if kind == "start":
            return self._replace(highest=event[1])
        if kind == "durable":
            return self._replace(lowest=max(self.lowest, event[1]), seen=max(self.seen, event[1]))
        if kind == "visible":
            return self._replace(seen=max(self.seen, event[1]))
        if kind == "gone":
            return self._replace(gone=self.gone | {event[1]})
        return self


def cuts(start: Disk, events: list[Event]) -> Iterator[Cut]:
    """Every moment between two events, and the one in the middle of each sync."""
    durable, pending = start, list[Piece]()
    marks = Marks()
    for event in events:
        if event[0] in ("write", "truncate"):
            pending.extend(pieces_of(event))
        elif event[0] in ("sync", "sync_range"):
            yield Cut(durable, list(pending), *marks)
            durable, pending = synced(durable, pending, event)
        marks = marks.after(event)
        yield Cut(durable, list(pending), *marks)


def synced(durable: Disk, pending: list[Piece], event: Event) -> tuple[Disk, list[Piece]]:
    """What is durable and what stays pending after ("sync",) or ("sync_range", offset, size)."""
    if event[0] == "sync_range":
        return _after_range(durable, pending, event[1], event[1] + event[2])
    durable = durable.copy()
    for piece in pending:
        durable.apply(piece)
    return durable, []


def _after_range(
    durable: Disk, pending: list[Piece], start: int, end: int
) -> tuple[Disk, list[Piece]]:
    """[start, end) is durable, and the size with it; other pages stay pending."""
    durable = durable.copy()
    left: list[Piece] = []
    for piece in pending:
        if piece.data is None:
            durable.truncate(piece.offset)
            left = [other for other in left if other.offset < piece.offset]
        elif start <= piece.offset and piece.offset + len(piece.data) <= end:
            durable.apply(piece)
        else:
            left.append(piece)
    return durable, left


def images(cut: Cut, rng: random.Random, most: int) -> Iterator[Disk]:
    """At most `most` images that the cut may leave: all of {lost, whole, torn} if these are few, else the corners first
    (all, none, all but one, only one), then mixtures."""
    pending = cut.pending
    if not pending:
        yield cut.durable
        return
    if 3 ** len(pending) <= most:
        for outcome in itertools.product((0, 1, 2), repeat=len(pending)):
            yield _image(cut, outcome, rng, False)
        return
    count = len(pending)
    corners = [(0,) * count, (1,) * count]
    for i in range(count):
        corners.append((*(1,) * i, 0, *(1,) * (count - i - 1)))
        corners.append((*(0,) * i, 1, *(0,) * (count - i - 1)))
        corners.append((*(1,) * i, 2, *(1,) * (count - i - 1)))
    if len(corners) > most // 2:
        corners = rng.sample(corners, most // 2)
    for outcome in corners:
        yield _image(cut, outcome, rng, False)
    for _ in range(most - len(corners)):
        weights = rng.choice([(1, 1, 1, 1), (1, 6, 1, 1), (6, 1, 1, 1), (1, 1, 4, 4)])
        outcome = tuple(rng.choices((0, 1, 2, 3), weights, k=count))
        yield _image(cut, outcome, rng, rng.random() < 0.4)


def _image(cut: Cut, outcome: tuple[int, ...], rng: random.Random, cut_size: bool) -> Disk:
    """0: lost, 1: whole, 2: torn, 3: a mixture of sectors."""
    disk = cut.durable.copy()
    for piece, landed in zip(cut.pending, outcome, strict=True):
        if landed == 0:
            continue
        if landed == 1 or piece.data is None or len(piece.data) <= SECTOR:
            disk.apply(piece)
        elif landed == 2:
            disk.write(
                piece.offset, piece.data[: SECTOR * rng.randrange(1, -(-len(piece.data) // SECTOR))]
            )
        else:
            for start in range(0, len(piece.data), SECTOR):
                if rng.random() < 0.5:
                    disk.write(piece.offset + start, piece.data[start : start + SECTOR])
    # The size may be that of the furthest write although its data is not there, or less.
    furthest = max(
        [disk.size, *(p.offset + len(p.data) for p in cut.pending if p.data is not None)]
    )
    if cut_size and furthest > cut.durable.size:
        size = rng.randrange(cut.durable.size, furthest + 1)
        if size >= disk.size:
            disk.size = size
        else:
            disk.truncate(size)
    return disk


def in_memory() -> str | None:
    """A folder in memory, if there is one."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


class Scratch:
    """A directory in memory where images are opened."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="cowtree-crash-", dir=in_memory())
        self.path = os.path.join(self.folder, "image.cow")

    def put(self, image: Disk) -> str:
        image.put(self.path)
        return self.path

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def other_boot(monkeypatch: Any) -> None:
    """Opens from here on happen after a restart of the system: another boot id each time."""
    counter = itertools.count(1)
    make: Callable[[], bytes] = lambda: next(counter).to_bytes(16, "big")  # noqa: E731
    monkeypatch.setattr(registry, "boot_id", make)
