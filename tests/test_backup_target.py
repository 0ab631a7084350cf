"""The target of a backup, and the progress of one: nothing is replaced, nothing is left behind."""

from __future__ import annotations

import os
import stat
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from backup_helpers import MIB, check_equal, identity, small_commits
from model import pattern

import cowtree
from cowtree import backup as backup_steps
from cowtree.storage.devices import Device
from cowtree.storage.range_copy import RangeCopier

pytestmark = pytest.mark.usefixtures("left_large")

# ------------------------------------------------------------------------------------------------------------ progress


def test_progress_is_told_in_bytes_seldom_and_from_the_calling_thread(
    tmp_path: Path, path: Path
) -> None:
    calls: list[tuple[float, int, int | None, int]] = []

    def progress(done: int, total: int | None) -> None:
        assert not (tmp_path / "copy").exists()
        calls.append((time.monotonic(), done, total, threading.get_ident()))

    with cowtree.open(path, sync=False) as db:
        for i in range(30):
            db[b"%d" % i] = pattern(i, 6 * MIB)
        db.backup(tmp_path / "copy", progress=progress)
    assert {(total, thread) for _, _, total, thread in calls} == {
        ((tmp_path / "copy").stat().st_size - 4096, threading.get_ident())
    }
    done = [call[1] for call in calls]
    assert done == sorted(set(done)) and len(done) >= 2
    assert [d == call[2] for d, call in zip(done, calls, strict=True)].index(True) == len(done) - 1
    times = [call[0] for call in calls]
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[10:], strict=False))
    assert all(later - earlier > 0.1 for earlier, later in pairwise(times[:-1]))


def test_small_backup_still_tells_its_end(tmp_path: Path, db: cowtree.Database) -> None:
    calls: list[tuple[int, int | None]] = []
    db.backup(tmp_path / "copy", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(3 * 4096, 3 * 4096)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError, SystemExit])
@pytest.mark.parametrize("when", ["first", "last"])
def test_exception_from_progress_cancels(
    tmp_path: Path, path: Path, error: type[BaseException], when: str
) -> None:
    def cancel(done: int, total: int | None) -> None:
        if when == "first" or done == total:
            raise error("enough")

    with cowtree.open(path, sync=False) as db:
        db[b"large"] = pattern(1, 20 * MIB)
        with pytest.raises(error, match="enough"):
            db.backup(tmp_path / "copy", progress=cancel)
        assert os.listdir(tmp_path) == ["test.cow"]
        db.backup(tmp_path / "copy")
        check_equal(db, tmp_path / "copy")


# -------------------------------------------------------------------------------------------------------------- target


def test_existing_target_stays_as_it_is(tmp_path: Path, db: cowtree.Database) -> None:
    db[b"a"] = b"1"
    (tmp_path / "file").write_bytes(b"somebody's")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link").symlink_to(tmp_path / "test.cow")
    names = sorted(os.listdir(tmp_path))
    for name in names:
        with pytest.raises(FileExistsError) as caught:
            db.backup(tmp_path / name, progress=lambda done, total: pytest.fail("not early"))
        assert caught.value.filename == str(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == names
    assert (tmp_path / "file").read_bytes() == b"somebody's"
    with pytest.raises(FileExistsError):
        db.backup(db.path)


def test_target_that_appears_meanwhile_stays_as_it_is(tmp_path: Path, db: cowtree.Database) -> None:
    def appear(done: int, total: int | None) -> None:
        (tmp_path / "copy").write_bytes(b"theirs")

    with pytest.raises(FileExistsError) as caught:
        db.backup(tmp_path / "copy", progress=appear)
    assert caught.value.filename == str(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"theirs"
    assert sorted(os.listdir(tmp_path)) == ["copy", "test.cow"]


def test_wrong_targets(
    tmp_path: Path, db: cowtree.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        db.backup(tmp_path / "missing" / "copy")
    with pytest.raises(NotADirectoryError):
        db.backup(tmp_path / "test.cow" / "copy")
    with pytest.raises(ValueError):
        db.backup(":memory:")
    for wrong in (b"copy", 5, None):
        with pytest.raises(TypeError):
            db.backup(wrong)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["test.cow"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    db.backup("copy", progress=lambda done, total: os.chdir("elsewhere"))
    assert (tmp_path / "copy").exists() and os.listdir(tmp_path / "elsewhere") == []


def test_mode_obeys_the_umask(tmp_path: Path, path: Path) -> None:
    old = os.umask(0o027)
    try:
        with cowtree.open(path, mode=0o600) as db:
            db.backup(tmp_path / "copy")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o640


def test_generation_that_gives_a_checksum_of_zero_is_not_taken(
    tmp_path: Path, db: cowtree.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations = []

    class UnluckyAtFirst(RangeCopier):
        def begin(self, target: Device, generation: int) -> bytes:
            self.zero_checksums = len(generations) < 3
            generations.append(generation)
            return super().begin(target, generation)

    monkeypatch.setattr(backup_steps, "RangeCopier", UnluckyAtFirst)
    small_commits(db)
    db.backup(tmp_path / "copy")
    assert len(set(generations)) == 4
    assert identity(tmp_path / "copy")[1] == generations[3]
    check_equal(db, tmp_path / "copy")
