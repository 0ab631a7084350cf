"""Forged files: pages rewritten with checksums that are right, as damage never is but a hostile file may be.

A file that was closed cleanly names its tip in a checkpoint slot, so that no older record is verified when it is
opened: whatever is rewritten there, with its page sealed again, is met by the code that reads the past.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

PAGE = 4096
COMMIT, LEAF, BRANCH, RUN = 2, 3, 4, 5  # FORMAT §2.0
INLINE = 0

# Offsets in a commit page, FORMAT §3.1.
FLAGS, SEQUENCE, COMMIT_ID, NONCE, TIME = 46, 96, 104, 112, 128
PAGE_COUNT, PREVIOUS_PAGE = 136, 144
DEFAULT_TREE, CATALOGUE = 224, 256
SKIP_OFFSET, SKIP_COUNT = 294, 296
# In a tree record, §3.3.
RECORD_LEVEL, RECORD_CODECS, RECORD_ROOT, RECORD_ENTRIES, RECORD_PAGES = 1, 4, 8, 16, 24
# In a tag record, §3.3.
TAG_ID, TAG_NONCE, TAG_PAGE, TAG_TIME = 8, 16, 24, 32


@dataclass(frozen=True)
class Record:
    """A commit page, as far as forging needs it."""

    page: int
    commit_id: int
    administrative: bool
    previous: int
    catalogue: int
    default_root: int


@dataclass(frozen=True)
class Slot:
    """An entry of a leaf: an inline value, or with kind 1 a run reference."""

    key: bytes
    value: bytes
    kind: int = INLINE


@dataclass(frozen=True)
class Child:
    """A child of a branch; the first one's separator is not stored."""

    separator: bytes
    page: int
    entries: int
    pages: int


def little(value: int, size: int) -> bytes:
    return (value & (256**size - 1)).to_bytes(size, "little")


class Forgery:
    """The bytes of a file, to be rewritten page by page."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.generation = self.number(72)

    def number(self, offset: int, size: int = 8) -> int:
        return int.from_bytes(self.content[offset : offset + size], "little")

    def get(self, page: int, offset: int, size: int = 8) -> int:
        return self.number(page * PAGE + offset, size)

    def put(self, page: int, offset: int, value: int, size: int = 8) -> None:
        """Rewrite a field and seal the page."""
        self.write(page, offset, little(value, size))

    def write(self, page: int, offset: int, data: bytes) -> None:
        self.content[page * PAGE + offset : page * PAGE + offset + len(data)] = data
        self.seal(page)

    def image(self, page: int) -> bytes:
        return bytes(self.content[page * PAGE : (page + 1) * PAGE])

    def seal(self, page: int) -> None:
        digest = xxhash.xxh64_intdigest(self.image(page)[8:], self.generation)
        self.content[page * PAGE : page * PAGE + 8] = little(digest, 8)

    # What is there.

    def records(self) -> list[Record]:
        """All of them, the oldest first."""
        found = []
        page = 2
        while (page + 1) * PAGE <= len(self.content) and self.get(page, 0):
            found.append(
                Record(
                    page,
                    self.get(page, COMMIT_ID),
                    bool(self.get(page, FLAGS, 2) & 2),
                    self.get(page, PREVIOUS_PAGE),
                    self.get(page, CATALOGUE),
                    self.get(page, DEFAULT_TREE),
                )
            )
            page += self.get(page, PAGE_COUNT)
        return found

    def commit(self, commit_id: int) -> Record:
        """The record that gave this id."""
        return next(r for r in self.records() if r.commit_id == commit_id and not r.administrative)

    def kind(self, page: int) -> int:
        return self.get(page, 24, 1)

    def slots(self, page: int) -> list[Slot]:
        """The entries of a leaf."""
        image = self.image(page)
        count, prefix = self.get(page, 26, 2), self.get(page, 28, 2)
        found = []
        for i in range(count):
            at = self.get(page, 40 + 4 * count + 2 * i, 2)
            size, value_size = self.get(page, at + 1, 2), self.get(page, at + 3, 2)
            key = image[PAGE - prefix :][:prefix] + image[at + 5 : at + 5 + size]
            value = image[at + 5 + size : at + 5 + size + value_size]
            found.append(Slot(key, value, image[at]))
        return found

    def children(self, page: int) -> list[Child]:
        """The children of a branch that is no embedded root."""
        image = self.image(page)
        count, prefix = self.get(page, 26, 2), self.get(page, 28, 2)
        found = []
        for i in range(count):
            at = self.get(page, 40 + 28 * count + 2 * i, 2)
            suffix = image[at + 2 : at + 2 + self.get(page, at, 2)]
            found.append(
                Child(
                    image[PAGE - prefix :][:prefix] + suffix if i else b"",
                    *(self.get(page, 40 + 8 * array * count + 8 * i) for array in range(3)),
                )
            )
        return found

    # What is put in its place.

    def put_leaf(self, page: int, slots: Iterable[Slot]) -> None:
        """A leaf in the place of another; keeps number and birth."""
        heads, places, heap = b"", b"", b""
        for slot in slots:
            entry = bytes([slot.kind]) + little(len(slot.key), 2) + little(len(slot.value), 2)
            heap = entry + slot.key + slot.value + heap
            heads += head(slot.key)
            places += little(PAGE - len(heap), 2)
        self._put_tree_page(page, LEAF, 0, len(places) // 2, heads + places, heap)

    def put_branch(self, page: int, level: int, children: list[Child]) -> None:
        """A branch in the place of another page; keeps number and birth."""
        heap, heads, places = b"", b"", b""
        for i, child in enumerate(children):
            suffix = child.separator if i else b""
            heap = little(len(suffix), 2) + suffix + heap
            heads += head(suffix) if i else bytes(4)
            places += little(PAGE - len(heap), 2)
        arrays = b"".join(little(child.page, 8) for child in children)
        arrays += b"".join(little(child.entries, 8) for child in children)
        arrays += b"".join(little(child.pages, 8) for child in children)
        self._put_tree_page(page, BRANCH, level, len(children), arrays + heads + places, heap)

    def _put_tree_page(
        self, page: int, kind: int, level: int, count: int, arrays: bytes, heap: bytes
    ) -> None:
        header = self.image(page)[:24] + bytes([kind, level]) + little(count, 2) + bytes(4)
        header += little(PAGE - len(heap), 4) + bytes(4)
        free = PAGE - len(header) - len(arrays) - len(heap)
        assert free >= 0, "does not fit"
        self.write(page, 0, header + arrays + bytes(free) + heap)

    # The catalogue, whose root is a leaf in these small files.

    def catalogue_value(self, record: Record, key: bytes) -> bytes:
        return next(slot.value for slot in self.slots(record.catalogue) if slot.key == key)

    def put_catalogue(self, record: Record, key: bytes, value: bytes) -> None:
        """Change or add an entry of a commit's catalogue."""
        slots = {slot.key: slot for slot in self.slots(record.catalogue)}
        slots[key] = Slot(key, value)
        self.put_leaf(record.catalogue, [slots[k] for k in sorted(slots)])

    def patch_catalogue(
        self, record: Record, key: bytes, offset: int, value: int, size: int = 8
    ) -> None:
        """Rewrite a field in the value of an entry."""
        old = self.catalogue_value(record, key)
        self.put_catalogue(record, key, old[:offset] + little(value, size) + old[offset + size :])


def head(suffix: bytes) -> bytes:
    """FORMAT §4: the first four bytes, as a number that compares as they do."""
    return little(int.from_bytes(suffix[:4].ljust(4, b"\0"), "big"), 4)
