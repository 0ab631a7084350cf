"""Damaged files: the right value or an error, never a wrong value; and nothing is lost unnoticed.

The databases here are small and closed cleanly, so every record in them is known to be durable:
what the newest one needs may not be rolled back (FORMAT §6.2).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from model import pattern

import cowtree

pytestmark = pytest.mark.usefixtures("left_large")

PAGE_SIZE = 4096
DAMAGE = (cowtree.CorruptionError, cowtree.FormatError)
KIND_COMMIT, KIND_LEAF, KIND_BRANCH, KIND_RUN = 2, 3, 4, 5  # FORMAT §2.0
HEADER_SIZES = {KIND_RUN: 64}

ITEMS = {b"%03d" % i: pattern(i, 40 + i % 60) for i in range(200)}
ITEMS[b"large"] = pattern(1, 9000)
ITEMS[b""] = b""
TREE = {b"a": b"1", b"b": b"2"}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A closed database of one commit: branches, leaves, a run and a named tree."""
    path = tmp_path_factory.mktemp("intact") / "intact.cow"
    with cowtree.open(path) as db:
        with db.transaction() as txn:
            txn.update(ITEMS)
            txn.tree("t").update(TREE)
    return path.read_bytes()


def number(content: bytes, offset: int, size: int = 8) -> int:
    return int.from_bytes(content[offset : offset + size], "little")


def needed_pages(content: bytes) -> dict[int, int]:
    """Offset -> kind of the pages that the newest commit needs: commit page, tree pages, runs.

    The file has two records, the empty one at page 2 and the only commit, which uses all its pages.
    """
    pages = {}
    page_number = 3
    while page_number * PAGE_SIZE < len(content):
        offset = page_number * PAGE_SIZE
        kind = content[offset + 24]
        if kind in (KIND_COMMIT, KIND_LEAF, KIND_BRANCH, KIND_RUN):
            assert number(content, offset + 8) == page_number
            pages[offset] = kind
        count = number(content, offset + 32) if kind == KIND_RUN else 1
        page_number += count
    return pages


def examine(path: Path, *, readonly: bool) -> bool:
    """Read everything in many ways; True if damage was reported; a wrong value fails the test."""
    try:
        db = cowtree.open(path, readonly=readonly, create=False, sync=False)
    except DAMAGE:
        return True
    reported = False
    with db:
        for key, value in ITEMS.items():
            try:
                found = db.get(key)
            except DAMAGE:
                reported = True
            else:
                assert found == value, (key, found)
        try:
            assert dict(db.items()) == ITEMS
            assert list(reversed(db)) == sorted(ITEMS, reverse=True)
            assert len(db) == len(ITEMS)
            assert db.nth(100) == (b"099", ITEMS[b"099"])
            assert db.rank(b"100") == 101
        except DAMAGE:
            reported = True
        try:
            assert dict(db.tree("t")) == TREE
            assert db.trees() == ["t"]
        except DAMAGE:
            reported = True
        try:
            reported |= not db.check().ok
        except DAMAGE:
            reported = True
    return reported


def test_intact_file_has_pages_of_each_kind_and_no_problem(intact: bytes, path: Path) -> None:
    path.write_bytes(intact)
    assert not examine(path, readonly=True)
    assert path.read_bytes() == intact
    assert not examine(path, readonly=False)
    kinds = list(needed_pages(intact).values())
    assert {KIND_COMMIT, KIND_LEAF, KIND_RUN} <= set(kinds)


def flip_offsets(intact: bytes) -> Iterator[int]:
    """Every byte of the header of every page, and a seeded sample of the others."""
    kinds = needed_pages(intact)
    for page in range(0, len(intact), PAGE_SIZE):
        yield from range(page, page + HEADER_SIZES.get(kinds.get(page, 0), 40))
    yield from random.Random(1).sample(range(len(intact)), 500)


def test_flipped_byte_is_reported_and_never_gives_a_wrong_value(intact: bytes, path: Path) -> None:
    kinds = needed_pages(intact)
    starts = sorted(kinds)
    rng = random.Random(2)
    unreported = []
    for offset in sorted(set(flip_offsets(intact))):
        content = bytearray(intact)
        content[offset] ^= rng.choice([0x01, 0x80, 0xFF, rng.randrange(1, 256)])
        path.write_bytes(content)
        reported = examine(path, readonly=True)
        assert path.read_bytes() == content, "a read-only open wrote"
        page = offset - offset % PAGE_SIZE
        before = [start for start in starts if start <= offset]
        in_run = bool(before) and kinds[before[-1]] == KIND_RUN
        needed = page in kinds or (in_run and offset < before[-1] + run_size(intact, before[-1]))
        if needed and not reported:
            unreported.append(offset)
    assert not unreported


def run_size(content: bytes, offset: int) -> int:
    return number(content, offset + 32) * PAGE_SIZE


def test_flipped_byte_is_survived_by_a_writer(intact: bytes, path: Path) -> None:
    rng = random.Random(3)
    for offset in rng.sample(range(len(intact)), 250):
        content = bytearray(intact)
        content[offset] ^= rng.randrange(1, 256)
        path.write_bytes(content)
        examine(path, readonly=False)
        path.write_bytes(content)
        try:
            with cowtree.open(path, sync=False) as db:
                db[b"100"] = b"changed"
                db[b"large"] = b"changed"
        except DAMAGE:
            continue
        try:
            with cowtree.open(path, sync=False) as db:
                assert db[b"100"] == db[b"large"] == b"changed"
                assert db[b""] == b""
        except DAMAGE:
            continue


@pytest.mark.parametrize("mapped", [True, False])
def test_zeroed_or_swapped_pages_are_reported(intact: bytes, path: Path, mapped: bool) -> None:
    pages = sorted(needed_pages(intact))
    damaged = []
    for page in pages:
        damaged.append(intact[:page] + bytes(PAGE_SIZE) + intact[page + PAGE_SIZE :])
        for other in pages:
            if other != page:
                piece = intact[other : other + PAGE_SIZE]
                damaged.append(intact[:page] + piece + intact[page + PAGE_SIZE :])
    for content in damaged:
        path.write_bytes(content)
        try:
            with cowtree.open(path, readonly=True, mmap=mapped) as db:
                assert not db.check().ok
        except DAMAGE:
            pass
        assert examine(path, readonly=True)


def test_truncated_file_is_refused_or_right(intact: bytes, path: Path) -> None:
    rng = random.Random(4)
    pages = needed_pages(intact)
    end = max(
        page + (run_size(intact, page) if kind == KIND_RUN else PAGE_SIZE)
        for page, kind in pages.items()
    )
    sizes = {size + step for size in range(0, end, PAGE_SIZE) for step in (-1, 0, 1, 511, 512)}
    sizes |= {rng.randrange(end) for _ in range(60)} | {8, 24, 40, 100}
    for size in sorted(size for size in sizes if 0 < size < end):
        path.write_bytes(intact[:size])
        assert examine(path, readonly=True), size
        assert path.stat().st_size == size
        path.write_bytes(intact[:size])
        assert examine(path, readonly=False), size


@pytest.mark.parametrize(
    "tail",
    [bytes(1), bytes(100_000), b"junk" * 5000, b"\xff" * 4096, "pages", "file"],
    ids=["byte", "zeros", "junk", "ones", "pages", "file"],
)
def test_bytes_behind_the_end_are_ignored_and_cut(
    intact: bytes, path: Path, tail: bytes | str
) -> None:
    behind = {"pages": intact[-5 * PAGE_SIZE :], "file": intact}.get(str(tail), tail)
    assert isinstance(behind, bytes)
    path.write_bytes(intact + behind)
    assert not examine(path, readonly=True)
    assert path.read_bytes() == intact + behind
    with cowtree.open(path) as db:
        db[b"more"] = b"1"
        assert db.commit_id == 2
    with cowtree.open(path, readonly=True) as db:
        assert dict(db) == {**ITEMS, b"more": b"1"}
        assert db.check().ok


def test_values_that_look_like_the_file_itself_are_only_values(intact: bytes, path: Path) -> None:
    with cowtree.open(path) as db:
        db[b"file"] = intact
        db[b"page"] = intact[2 * PAGE_SIZE : 3 * PAGE_SIZE]
        db[b"own"] = path.read_bytes()
    with cowtree.open(path) as db:
        assert db[b"file"] == intact
        del db[b"own"]
    content = path.read_bytes()
    path.write_bytes(content + intact)
    with cowtree.open(path) as db:
        assert sorted(db) == [b"file", b"page"]
        assert db.commit_id == 4
        assert db.check().ok


def test_corruption_error_says_which_file_and_page(intact: bytes, path: Path) -> None:
    pages = needed_pages(intact)
    leaf = next(offset for offset, kind in pages.items() if kind == KIND_LEAF)
    content = bytearray(intact)
    content[leaf + 2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(cowtree.CorruptionError) as caught:
        with cowtree.open(path, readonly=True) as db:
            dict(db)
            dict(db.tree("t"))
    assert caught.value.page == leaf // PAGE_SIZE
    assert caught.value.path is not None
    assert os.path.samefile(caught.value.path, path)


def test_iterator_goes_on_raising_after_damage(intact: bytes, path: Path) -> None:
    pages = needed_pages(intact)
    content = bytearray(intact)
    for offset, kind in pages.items():
        if kind in (KIND_LEAF, KIND_RUN):
            content[offset + 1000] ^= 1
    path.write_bytes(content)
    try:
        db = cowtree.open(path, readonly=True)
    except DAMAGE:
        return
    with db:
        iterator = iter(db.items())
        with pytest.raises(cowtree.CorruptionError):
            for _ in iterator:
                pass
        for _ in range(3):
            with pytest.raises(cowtree.CorruptionError):
                next(iterator)


def test_damage_met_by_a_transaction_leaves_only_rollback(intact: bytes, path: Path) -> None:
    run = next(offset for offset, kind in needed_pages(intact).items() if kind == KIND_RUN)
    content = bytearray(intact)
    content[run + 5000] ^= 1
    path.write_bytes(content)
    try:
        db = cowtree.open(path, sync=False)
    except DAMAGE:
        return
    with db:
        txn = db.transaction()
        txn[b"new"] = b"1"
        with pytest.raises(cowtree.CorruptionError):
            txn.pop(b"large")
        with pytest.raises(cowtree.Error):
            txn.commit()
        txn.rollback()
        assert db.get(b"new") is None
        db[b"other"] = b"works"


@pytest.mark.parametrize("mapped", [True, False])
def test_file_truncated_beneath_a_reader_raises(path: Path, mapped: bool) -> None:
    with cowtree.open(path, sync=False) as db:
        db.update({b"%05d" % i: b"v" * 1000 for i in range(3000)})
    db = cowtree.open(path, readonly=True, mmap=mapped)
    snapshot = db.snapshot()
    assert len(snapshot) == 3000
    os.truncate(path, 5 * PAGE_SIZE)
    with pytest.raises((cowtree.Error, OSError)):
        assert set(snapshot.values()) == {b"v" * 1000}
        pytest.fail("read everything from a file that was cut")
    with pytest.raises((cowtree.Error, OSError)):
        snapshot.get_many([b"%05d" % i for i in range(3000)])
        pytest.fail("found everything in a file that was cut")
    db.close()


def test_check_names_damage_in_the_past(path: Path) -> None:
    """The newest commit is sound, an older one is not: reads of the newest are right, the check says where."""
    with cowtree.open(path) as db:
        db.update({b"%03d" % i: pattern(i, 300) for i in range(100)})
        db[b"large"] = pattern(3, 20_000)
        db.clear()
        db[b"k"] = b"v"
        assert db.check().ok
    intact = path.read_bytes()
    kinds = {KIND_LEAF: 0, KIND_RUN: 0, KIND_COMMIT: 0}
    for page in range(2, len(intact) // PAGE_SIZE - 1):
        offset = page * PAGE_SIZE
        if number(intact, offset + 8) != page:
            continue
        kind = intact[offset + 24]
        kinds[kind] += 1
        damaged = bytearray(intact)
        damaged[offset + 1000] ^= 1
        path.write_bytes(damaged)
        try:
            db = cowtree.open(path)
        except DAMAGE:
            continue  # the newest commit's own page
        with db:
            assert dict(db) == {b"k": b"v"}
            report = db.check()
            assert not report.ok and f"page {page}" in report.problems[0], (page, report.problems)
            assert len(report.problems) == 1 or kind == KIND_COMMIT
    assert all(kinds.values()), kinds


def test_check_says_which_tree_or_commit_a_damaged_page_is_of(path: Path) -> None:
    with cowtree.open(path) as db:
        db.tree("old").update({b"%03d" % i: pattern(i, 300) for i in range(100)})
        with db.transaction() as txn:
            txn.drop("old")
            txn.tree("new").update({b"%03d" % i: pattern(i, 300) for i in range(100)})
    intact = path.read_bytes()
    places = set()
    for page in range(2, len(intact) // PAGE_SIZE - 1):
        if intact[page * PAGE_SIZE + 24] != KIND_LEAF:
            continue
        damaged = bytearray(intact)
        damaged[page * PAGE_SIZE + 1000] ^= 1
        path.write_bytes(damaged)
        with cowtree.open(path) as db:
            (problem,) = db.check().problems
        assert f"page {page}: " in problem
        place = problem.rpartition(", in ")[2]
        places.add(place)
        if place != "the catalogue":
            assert place == (
                "commit 1" if number(intact, page * PAGE_SIZE + 16) == 1 else "tree 'new'"
            )
    assert {"commit 1", "tree 'new'"} <= places
