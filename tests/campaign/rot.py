"""Bit rot: any byte of a small database is another one. What is read is right or a CorruptionError; `check` says where.

The databases were closed cleanly, so all of their records are known to be durable: nothing may be rolled back.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from crash_device import in_memory

import cowtree
from campaign.hostile_mutations import HostileFile
from campaign.hostile_shapes import Trees, make

__all__ = ["Rotten", "campaign", "flip"]

DAMAGE = (cowtree.CorruptionError, cowtree.FormatError)
SHAPES = ("plain", "long keys", "small")


class Rotten(NamedTuple):
    """What came of one flip."""

    shape: str
    offset: int
    mask: int
    reported: bool
    problem: str  # empty: nothing wrong was read, and damage of a record was located


class Sound(NamedTuple):
    """A sound file and what is true of it."""

    shape: str
    content: bytes
    states: dict[int, Trees]
    places: dict[int, set[int]]  # page -> the pages that a report about it may name

    @property
    def newest(self) -> Trees:
        return self.states[max(self.states)]


def sound(shape: str) -> Sound:
    with tempfile.TemporaryDirectory(prefix="cowtree-rot-", dir=in_memory()) as folder:
        path = Path(folder) / "sound.cow"
        states = make(shape, path)
        content = path.read_bytes()
    file = HostileFile(content)
    places = {
        part.page + i: {part.page, part.page + i}
        for part in file.parts()
        for i in range(part.pages)
    }
    return Sound(shape, content, states, places)


def flip(made: Sound, path: Path, offset: int, mask: int, *, mapped: bool) -> Rotten:
    """Open the file with one byte changed and read all of it."""
    content = bytearray(made.content)
    content[offset] ^= mask
    path.write_bytes(content)
    page_size = int.from_bytes(made.content[44:48], "little")
    page = offset // page_size
    reports: list[str] = []
    try:
        problem = _examine(made, path, mapped, reports)
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
    named = {int(found) for text in reports for found in re.findall(r"page (\d+)", text)}
    if not problem and page in made.places:
        if not reports:
            problem = f"nobody noticed the damage of page {page}"
        elif not named & made.places[page]:
            problem = f"page {page} is damaged, but it is said: {reports[:3]}"
    if not problem and path.read_bytes() != content:
        problem = "reading changed the file"
    return Rotten(made.shape, offset, mask, bool(reports), problem)


def _examine(made: Sound, path: Path, mapped: bool, reports: list[str]) -> str:
    """Read in many ways; what is wrong, or nothing. Damage is noted in `reports`."""

    def ask(call: Callable[[], Any], right: object) -> str:
        try:
            found = call()
        except DAMAGE as error:
            reports.append(str(error))
            return ""
        return "" if found == right else f"wrong: {found!r:.200} instead of {right!r:.200}"

    try:
        db = cowtree.open(path, readonly=True, mmap=mapped)
    except DAMAGE as error:
        reports.append(str(error))
        return ""
    with db:
        questions: list[tuple[Callable[[], Any], object]] = [
            (lambda: db.commit_id, max(made.states)),
            (db.trees, sorted(name for name in made.newest if name is not None)),
        ]
        for commit_id, trees in made.states.items():
            questions += _questions(db, commit_id, trees)
        for call, right in questions:
            problem = ask(call, right)
            if problem:
                return problem
        try:
            reports += db.check().problems
        except DAMAGE as error:
            reports.append(str(error))
    return ""


def _questions(
    db: cowtree.Database, commit_id: int, trees: Trees
) -> list[tuple[Callable[[], Any], object]]:
    found: list[tuple[Callable[[], Any], object]] = []

    def tree(name: str | None) -> Any:
        return db.snapshot(commit_id).tree(name)

    for name, entries in trees.items():
        keys = sorted(entries)
        found += [
            (lambda name=name: dict(tree(name).items()), entries),
            (lambda name=name: list(tree(name).keys(reverse=True)), keys[::-1]),
            (
                lambda name=name, keys=keys[::5]: tree(name).get_many(keys),
                [entries[key] for key in keys[::5]],
            ),
            (lambda name=name: len(tree(name)), len(entries)),
        ]
        if keys:
            middle = len(keys) // 2
            found += [
                (lambda name=name, i=middle: tree(name).nth(i)[0], keys[middle]),
                (lambda name=name, key=keys[middle]: tree(name).rank(key), middle),
                (lambda name=name, key=keys[-1]: tree(name).get(key), entries[keys[-1]]),
            ]
    return found


def _share(work: tuple[dict[str, Sound], list[tuple[str, int, int]]]) -> list[Rotten]:
    made, flips = work
    found = []
    with tempfile.TemporaryDirectory(prefix="cowtree-rot-", dir=in_memory()) as folder:
        for number, (shape, offset, mask) in enumerate(flips):
            path = Path(folder) / f"{number % 8}.cow"
            found.append(flip(made[shape], path, offset, mask, mapped=number % 4 > 0))
            os.unlink(path)
    return found


def campaign(seed: int, flips: int | None, jobs: int) -> Iterator[list[Rotten]]:
    """So many flips of random bytes, or (None) one of every byte of every shape."""
    rng = random.Random(seed)
    made = {shape: sound(shape) for shape in SHAPES}
    places = [(shape, offset) for shape in SHAPES for offset in range(len(made[shape].content))]
    if flips is not None:
        places = rng.sample(places, min(flips, len(places)))
    chosen = [(shape, offset, 1 << rng.randrange(8)) for shape, offset in places]
    shares = [(made, chosen[i : i + 200]) for i in range(0, len(chosen), 200)]
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(_share, shares)
