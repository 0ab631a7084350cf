"""Backups equal their source as of one commit, whatever is in it and while others write."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backup_helpers import MIB, check_chain, check_equal, identity, small_commits, trees
from crash_device import other_boot
from model import pattern

import cowtree
from cowtree.storage.page_file import open_page_file
from cowtree.storage.recovery import find_tip

pytestmark = pytest.mark.usefixtures("left_large")

# -------------------------------------------------------------------------------------------------------------- shapes


def nothing(db: cowtree.Database) -> None:
    pass


def named_trees(db: cowtree.Database) -> None:
    with db.transaction(note=b"many trees") as txn:
        for i in range(30):
            txn.tree(f"tree {i}").update((b"%d" % j, pattern(j, i)) for j in range(i * 20))
    with db.transaction() as txn:
        txn.drop("tree 3")
        txn.rename("tree 4", "renamed")
        txn[b"default"] = b"tree"


def large_values(db: cowtree.Database) -> None:
    """Sizes around a window's, alone and with others; tables that fill pages of their own."""
    page = db.page_size
    room = MIB - 64 - 8 * (MIB // page)
    sizes = [room + step for step in (-page, -1, 0, 1, 8, page - 9, page)]
    sizes += [3 * page, 60_000, 5 * MIB + 12_345, 9 * MIB, 2 * room, 10 * page - 64 - 80]
    for i, size in enumerate(sizes):
        db[b"alone %d" % i] = pattern(i, size)
    with db.transaction() as txn:
        for i, size in enumerate(sizes):
            txn[b"together %d" % i] = pattern(i, size)
            txn.tree("small").update((b"%d %d" % (i, j), b"v" * 40) for j in range(300))
    with db.transaction() as txn:
        txn[b"last"] = pattern(1, 2 * MIB)


def spilled(db: cowtree.Database) -> None:
    """Transactions larger than `write_memory`, with what rolled back savepoints left in their ranges."""
    for round_number in range(3):
        with db.transaction() as txn:
            for i in range(3000):
                txn[b"%05d" % (i * 7 % 20_000)] = pattern(i + round_number, 100)
            with txn.savepoint() as savepoint:
                for i in range(3000):
                    txn[b"%05d" % (i * 11 % 20_000)] = pattern(i, 150)
                txn[b"large"] = pattern(2, 300_000)
                savepoint.rollback()
            txn[b"kept"] = pattern(round_number, 50_000)
            txn.delete_range(b"01000", b"02000")


def presynced(db: cowtree.Database) -> None:
    with db.transaction(sync=True) as txn:
        txn.update((b"%06d" % i, pattern(i, 900)) for i in range(20_000))
    db[b"after"] = b"1"


def administrative(db: cowtree.Database) -> None:
    for i in range(30):
        db[b"n"] = b"%d" % i
        db.tag(f"tag{i % 7}", move=True)
    db.untag("tag3")
    db.restore(5)
    db.tag("end")


SHAPES = [nothing, small_commits, named_trees, large_values, spilled, presynced, administrative]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_backup_equals_its_source(
    tmp_path: Path, path: Path, page_size: int, shape: Callable[[cowtree.Database], None]
) -> None:
    with cowtree.open(path, sync=False, page_size=page_size, write_memory=1 << 17) as db:
        shape(db)
        db.backup(tmp_path / "copy")
        check_equal(db, tmp_path / "copy")
        assert sorted(os.listdir(tmp_path)) == ["copy", "test.cow"]
        db.backup(tmp_path / "second")
    ours, copy, second = (identity(tmp_path / name) for name in ("test.cow", "copy", "second"))
    assert ours[0] == copy[0] == second[0] and ours[2] == copy[2]
    assert len({ours[1], copy[1], second[1]}) == 3


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("kind", ["memory", "readonly", "unmapped"])
def test_backup_of_every_kind_of_handle(
    tmp_path: Path, path: Path, kind: str, shape: Callable[[cowtree.Database], None]
) -> None:
    if kind == "memory":
        db = cowtree.open(":memory:", write_memory=1 << 17)
        shape(db)
    else:
        with cowtree.open(path, sync=False, write_memory=1 << 17) as db:
            shape(db)
        db = cowtree.open(path, readonly=kind == "readonly", mmap=kind != "unmapped")
    with db:
        db.backup(tmp_path / "copy")
        check_equal(db, tmp_path / "copy")


def test_backup_of_a_backup_and_sources_go_apart_without_harm(tmp_path: Path, path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        spilled(db)
        small_commits(db)
        db.backup(tmp_path / "copy")
        before = trees(db)
        with cowtree.open(tmp_path / "copy") as copy:
            for i in range(50):
                db[b"%d" % i] = b"source"
                copy[b"%d" % i] = b"copy"
                with copy.transaction() as txn:
                    txn.tree("t")[b"%d" % i] = pattern(i, 6000)
            assert trees(db)[None] == before[None] | {b"%d" % i: b"source" for i in range(50)}
            assert trees(copy)[None] == before[None] | {b"%d" % i: b"copy" for i in range(50)}
            assert db.check().ok and copy.check().ok
            copy.backup(tmp_path / "copy of the copy")
            check_equal(copy, tmp_path / "copy of the copy")
            assert trees(copy.snapshot(db.commit_id - 50)) == before
            with pytest.raises(cowtree.SnapshotGoneError):
                copy.snapshot(db.snapshot())
    with cowtree.open(tmp_path / "copy") as copy:
        assert copy.check().ok


def test_backup_of_an_older_commit_knows_nothing_younger(tmp_path: Path, path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        administrative(db)
        snapshot = db.snapshot(12)
        db.tag("twelve", 12)
        expected: list[Any] = [0, 1, 12, "twelve", snapshot, db.snapshot(20), next(db.history())]
        for i, at in enumerate(expected):
            copy = tmp_path / f"copy{i}"
            db.backup(copy, at=at)
            check_equal(db, copy, db.snapshot(at).commit_id)
        with cowtree.open(tmp_path / "copy2") as copy_of_12:
            assert "twelve" not in copy_of_12.tags() and "tag3" in copy_of_12.tags()
            copy_of_12[b"n"] = b"another past"
            assert copy_of_12.commit_id == 13
        for wrong, error in [
            (99, cowtree.SnapshotGoneError),
            ("missing", KeyError),
            (1.5, TypeError),
        ]:
            with pytest.raises(error):
                db.backup(tmp_path / "wrong", at=wrong)  # type: ignore[arg-type]
        assert not (tmp_path / "wrong").exists()


def test_backup_of_a_compacted_file(tmp_path: Path, path: Path, page_size: int) -> None:
    with cowtree.open(path, sync=False, page_size=page_size) as db:
        administrative(db)
        spilled(db)
        snapshot = db.snapshot()
        db.compact()
        db.backup(tmp_path / "compacted")
        check_equal(db, tmp_path / "compacted")
        db.backup(tmp_path / "of a snapshot", at=snapshot)
        check_equal(db, tmp_path / "of a snapshot", snapshot.commit_id)
        small_commits(db)
        db.backup(tmp_path / "later")
        check_equal(db, tmp_path / "later")
        with cowtree.open(tmp_path / "later") as copy:
            assert copy.tags() == db.tags()
            copy.compact()
            assert trees(copy) == trees(db) and copy.check().ok


def test_gap_stays_a_hole(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashed = tmp_path / "crashed"
    with cowtree.open(path, sync=False) as db:
        small_commits(db)
        crashed.write_bytes(path.read_bytes())  # what a power cut may leave: a volatile slot
    other_boot(monkeypatch)
    with cowtree.open(crashed, sync=False) as db:
        gap_pages = find_tip(open_page_file(crashed)).tip.page_count
        assert gap_pages > 10_000
        db.backup(tmp_path / "gap is the tip")
        check_equal(db, tmp_path / "gap is the tip")
        small_commits(db)
        db.tag("later")
        db.backup(tmp_path / "gap inside")
        check_equal(db, tmp_path / "gap inside")
        assert db.commit_id > 1 << 20
    for name in ("gap is the tip", "gap inside"):
        status = (tmp_path / name).stat()
        assert status.st_size > gap_pages * 4096 > 2 * status.st_blocks * 512
    with cowtree.open(tmp_path / "gap is the tip") as copy:
        copy[b"new"] = b"1"
        assert copy.commit_id >= 1 << 20, "an id that was published and lost was given again"


@pytest.mark.slow
def test_backup_of_a_value_whose_table_is_larger_than_a_window(tmp_path: Path, path: Path) -> None:
    value = pattern(5, 600 * MIB)  # 8 bytes for each of 153,600 pages
    with cowtree.open(path, sync=False) as db:
        db[b"k"] = value
        db.backup(tmp_path / "copy")
    with cowtree.open(tmp_path / "copy", readonly=True) as copy:
        assert copy.check().ok and copy[b"k"] == value


# ------------------------------------------------------------------------------------------------------------- writers


def test_what_is_committed_during_a_backup_is_not_in_it(tmp_path: Path, path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db[b"large"] = pattern(1, 40 * MIB)
        before, calls = db.commit_id, []

        def commit(done: int, total: int | None) -> None:
            calls.append(done)
            db[b"%d" % len(calls)] = b"during"
            with db.transaction() as txn:
                txn.clear()

        db.backup(tmp_path / "copy", progress=commit)
        assert len(calls) >= 2 and db.commit_id == before + 2 * len(calls)
        check_equal(db, tmp_path / "copy", before)


@pytest.mark.parametrize("durable", [False, True])
def test_writer_and_backups_do_not_wait_for_each_other(
    tmp_path: Path, path: Path, run_threads: Callable[..., list[object]], durable: bool
) -> None:
    db = cowtree.open(path, sync=durable)
    db.update((b"%05d" % i, pattern(i, 3000)) for i in range(4000))
    stop = threading.Event()

    def write() -> None:
        i = 0
        while not stop.wait(0.0005):  # each commit is verified many times below
            i += 1
            with db.transaction() as txn:
                txn[b"first"] = txn[b"zlast"] = b"%d" % i
                txn[b"%05d" % (i % 4000)] = pattern(i, i % 5000)

    def back_up() -> None:
        try:
            for i in range(8):
                low = db.commit_id
                db.backup(tmp_path / f"copy{i}")
                high = db.commit_id
                with cowtree.open(tmp_path / f"copy{i}") as copy:
                    made.append(copy.commit_id)
                    assert low <= copy.commit_id <= high and copy[b"first"] == copy[b"zlast"]
        finally:
            stop.set()

    db[b"first"] = db[b"zlast"] = b""
    made: list[int] = []
    run_threads(write, back_up)
    assert made[0] < made[-1] < db.commit_id + 1
    for i, commit_id in enumerate(made):
        check_equal(db, tmp_path / f"copy{i}", commit_id)
    db.close()


def test_open_transaction_does_not_block_a_backup(tmp_path: Path, db: cowtree.Database) -> None:
    db[b"a"] = b"1"
    with db.transaction() as txn:
        txn[b"a"] = b"2"
        db.backup(tmp_path / "copy")
    with cowtree.open(tmp_path / "copy") as copy:
        assert dict(copy) == {b"a": b"1"}


def test_compaction_during_a_backup_does_not_end_it(tmp_path: Path, path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        small_commits(db)
        db[b"large"] = pattern(1, 30 * MIB)
        commit_id, expected = db.commit_id, trees(db)

        def compact(done: int, total: int | None) -> None:
            del db[b"large" if done != total else b"001"]
            db.compact()

        db.backup(tmp_path / "copy", progress=compact)
        assert db.stats().file_bytes < MIB
    check_chain(tmp_path / "copy")
    with cowtree.open(tmp_path / "copy") as copy:
        assert copy.commit_id == commit_id and trees(copy) == expected and copy.check().ok


def test_database_closed_during_a_backup_does_not_end_it(tmp_path: Path, path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db[b"large"] = pattern(1, 30 * MIB)
    calls = []

    def close(done: int, total: int | None) -> None:
        calls.append(done)
        if not db.closed:
            db.close()
            path.unlink()

    db.backup(tmp_path / "copy", progress=close)
    assert len(calls) >= 2 and os.listdir(tmp_path) == ["copy"]
    with cowtree.open(tmp_path / "copy") as copy:
        assert copy.check().ok and dict(copy) == {b"large": pattern(1, 30 * MIB)}
