"""Salvage: the newest state that can be read, what is missing from it as older commits have it, and what fits nowhere.

newest intact commit page ──> its trees, walked; a page that does not verify leaves a range of keys open
                                └─> the same range of the same tree in the commit before, and so on
leaves that no intact commit leads to ──> the tree "lost+found"
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cowtree
from cowtree.catalogue import TAG, TREE
from cowtree.codecs.recorded import RecordedCodec
from cowtree.rescue.damaged_file import Commit, DamagedFile, Page, TreeReference

__all__ = ["LOST_AND_FOUND", "Loss", "SalvageReport", "salvage"]

LOST_AND_FOUND = "lost+found"

# Commits before the one of a gap that are looked at one by one; then every second, fourth, ...
_NEAR_COMMITS = 64
_TREE_RECORD = struct.Struct("<BBHHHQQQQ8x")  # FORMAT §3.3

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Loss:
    """Keys of the newest commit that could not be read: start <= key < stop (None: no bound)."""

    tree: str | None
    """Its name; None: the default tree, or with `catalogue` the tree that holds the names and roots of the others."""
    start: bytes | None
    stop: bytes | None
    page: int
    """Where it is damaged."""
    entries: int
    """How many there were."""
    found: int
    """Entries in that range that older commits gave. They may be out of date, or deleted since."""
    commit_id: int | None
    """The newest commit that gave some."""
    catalogue: bool = False
    """Are the keys those of the catalogue (FORMAT §3.3)?"""


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """What was taken out of a damaged file."""

    commit_id: int | None
    """The newest commit whose page is intact; None: there is none."""
    entries: int
    """Written, without those of `lost+found`."""
    losses: tuple[Loss, ...]
    newer_lost: bool
    """Was there a newer commit, finished or not, whose own page cannot be read?"""
    lost_and_found: int
    """Entries in leaves that no intact commit leads to."""

    @property
    def whole(self) -> bool:
        """Is nothing missing of the newest commit?"""
        return self.commit_id is not None and not self.losses and not self.newer_lost


class _Hole(NamedTuple):
    low: bytes | None
    high: bytes | None
    page: int
    entries: int


_Item = tuple[bytes, bytes] | _Hole


def salvage(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> SalvageReport:
    """Write what still verifies of the file at `path`, which is only read, into a new database at `target`.

    Trees keep their names and recorded codecs; history, tags and settings are not taken. Reads every page once, and
    those of trees again: O(size of the file); memory grows with its number of pages by some bytes each. FormatError:
    neither the first page nor any commit page can be read; FileExistsError; OSError.
    """
    target = os.fspath(target)
    if os.path.lexists(target):
        raise FileExistsError(17, "exists already", target)
    file = DamagedFile(os.fspath(path))
    try:
        work = _Salvage(file, progress)
        db = cowtree.open(target, sync=False, page_size=file.page_size)
        try:
            with db, db.transaction(sync=True) as txn:
                report = work.write(txn)
        except BaseException:
            os.unlink(target)
            raise
        return report
    finally:
        file.close()


@dataclass
class _Found:
    """Counts while a range is filled."""

    entries: int = 0
    commit_id: int | None = None


@dataclass
class _Salvage:
    file: DamagedFile
    progress: Progress | None
    losses: list[Loss] = field(default_factory=list)
    entries: int = 0

    def __post_init__(self) -> None:
        self.leaves: list[int] = []
        self.commits = self.file.commits(self._looked_at())
        end = self.commits[0].end if self.commits else 0
        self.newer_lost = self.file.is_written(end) or bool(self.leaves and self.leaves[-1] >= end)

    def _looked_at(self) -> Iterator[tuple[int, bytes]]:
        """Every page that verifies; which of them are leaves is noted."""
        for number, image in self.file.pages(self.progress):
            if image[24] == 3:
                self.leaves.append(number)
            yield number, image

    def write(self, txn: cowtree.Transaction) -> SalvageReport:
        """Everything, into an empty database."""
        if self.commits:
            names = self._names()
            self._write_tree(txn, None, None)
            for name in names:
                self._write_tree(txn, name, self._codecs(name))
        orphans = self._orphans()
        if orphans:
            txn.tree(LOST_AND_FOUND).load(sorted(orphans.items()))
        return SalvageReport(
            commit_id=self.commits[0].commit_id if self.commits else None,
            entries=self.entries,
            losses=tuple(self.losses),
            newer_lost=self.newer_lost,
            lost_and_found=len(orphans),
        )

    # ---------------------------------------------------------------------------------------------------------- trees

    def _names(self) -> list[str]:
        """The named trees of the newest commit; where its catalogue is damaged, older ones add theirs."""
        names = []
        for key, _ in self._recovered(None, self._catalogue, None, None, note=True):
            if key[:1] == TREE and len(key) > 1:
                names.append(key[1:].decode("utf-8", "replace"))
        return sorted(set(names))

    def _catalogue(self, commit: Commit) -> TreeReference | None:
        return commit.catalogue

    def _record(self, commit: Commit, name: str | None) -> bytes | None:
        key = TREE + (b"" if name is None else name.encode())
        for item in self._walk(commit.catalogue, key, key + b"\0"):
            if not isinstance(item, _Hole):
                return item[1]
        return None

    def _reference(self, commit: Commit, name: str | None) -> TreeReference | None:
        if name is None:
            return commit.default_tree
        record = self._record(commit, name)
        if record is None or len(record) < _TREE_RECORD.size:
            return None
        _, level, _, _, _, root, entries, _, _ = _TREE_RECORD.unpack_from(record)
        return TreeReference(root, entries, level)

    def _codecs(self, name: str | None) -> tuple[str, str]:
        for commit in self.commits:
            record = self._record(commit, name)
            if record is not None and len(record) >= _TREE_RECORD.size:
                key_size, value_size = _TREE_RECORD.unpack_from(record)[3:5]
                names = record[_TREE_RECORD.size :]
                return (
                    names[:key_size].decode("utf-8", "replace"),
                    names[key_size : key_size + value_size].decode("utf-8", "replace"),
                )
        return "", ""

    def _write_tree(
        self, txn: cowtree.Transaction, name: str | None, codecs: tuple[str, str] | None
    ) -> None:
        key, value = codecs or self._codecs(name)
        tree: Any = txn
        tree = tree.tree(
            name,
            key=RecordedCodec(key) if key else None,
            value=RecordedCodec(value) if value else None,
        )
        if (
            name is not None or key or value
        ):  # a tree is there, and records its codecs, when it was written to
            tree.put(b"", b"")
            tree.delete(b"")

        def reference(commit: Commit) -> TreeReference | None:
            return self._reference(commit, name)

        self.entries += tree.load(self._recovered(name, reference, None, None, note=True))

    # --------------------------------------------------------------------------------------------------------- ranges

    def _recovered(
        self,
        name: str | None,
        reference: Callable[[Commit], TreeReference | None],
        low: bytes | None,
        high: bytes | None,
        *,
        note: bool,
        index: int = 0,
        found: _Found | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Entries with low <= key < high of a tree in a commit; what is open there, of older ones."""
        tree = reference(self.commits[index])
        if tree is None:
            return
        for item in self._walk(tree, low, high):
            if not isinstance(item, _Hole):
                if found is not None:
                    found.entries += 1
                    found.commit_id = max(found.commit_id or 0, self.commits[index].commit_id)
                yield item
                continue
            filled = _Found() if found is None else found
            for older in self._older(index):
                before = reference(self.commits[older])
                if before is not None and self._differs(before, item):
                    yield from self._recovered(
                        name, reference, item.low, item.high, note=False, index=older, found=filled
                    )
                    break
            if note:
                self.losses.append(
                    Loss(
                        name,
                        item.low,
                        item.high,
                        item.page,
                        item.entries,
                        filled.entries,
                        filled.commit_id,
                        reference == self._catalogue,
                    )
                )

    def _older(self, index: int) -> Iterator[int]:
        """Commits before one, nearer ones more closely."""
        step, at = 1, index + 1
        while at < len(self.commits):
            yield at
            if at - index >= _NEAR_COMMITS * step:
                step *= 2
            at += step

    def _differs(self, tree: TreeReference, hole: _Hole) -> bool:
        """Has that tree anything to give in the range? Not if the same page is damaged there."""
        first = next(self._walk(tree, hole.low, hole.high), None)
        return not (isinstance(first, _Hole) and first.page == hole.page)

    def _walk(self, tree: TreeReference, low: bytes | None, high: bytes | None) -> Iterator[_Item]:
        """Entries and holes of a range of a tree, in order."""
        if tree.root:
            page = self.file.root(tree)
            if page is None or page.level != tree.level:
                yield _Hole(low, high, tree.root, tree.entries)
            else:
                yield from self._walk_page(page, low, high)

    def _walk_page(self, page: Page, low: bytes | None, high: bytes | None) -> Iterator[_Item]:
        if page.level == 0:
            yield from self._walk_leaf(page, low, high)
            return
        for i, child in enumerate(page.children):
            first = page.keys[i] if i else None
            last = page.keys[i + 1] if i + 1 < len(page.keys) else None
            start = low if first is None or (low is not None and low > first) else first
            stop = high if last is None or (high is not None and high < last) else last
            if start is not None and stop is not None and start >= stop:
                continue
            below = self.file.tree_page(child)
            if below is None or below.level != page.level - 1:
                yield _Hole(start, stop, child, page.counts[i])
            else:
                yield from self._walk_page(below, start, stop)

    def _walk_leaf(self, page: Page, low: bytes | None, high: bytes | None) -> Iterator[_Item]:
        for key, value in zip(page.keys, page.values, strict=True):
            if (low is not None and key < low) or (high is not None and key >= high):
                continue
            if isinstance(value, bytes):
                yield key, value
                continue
            data = self.file.value(value)
            if data is None:
                yield _Hole(key, key + b"\0", value.page, 1)
            else:
                yield key, data

    # -------------------------------------------------------------------------------------------------------- orphans

    def _orphans(self) -> dict[bytes, bytes]:
        """Entries of leaves that no intact commit leads to; of several with a key that of the youngest leaf."""
        if not self.newer_lost and not self.losses:
            return {}
        reached = self._reached()
        found: dict[bytes, tuple[int, bytes]] = {}
        for number in self.leaves:
            page = self.file.tree_page(number) if number not in reached else None
            if page is None or page.level:
                continue
            for item in self._walk_leaf(page, None, None):
                if not isinstance(item, _Hole):
                    key, value = item
                    if key not in found or found[key][0] <= page.birth:
                        found[key] = (page.birth, value)
        return {key: value for key, (_, value) in found.items()}

    def _reached(self) -> set[int]:
        """Pages below the roots of all intact commits."""
        reached: set[int] = set()
        for commit in self.commits:
            references = [commit.default_tree, commit.catalogue]
            for item in self._walk(commit.catalogue, TREE, TAG):
                if not isinstance(item, _Hole) and len(item[1]) >= _TREE_RECORD.size:
                    fields = _TREE_RECORD.unpack_from(item[1])
                    references.append(TreeReference(fields[5], fields[6], fields[1]))
            for reference in references:
                page = self.file.root(reference) if reference.root else None
                if page is not None:
                    self._reach(page, reached, embedded=bool(reference.offset))
        return reached

    def _reach(self, page: Page, reached: set[int], *, embedded: bool) -> None:
        pending = [page]
        while pending:
            page = pending.pop()
            if not embedded:
                if page.number in reached:
                    continue
                reached.add(page.number)
            embedded = False
            for child in page.children:
                if child not in reached:
                    below = self.file.tree_page(child) if page.level > 1 else None
                    if below is not None and below.level == page.level - 1:
                        pending.append(below)
                    elif page.level == 1:
                        reached.add(child)
