"""A file of which any page may be damaged: its pages, verified and parsed, or None."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeVar

from cowtree.checksum import checksum
from cowtree.errors import FormatError

__all__ = ["Commit", "DamagedFile", "Page", "TreeReference"]

COMMIT, LEAF, BRANCH, RUN = 2, 3, 4, 5  # FORMAT §2.0
PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)
_FILE_MAGIC = b"\x89cowtr\r\n"
_COMMIT_MAGIC = b"cow-cmt1"
_HEADER_SIZE = 40
_CACHED_PAGES = 4096
_KIND_MASK, _INLINE, _ENTRY_RUN = 15, 0, 1
_ADMINISTRATIVE, _EMBEDDED = 2, 4
_GAP = 2
_TREE = struct.Struct("<QQQB")

T = TypeVar("T")


class TreeReference(NamedTuple):
    """Where a tree begins (FORMAT §3.3); `offset`: of a root embedded in a commit page, else 0."""

    root: int
    entries: int
    level: int
    offset: int = 0


class Commit(NamedTuple):
    """What an intact commit page says."""

    page: int
    end: int
    sequence: int
    commit_id: int
    default_tree: TreeReference
    catalogue: TreeReference


class Run(NamedTuple):
    """A value that is not in the leaf."""

    page: int
    size: int


class Page(NamedTuple):
    """A leaf: keys and values. A branch: separators (the first is empty), children and how many entries are below."""

    number: int
    birth: int
    level: int
    keys: list[bytes]
    values: list[bytes | Run]
    children: list[int]
    counts: list[int]


class DamagedFile:
    """Reads by position; a page that does not verify, or cannot be read, is None.

    FormatError: nothing in it says what it is.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = open(path, "rb")  # noqa: SIM115 (closed by `close`)
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self.page_size, self.generation = self._identify()
        except BaseException:
            self._file.close()
            raise
        self.page_count = self.size // self.page_size
        self.tree_page: Callable[[int], Page | None] = lru_cache(_CACHED_PAGES)(self._tree_page)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    # ------------------------------------------------------------------------------------------------------- identity

    def _identify(self) -> tuple[int, int]:
        """Page size and generation, of page 0, or where that is damaged of the first commit page that is whole."""
        head = self._read(0, PAGE_SIZES[-1])
        if head[32:40] == _FILE_MAGIC:
            size, generation = _u32(head, 44), _u64(head, 72)
            if size in PAGE_SIZES and _u64(head, 0) == checksum(head[8:size], generation):
                return size, generation
        for offset in range(PAGE_SIZES[0], self.size, PAGE_SIZES[0]):
            page = self._read(offset, PAGE_SIZES[-1])
            number = _u64(page, 8) if len(page) >= PAGE_SIZES[0] else 0
            if page[32:40] != _COMMIT_MAGIC or not number or offset % number:
                continue
            size, generation = offset // number, _u64(page, 88)
            if size in PAGE_SIZES and _u64(page, 0) == checksum(page[8:size], generation):
                return size, generation
        raise FormatError(f"{self.path}: neither its first page nor any commit page can be read")

    # ---------------------------------------------------------------------------------------------------------- pages

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), size, offset)
        except (
            OSError,
            OverflowError,
        ):  # the device, or an offset that none has: as good as damaged
            return b""

    def image(self, number: int) -> bytes | None:
        """The bytes of a page that verifies; not of one inside a run."""
        image = self._read(number * self.page_size, self.page_size)
        if (
            len(image) != self.page_size
            or _u64(image, 8) != number
            or _u64(image, 0) != checksum(image[8:], self.generation)
        ):
            return None
        return image

    def commits(self, images: Iterator[tuple[int, bytes]]) -> list[Commit]:
        """Of verified pages those that are commits, the newest first."""
        found = [_attempt(lambda at=at: self._commit(*at)) for at in images]  # type: ignore[misc]
        return sorted((c for c in found if c is not None), key=lambda c: c.sequence, reverse=True)

    def _commit(self, number: int, image: bytes) -> Commit | None:
        if image[24] != COMMIT or image[32:40] != _COMMIT_MAGIC or image[44] == _GAP:
            return None
        flags = _u16(image, 46)
        root, entries, _, level = _TREE.unpack_from(image, 224)
        offset = _u16(image, 288) if flags & _EMBEDDED else 0
        default = TreeReference(root, entries, level, offset)
        root, entries, _, level = _TREE.unpack_from(image, 256)
        return Commit(
            number,
            number + _u64(image, 136),
            _u64(image, 96),
            _u64(image, 104),
            default,
            TreeReference(root, entries, level),
        )

    def is_written(self, number: int) -> bool:
        """Is there a page, damaged or not? A page begins with zeros where nothing was written (FORMAT I6)."""
        return any(self._read(number * self.page_size, 8))

    def pages(self, progress: Callable[[int, int], object] | None) -> Iterator[tuple[int, bytes]]:
        """Every page that verifies, in order."""
        for number in range(2, self.page_count):
            image = self.image(number)
            if image is not None:
                yield number, image
            if progress is not None and number % 256 == 0:
                progress(number * self.page_size, self.size)

    def _tree_page(self, number: int) -> Page | None:
        image = self.image(number)
        return None if image is None else self.parsed(number, image)

    def parsed(self, number: int, image: bytes) -> Page | None:
        """A leaf or branch; None: it is none, or not sound."""
        if image[24] not in (LEAF, BRANCH):
            return None
        return _attempt(lambda: _parse(number, image, number))

    def root(self, tree: TreeReference) -> Page | None:
        """The root of a tree that is not empty."""
        if not tree.offset:
            return self.tree_page(tree.root)
        image = self.image(tree.root)
        if image is None:
            return None
        return _attempt(lambda: _parse(tree.root, image[tree.offset :], self.page_count))

    def value(self, run: Run) -> bytes | None:
        """A large value, if all of its pages verify."""
        return _attempt(lambda: self._value(run))

    def _value(self, run: Run) -> bytes | None:
        head = self._read(run.page * self.page_size, 64)
        count = _u64(head, 32)
        if (
            head[24] != RUN
            or _u64(head, 8) != run.page
            or _u64(head, 0) != checksum(head[8:], self.generation)
            or _u64(head, 40) != run.size
            or count > self.page_count - run.page
            or run.size + 64 + 8 * count > count * self.page_size
        ):
            return None
        data = self._read(run.page * self.page_size, count * self.page_size)
        table = count * self.page_size - 8 * count
        if len(data) != count * self.page_size or _u64(head, 48) != checksum(
            data[table:], self.generation
        ):
            return None
        for i in range(count):
            low, high = max(64, i * self.page_size), min(table, (i + 1) * self.page_size)
            part = data[low:high] if low < high else b""
            if _u64(data, table + 8 * i) != checksum(part, (self.generation + i) % (1 << 64)):
                return None
        return data[64 : 64 + run.size]


def _attempt(work: Callable[[], T]) -> T | None:
    """None where bytes make no sense although their checksum is right."""
    try:
        return work()
    except (ValueError, IndexError, struct.error):
        return None


def _parse(number: int, image: bytes, limit: int) -> Page:
    """A tree page's image (FORMAT §4); children and runs lie below `limit`. ValueError: not sound."""
    leaf, level = image[24] == LEAF, image[25]
    count, prefix_size = _u16(image, 26), _u16(image, 28)
    if count == 0 or leaf != (level == 0):
        raise ValueError
    prefix = image[len(image) - prefix_size :]
    page = Page(number, _u64(image, 16), level, [], [], [], [])
    for i in range(count):
        if leaf:
            at = _u16(image, _HEADER_SIZE + 4 * count + 2 * i)
            size, value_size = _u16(image, at + 1), _u16(image, at + 3)
            data = _cut(image, at + 5, size + value_size)
            page.keys.append(prefix + data[:size])
            page.values.append(_entry_value(image[at], data[size:], limit))
        else:
            at = _u16(image, _HEADER_SIZE + 28 * count + 2 * i)
            page.keys.append(prefix + _cut(image, at + 2, _u16(image, at)) if i else b"")
            page.children.append(_u64(image, _HEADER_SIZE + 8 * i))
            page.counts.append(_u64(image, _HEADER_SIZE + 8 * count + 8 * i))
    if any(a >= b for a, b in zip(page.keys, page.keys[1:], strict=False)):
        raise ValueError
    if any(not 2 < child < limit for child in page.children):
        raise ValueError
    return page


def _entry_value(kind: int, value: bytes, limit: int) -> bytes | Run:
    if kind & _KIND_MASK == _INLINE:
        return value
    if kind & _KIND_MASK != _ENTRY_RUN or not 2 < _u64(value, 0) < limit:
        raise ValueError
    return Run(_u64(value, 0), _u64(value, 16))


def _cut(image: bytes, at: int, size: int) -> bytes:
    if at < _HEADER_SIZE or at + size > len(image):
        raise ValueError
    return image[at : at + size]


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")
