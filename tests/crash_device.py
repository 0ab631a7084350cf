"""A simulated disk: records what the engine did to its file, and builds the images that a power cut may leave.

Since the last sync any subset of the written pages may be on the disk, each whole or torn at 512 bytes; a missing one
shows what was there before; a truncation may have happened or not; the file's size is anything in between.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cowtree
from cowtree import registry

PAGE = 4096
SECTOR = 512

Event = tuple[Any, ...]


class Recorder:
    """The `trace` of a device: an event log, to which a test adds ("start", k), ("ack", k), ("durable", k)."""

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


def pieces_of(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """A write in pieces of a page: what a device may lose one by one."""
    for start in range(0, len(data), PAGE):
        yield offset + start, data[start : start + PAGE]


def image_of(durable: bytes, pending: list[Event], landed: list[int]) -> bytes:
    """The file after a cut: `landed[i]` says how many bytes of piece i (in order) arrived; truncations: 1 happened."""
    content = bytearray(durable)
    for event, amount in zip(pending, landed, strict=True):
        if event[0] == "truncate":
            if amount:
                size = event[1]
                del content[size:]
                content.extend(bytes(size - len(content)))
            continue
        if amount:
            offset, data = event
            amount = min(amount, len(data))
            if len(content) < offset + amount:
                content.extend(bytes(offset + amount - len(content)))
            content[offset : offset + amount] = data[:amount]
    return bytes(content)


def crash_images(
    durable: bytes, pending: list[Event], rng: random.Random, most: int
) -> Iterator[bytes]:
    """Images of a cut: exhaustive over {lost, whole, torn} while that is few, else seeded samples and the corners."""
    choices = [
        (0, 1) if event[0] == "truncate" else (0, len(event[1]), SECTOR * rng.randrange(1, 8))
        for event in pending
    ]
    combinations = 1
    for choice in choices:
        combinations *= len(choice)
    if combinations <= most:
        chosen: Iterator[tuple[int, ...]] = itertools.product(*choices)
    else:
        corners = [tuple(0 for _ in choices), tuple(choice[1] for choice in choices)]
        corners += [
            tuple(0 if i == lost else choice[1] for i, choice in enumerate(choices))
            for lost in range(len(choices))
        ]
        samples = [tuple(rng.choice(choice) for choice in choices) for _ in range(most)]
        chosen = iter((corners + samples)[:most])
    seen = set()
    for landed in chosen:
        image = image_of(durable, pending, list(landed))
        if (mark := hash(image)) not in seen:
            seen.add(mark)
            yield image


class Cut:
    """One moment of a history: what is durable, what is pending, and between which commits a recovery must land."""

    def __init__(
        self, durable: bytes, pending: list[Event], lowest: int, highest: int, published: int
    ) -> None:
        self.durable = durable
        self.pending = pending
        self.lowest = lowest
        self.highest = highest
        self.published = published


def cuts(start: bytes, events: list[Event]) -> Iterator[Cut]:
    """Every moment between two events."""
    durable, pending = start, []
    lowest = highest = published = 0
    for event in events:
        kind = event[0]
        if kind == "write":
            for offset, data in pieces_of(event[1], event[2]):
                pending.append((offset, data))
        elif kind == "truncate":
            pending.append(event)
        elif kind == "sync":
            yield Cut(durable, list(pending), lowest, highest, published)
            whole = [1 if piece[0] == "truncate" else len(piece[1]) for piece in pending]
            durable, pending = image_of(durable, pending, whole), []
        elif kind == "sync_range":
            yield Cut(durable, list(pending), lowest, highest, published)
            durable, pending = after_range_sync(durable, pending, event[1], event[1] + event[2])
        elif kind == "start":
            highest = event[1]
        elif kind == "durable":
            lowest = max(lowest, event[1])
            published = max(published, event[1])
        elif kind == "ack":
            published = max(published, event[1])
        yield Cut(durable, list(pending), lowest, highest, published)


def after_range_sync(
    durable: bytes, pending: list[Event], start: int, end: int
) -> tuple[bytes, list[Event]]:
    """What is durable and what is pending once [start, end) is durable: sizes are, other pages stay pending."""
    left: list[Event] = []
    for event in pending:
        if event[0] == "truncate":
            durable = image_of(durable, [event], [1])
            left = [piece for piece in left if piece[0] < event[1]]
        elif start <= event[0] and event[0] + len(event[1]) <= end:
            durable = image_of(durable, [event], [len(event[1])])
        else:
            left.append(event)
    return durable, left


class Scratch:
    """A directory in memory where images are opened."""

    def __init__(self) -> None:
        base = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.folder = tempfile.mkdtemp(prefix="cowtree-crash-", dir=base)
        self.path = os.path.join(self.folder, "image.cow")

    def put(self, image: bytes) -> str:
        Path(self.path).write_bytes(image)
        return self.path

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def other_boot(monkeypatch: Any) -> None:
    """Opens from here on happen after a restart of the system: another boot id each time."""
    counter = itertools.count(1)
    make: Callable[[], bytes] = lambda: next(counter).to_bytes(16, "big")  # noqa: E731
    monkeypatch.setattr(registry, "boot_id", make)
