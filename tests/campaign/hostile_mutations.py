"""Changes to a database that no damage makes: fields with other values, under checksums and digests that are right."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import xxhash

__all__ = ["HostileFile", "Part", "mutate"]

IDENTITY, COMMIT, LEAF, BRANCH, RUN, RETIRED = 1, 2, 3, 4, 5, 6  # FORMAT §2.0
GENERATION, PAGE_SIZE = 72, 44  # in page 0, §2.1
NONCE, RANGE_PAGES, PREVIOUS_DIGEST, DIGEST = 112, 136, 160, 176  # in a commit page, §3.1
EMBEDDED = 288
SLOT_SIZE = 128  # of page 1, §2.2

Field = tuple[int, int]
HEADER: list[Field] = [(8, 8), (16, 8), (24, 1), (25, 1), (26, 2), (28, 2), (30, 2)]
TREE_HEADER: list[Field] = [*HEADER, (32, 4), (36, 4)]
FIELDS: dict[int, list[Field]] = {
    IDENTITY: [*HEADER, (32, 8), (40, 4), (44, 4), (48, 4), (56, 8), *((i, 8) for i in (80, 88, 96, 104))],
    COMMIT: [
        *HEADER,
        *((32, 8), (40, 4), (44, 1), (46, 2)),
        *((i, 8) for i in range(48, 288, 8)),
        *((i, 2) for i in range(288, 304, 2)),
        *((i, 8) for i in range(304, 328, 8)),
        *((i, 1) for i in (248, 280)),
        *((i, 8) for i in range(352, 400, 8)),
    ],
    LEAF: TREE_HEADER,
    BRANCH: TREE_HEADER,
    RUN: [(8, 8), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8), (56, 8)],
    RETIRED: [*HEADER, (32, 8), (40, 4), (44, 4), *((i, 1) for i in range(48, 60))],
}  # fmt: skip
CHECKPOINT: list[Field] = [
    *((i, 8) for i in range(8, 64, 8)),
    (64, 4),
    *((i, 8) for i in (72, 80, 88)),
]


class Part(NamedTuple):
    """A page, or a run as a whole."""

    page: int
    pages: int
    kind: int


class HostileFile:
    """The bytes of a file, where its parts are, and the seals to be put right after a change."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.page_size = self.number(PAGE_SIZE, 4)
        self.generation = self.number(GENERATION)
        self.records: list[list[Part]] = []
        page = 2
        while (page + 1) * self.page_size <= len(content) and self.number(page * self.page_size):
            count = self.number(page * self.page_size + RANGE_PAGES)
            self.records.append(self._parts(page, page + count))
            page += count
        self.end = page

    def _parts(self, page: int, end: int) -> list[Part]:
        found = []
        while page < end:
            kind = self.number(page * self.page_size + 24, 1)
            pages = self.number(page * self.page_size + 32) if kind == RUN else 1
            found.append(Part(page, pages, kind))
            page += pages
        return found

    def parts(self) -> list[Part]:
        return [part for record in self.records for part in record]

    def number(self, offset: int, size: int = 8) -> int:
        return int.from_bytes(self.content[offset : offset + size], "little")

    def put(self, offset: int, value: int, size: int = 8) -> None:
        data = (value & (256**size - 1)).to_bytes(size, "little")
        size = min(size, max(0, len(self.content) - offset))
        self.content[offset : offset + size] = data[:size]

    def tree_image(self, part: Part) -> int:
        """Offset of the tree page in a part: of a commit page, of the root in it (0: there is none)."""
        start = part.page * self.page_size
        if part.kind in (LEAF, BRANCH):
            return start
        embedded = self.number(start + EMBEDDED, 2) if part.kind == COMMIT else 0
        return start + embedded if 352 <= embedded < self.page_size - 40 else 0

    # Seals.

    def hashed(self, start: int, end: int, seed: int) -> int:
        return xxhash.xxh64_intdigest(bytes(self.content[start:end]), seed & (2**64 - 1))

    def seal(self, part: Part) -> None:
        start, size = part.page * self.page_size, self.page_size
        if part.kind != RUN:
            self.put(start, self.hashed(start + 8, start + size, self.generation))
            return
        table = start + part.pages * size - 8 * part.pages
        for i in range(part.pages):
            low, high = max(start + i * size, start + 64), min(start + (i + 1) * size, table)
            self.put(table + 8 * i, self.hashed(low, max(low, high), self.generation + i))
        self.put(start + 48, self.hashed(table, table + 8 * part.pages, self.generation))
        self.put(start, self.hashed(start + 8, start + 64, self.generation))

    def seal_all(self) -> None:
        """Checksums of all parts, then the digests, record by record (FORMAT §3.2)."""
        digest = b""
        for record in self.records:
            commit, start = record[0], record[0].page * self.page_size
            listed = bytearray()
            for part in record[1:]:
                self.seal(part)
                at = part.page * self.page_size
                listed += part.page.to_bytes(8, "little") + self.content[at : at + 8].ljust(
                    8, b"\0"
                )
            if start + self.page_size > len(self.content):
                return
            if digest:
                self.content[start + PREVIOUS_DIGEST : start + PREVIOUS_DIGEST + 16] = digest
            data, nonce = bytes(listed), self.number(start + NONCE)
            digest = b"".join(
                xxhash.xxh64_intdigest(data, seed).to_bytes(8, "little")
                for seed in (self.generation, nonce)
            )
            self.content[start + DIGEST : start + DIGEST + 16] = digest
            self.seal(commit)

    def seal_fixed(self) -> None:
        """Page 0 and the slots of page 1."""
        self.put(0, self.hashed(8, self.page_size, self.number(GENERATION)))
        for slot in (self.page_size, self.page_size + self.page_size // 2):
            if self.number(slot + 8):
                self.put(slot, self.hashed(slot + 8, slot + SLOT_SIZE, self.generation))


def _value(rng: random.Random, file: HostileFile, old: int, size: int) -> int:
    """A value that something may fall over."""
    most = 256**size - 1
    return rng.choice(
        [
            *(0, 1, 2, 3, most, most - 1, most >> 1, (most >> 1) + 1),
            *(old + 1, old - 1, old ^ (1 << rng.randrange(8 * size)), old * 2),
            *(rng.randrange(file.end + 2), file.end, file.page_size, file.page_size - 1),
            *(
                rng.randrange(most + 1),
                (1 << 56) - 1,
                1 << 56,
                (1 << 62) // file.page_size,
                352,
                40,
            ),
        ]
    )


def _field(rng: random.Random, file: HostileFile, part: Part) -> None:
    offset, size = rng.choice(FIELDS.get(part.kind, HEADER))
    at = part.page * file.page_size + offset
    file.put(at, _value(rng, file, file.number(at, size), size), size)


def _tree_field(rng: random.Random, file: HostileFile, part: Part) -> None:
    """The header of a tree page, an embedded one's too."""
    image = file.tree_image(part)
    if image:
        offset, size = rng.choice(TREE_HEADER)
        file.put(image + offset, _value(rng, file, file.number(image + offset, size), size), size)


def _array(rng: random.Random, file: HostileFile, part: Part) -> None:
    """An element of the arrays of a tree page: child, counts, head, offset."""
    image = file.tree_image(part)
    if not image:
        return
    count, branch = file.number(image + 26, 2), file.number(image + 24, 1) == BRANCH
    arrays = [(0, 8), (8, 8), (16, 8), (24, 4), (28, 2)] if branch else [(0, 4), (4, 2)]
    before, size = rng.choice(arrays)
    at = image + 40 + before * count + size * rng.randrange(max(1, count))
    if rng.randrange(3):
        file.put(at, _value(rng, file, file.number(at, size), size), size)
    else:  # what another slot says
        other = image + 40 + before * count + size * rng.randrange(max(1, count))
        file.put(at, file.number(other, size), size)


def _entry(rng: random.Random, file: HostileFile, part: Part) -> None:
    """The bytes of one entry: sizes, kind, a run reference, a record of the catalogue."""
    image = file.tree_image(part)
    count = file.number(image + 26, 2) if image else 0
    if not count:
        return
    arrays = 28 if file.number(image + 24, 1) == BRANCH else 4
    at = image + file.number(image + 40 + arrays * count + 2 * rng.randrange(count), 2)
    at += rng.choice([0, 1, 2, 3, 4, 5, rng.randrange(60)])
    size = rng.choice([1, 1, 2, 8])
    file.put(at, _value(rng, file, file.number(at, size), size), size)


def _swap_slots(rng: random.Random, file: HostileFile, part: Part) -> None:
    """Two entries in each other's place, heads and all: only the order of keys is wrong."""
    image = file.tree_image(part)
    count = file.number(image + 26, 2) if image else 0
    if count < 2:
        return
    one, other = rng.sample(range(count), 2)
    arrays = [(0, 8), (8, 8), (16, 8), (24, 4), (28, 2)]
    for before, size in arrays if file.number(image + 24, 1) == BRANCH else [(0, 4), (4, 2)]:
        a, b = (image + 40 + before * count + size * slot for slot in (one, other))
        first, second = file.number(a, size), file.number(b, size)
        file.put(a, second, size)
        file.put(b, first, size)


def _splice(rng: random.Random, file: HostileFile, part: Part) -> None:
    """The bytes of another page; mostly under this one's number and birth."""
    size = file.page_size
    source = rng.choice(file.parts()).page * size
    start, kept = part.page * size, rng.choice([0, 8, 24, 24])
    file.content[start + kept : start + size] = file.content[source + kept : source + size]


def _bytes(rng: random.Random, file: HostileFile, part: Part) -> None:
    start = part.page * file.page_size
    for _ in range(rng.choice([1, 1, 2, 8, 100])):
        at = start + rng.choice([rng.randrange(8, 600), rng.randrange(8, file.page_size)])
        file.put(at, rng.randrange(256), 1)


def _cut(rng: random.Random, file: HostileFile, part: Part) -> None:
    size = part.page * file.page_size + rng.choice([0, 1, 512, file.page_size - 1, file.page_size])
    del file.content[size:]


def _checkpoint(rng: random.Random, file: HostileFile, part: Part) -> None:
    offset, size = rng.choice(CHECKPOINT)
    at = file.page_size + rng.choice([0, file.page_size // 2]) + offset
    file.put(at, _value(rng, file, file.number(at, size), size), size)


def _identity(rng: random.Random, file: HostileFile, part: Part) -> None:
    _field(rng, file, Part(0, 1, IDENTITY))


MUTATIONS: list[tuple[int, Callable[[random.Random, HostileFile, Part], None]]] = [
    (6, _field), (3, _tree_field), (6, _array), (5, _entry), (2, _swap_slots), (2, _splice), (3, _bytes), (1, _cut),
    (2, _checkpoint), (1, _identity),
]  # fmt: skip


def mutate(content: bytes, rng: random.Random) -> bytes:
    """One to four changes, sealed again as a whole; one file in eight is sealed by pages only, without digests."""
    file = HostileFile(content)
    weights = [weight for weight, _ in MUTATIONS]
    parts = file.parts()
    changed = []
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        part = rng.choice(file.records[-1] if rng.randrange(3) else parts)
        ((_, change),) = rng.choices(MUTATIONS, weights)
        change(rng, file, part)
        changed.append(part)
    if rng.randrange(8):
        file.seal_all()
    else:
        for part in changed:
            file.seal(part)
    file.seal_fixed()
    return bytes(file.content)
