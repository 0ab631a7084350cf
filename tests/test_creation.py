"""A new file is whole at its path, or not there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from storage_helpers import Trace

from cowtree.storage.creation import create_file, write_empty_database
from cowtree.storage.devices import open_device
from cowtree.storage.file_system import FileSystem
from cowtree.storage.page_file import PageFile, anonymous_descriptor, open_page_file
from cowtree.storage.recovery import find_tip


def test_a_new_file_is_empty_and_clean(tmp_path: Path, page_size: int) -> None:
    create_file(tmp_path / "new", page_size, 0o640)
    assert os.listdir(tmp_path) == ["new"]
    page_file = open_page_file(tmp_path / "new")
    recovery = find_tip(page_file)
    assert page_file.page_size == page_size and recovery.clean
    assert (
        recovery.tip.sequence == 1
        and recovery.tip.commit_id == 0
        and recovery.tip.default_tree == (0, 0, 0, 0)
    )
    assert recovery.tip.pages_appended == 3 and recovery.file_size == 4 * page_size
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_appeared_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_bytes(b"somebody's")
    create_file(path)
    assert path.read_bytes() == b"somebody's" and os.listdir(tmp_path) == ["there"]


def test_renaming_stands_in_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", no_links)
    create_file(tmp_path / "a")
    first = (tmp_path / "a").read_bytes()
    create_file(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == first and os.listdir(tmp_path) == ["a"]


def test_nothing_is_left_behind_by_an_error(tmp_path: Path) -> None:
    for step in range(3):
        with pytest.raises(OSError):
            create_file(tmp_path / "x", trace=Trace(fail_at=step, code=errno.ENOSPC))
        assert os.listdir(tmp_path) == []

    class NoLink(FileSystem):
        def link_without_replacing(self, temporary: str, path: str) -> None:
            raise OSError(errno.EIO, "link")

    with pytest.raises(OSError):
        create_file(tmp_path / "x", file_system=NoLink())
    assert os.listdir(tmp_path) == []


def test_the_contents_are_synced_before_the_name_and_the_name_last(tmp_path: Path) -> None:
    steps: list[str] = []

    class Recording(FileSystem):
        def link_without_replacing(self, temporary: str, path: str) -> None:
            steps.append("link")
            super().link_without_replacing(temporary, path)

        def sync_directory(self, path: str) -> None:
            steps.append("sync directory")
            super().sync_directory(path)

    class Steps(Trace):
        def sync(self) -> None:
            steps.append("sync")

        def write(self, offset: int, data: bytes) -> None:
            steps.append("write")

    create_file(tmp_path / "x", file_system=Recording(), trace=Steps())
    assert steps == ["write", "sync", "link", "sync directory"]


def test_wrong_arguments(tmp_path: Path) -> None:
    for page_size in (0, 512, 5000, 131072):
        with pytest.raises(ValueError):
            create_file(tmp_path / "x", page_size)
    with pytest.raises(FileNotFoundError):
        create_file(tmp_path / "missing" / "x")


def test_a_database_without_a_name() -> None:
    device = open_device(anonymous_descriptor())
    write_empty_database(device, 4096)
    page_file = PageFile(device, anonymous=True)
    assert find_tip(page_file, from_medium=True).tip.sequence == 1 and page_file.path is None


@pytest.mark.parametrize("appeared", [False, True])
def test_a_temporary_file_that_was_taken_for_debris_is_missed_only_if_nothing_appeared(
    tmp_path: Path, appeared: bool
) -> None:
    """Another process has created the file, and its opener has cleaned up beside it."""
    path = tmp_path / "new"

    class Tidied(FileSystem):
        def link_without_replacing(self, temporary: str, path: str) -> None:
            os.unlink(temporary)
            if appeared:
                Path(path).write_bytes(b"somebody's")
            super().link_without_replacing(temporary, path)

    if appeared:
        create_file(path, file_system=Tidied())
        assert path.read_bytes() == b"somebody's" and os.listdir(tmp_path) == ["new"]
    else:
        with pytest.raises(FileNotFoundError):
            create_file(path, file_system=Tidied())
        assert os.listdir(tmp_path) == []
