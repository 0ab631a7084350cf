"""The campaign of simulated power cuts: a few seeds here, hundreds of thousands of states in `make campaign`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from campaign import isolation
from campaign.history import NAME, History, boot_anew
from campaign.states import run_seed
from crash_device import Cut, Disk, Piece, cuts, images
from crash_folder import FileTrace, Folder, FolderRecorder, moments

import cowtree
from cowtree import registry
from cowtree.storage import recovery

SEEDS = range(20261126, 20261126 + 6)


@pytest.fixture(autouse=True)
def boots(monkeypatch: pytest.MonkeyPatch) -> None:
    """The campaign restarts the system at will: what it does about that is undone after each test."""
    monkeypatch.setattr(registry, "boot_id", registry.boot_id)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed(seed: int) -> None:
    outcome = run_seed(seed)
    assert outcome.failure is None, outcome.failure
    assert outcome.states > 50


def test_a_seed_is_the_same_again() -> None:
    assert run_seed(SEEDS[0]) == run_seed(SEEDS[0])


def lose_a_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that tells of syncs it does not make: what was acknowledged may be lost."""
    monkeypatch.setattr(FileTrace, "sync", lambda self: None)
    monkeypatch.setattr(FileTrace, "sync_range", lambda self, offset, size: None)


def lose_the_sync_of_a_new_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compaction that gives the path to a file whose pages may not be there."""
    sync = FileTrace.sync
    monkeypatch.setattr(FileTrace, "sync", lambda self: None if self.number else sync(self))


def lose_the_sync_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compaction after which the path may lead to the old file again, although commits went to the new one."""
    monkeypatch.setattr(FolderRecorder, "_sync_told", lambda self, plain: plain)


def lose_half_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that changes what was durable."""
    whole = Disk.copy

    def copy(self: Disk) -> Disk:
        disk = whole(self)
        for number in sorted(disk.pages)[-3:]:
            disk.pages[number] = disk.pages[number][:2048] + bytes(2048)
        return disk

    monkeypatch.setattr(Disk, "copy", copy)


def verify_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery that believes each commit page: a commit whose pages did not all arrive would count."""
    monkeypatch.setattr(
        recovery, "_verify", lambda file, reader, records, proven: (records[-1], len(records), [])
    )


def verify_the_newest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery that looks at no record but the newest: one that stands over a hole would count."""
    whole = recovery._verify

    def verify(file: Any, reader: Any, records: list[Any], proven: int) -> Any:
        if reader.range_problem(records[-1]) is None:
            return records[-1], len(records), []
        return whole(file, reader, records, proven)

    monkeypatch.setattr(recovery, "_verify", verify)


def forget_lost_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery that takes every loss for none: ids that readers have seen would name other commits."""
    monkeypatch.setattr(recovery, "_volatile_loss", lambda checkpoint, tip, boot: False)


@pytest.mark.parametrize(
    "harm",
    [
        lose_a_sync,
        lose_the_sync_of_a_new_file,
        lose_the_sync_of_names,
        lose_half_a_page,
        verify_nothing,
        verify_the_newest_alone,
        forget_lost_ids,
    ],
)
def test_the_campaign_sees_harm(
    monkeypatch: pytest.MonkeyPatch, harm: Callable[[pytest.MonkeyPatch], None]
) -> None:
    harm(monkeypatch)
    assert any(run_seed(seed).failure for seed in range(SEEDS[0], SEEDS[0] + 40))


def test_many_crashes_do_not_make_the_file_too_large(tmp_path: Path) -> None:
    """Each leaves a hole where unsynced commits may have been; thirty are still far below what a file may have."""
    folder = None
    for turn in range(30):
        boot_anew()
        history = History(str(tmp_path), folder, random.Random(turn))
        history.commit(False, True)
        last = list(moments(history.start, history.recorder.events))[-1]
        history.end()
        folder = Folder(last.names, {number: cut.durable for number, cut in last.files.items()})
    assert folder is not None
    (disk,) = folder.disks.values()
    assert disk.size < 30 * (300 << 20)
    folder.put(str(tmp_path))
    with cowtree.open(tmp_path / NAME) as db:
        assert db.check().ok


def test_a_disk_keeps_what_is_written(tmp_path: Path) -> None:
    disk = Disk.of(b"a" * 5000)
    disk.write(4090, b"bcd")
    disk.truncate(4092)
    disk.truncate(9000)
    disk.write(8192, b"e" * 100)
    path = tmp_path / "file"
    disk.put(str(path))
    expected = b"a" * 4090 + b"bc" + bytes(4100) + b"e" * 100 + bytes(9000 - 8292)
    assert path.read_bytes() == expected
    again = Disk.of_file(str(path))
    assert again.size == 9000
    again.put(str(path))
    assert path.read_bytes() == expected


def test_images_of_a_small_cut_are_all_of_them() -> None:
    cut = Cut(
        Disk.of(bytes(4096)),
        [Piece(4096, b"x" * 4096), Piece(8192, b"y" * 4096)],
        0,
        1,
        0,
        frozenset(),
    )
    found = list(images(cut, random.Random(1), 9))
    assert len(found) == 9
    assert {(1 in image.pages, 2 in image.pages) for image in found} == {
        (a, b) for a in (False, True) for b in (False, True)
    }
    assert {image.size for image in found} > {4096, 8192, 12288}


def test_what_a_range_sync_leaves_pending() -> None:
    events = [
        ("write", 4096, b"a" * 8192),
        ("write", 0, b"b" * 100),
        ("start", 1),
        ("sync_range", 4096, 8192),
        ("durable", 1),
    ]
    last = list(cuts(Disk.of(bytes(4096)), events))[-1]
    assert last.pending == [Piece(0, b"b" * 100)]
    assert last.durable.size == 12288
    assert (last.lowest, last.highest, last.seen) == (1, 1, 1)


def test_readers_beside_writers_that_are_killed(tmp_path: Path) -> None:
    found = isolation.run(str(tmp_path), 1, 4.0)
    assert found.failure is None
    assert found.commits > 0 and found.kills > 0 and found.snapshots > 0


def test_a_snapshot_that_mixes_versions_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "mixed.cow")
    isolation.prepare(path)
    with cowtree.open(path) as db:
        assert isolation.look(db.snapshot())[0] == 0
        db.tree("other")[b"stamp"] = b"1" * 50
        with pytest.raises(AssertionError, match="stamps of"):
            isolation.look(db.snapshot())
        db.tree("other")[b"stamp"] = b"0" * 50
        db[isolation.account(1)] = b"0"
        with pytest.raises(AssertionError, match="in all accounts"):
            isolation.look(db.snapshot())
