"""Opening, creating and closing: API.md, section Opening."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree.storage import recovery
from cowtree.storage.file_system import FileSystem

GENERATION = slice(72, 80)  # FORMAT §2.1


def touch_free(path: Path) -> tuple[bytes, int, list[str]]:
    """What must not change when nothing is written: bytes, time of change, names beside it."""
    return path.read_bytes(), path.stat().st_mtime_ns, sorted(os.listdir(path.parent))


def test_open_creates_a_missing_file(path: Path) -> None:
    with cowtree.open(path) as db:
        assert isinstance(db, cowtree.Database)
        assert path.exists()
        assert db.commit_id == 0
        assert len(db) == 0
        assert not db.readonly
        assert not db.closed
    assert os.listdir(path.parent) == [path.name]


def test_open_takes_str_and_path(path: Path) -> None:
    with cowtree.open(str(path)) as db:
        db[b"k"] = b"v"
    with cowtree.open(path) as db:
        assert db[b"k"] == b"v"


def test_database_class_takes_the_same_arguments(path: Path) -> None:
    with cowtree.Database(path, sync=False, page_size=8192, timeout=1) as db:
        db[b"k"] = b"v"
    with cowtree.Database(path, create=False, readonly=True, page_size=8192) as db:
        assert db[b"k"] == b"v"


@pytest.mark.parametrize("wrong", [None, 7, 1.5, ["a"]])
def test_path_of_another_type_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError):
        cowtree.open(wrong)


def test_options_are_keyword_only(path: Path) -> None:
    with pytest.raises(TypeError):
        cowtree.open(path, True)  # type: ignore[misc]
    with pytest.raises(TypeError):
        cowtree.open(path, no_such_option=1)  # type: ignore[call-arg]
    assert not path.exists()


@pytest.mark.parametrize(
    "options", [{"create": False}, {"readonly": True}, {"readonly": True, "create": False}]
)
def test_missing_file_that_must_exist_is_file_not_found(path: Path, options: Any) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        cowtree.open(path, **options)
    assert not isinstance(caught.value, cowtree.Error)
    assert os.listdir(path.parent) == []


def test_missing_parent_is_file_not_found(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cowtree.open(path / "inner" / "test.cow")
    assert os.listdir(path.parent) == []


def test_directory_is_refused(tmp_path: Path) -> None:
    for options in ({}, {"readonly": True}, {"create": False}):
        with pytest.raises(IsADirectoryError):
            cowtree.open(tmp_path, **options)
    assert os.listdir(tmp_path) == []


def test_directory_of_lmdb_is_refused_naming_the_importer(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"")
    with pytest.raises(IsADirectoryError, match="import-lmdb"):
        cowtree.open(tmp_path)
    assert os.listdir(tmp_path) == ["data.mdb"]


@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        b"hello",
        b"SQLite format 3\0" + bytes(4080),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\x89cowtr",
        bytes(4096),
        bytes(100_000),
        b"\x89cowtr\n" + b"A text-mode transfer." * 500,
        b"x" * 8192,
    ],
    ids=["one", "text", "sqlite", "png", "magic", "zeros", "many_zeros", "mangled", "page_pair"],
)
@pytest.mark.parametrize("options", [{}, {"readonly": True}, {"create": False}, {"mmap": False}])
def test_foreign_file_is_a_format_error_and_untouched(
    path: Path, content: bytes, options: Any
) -> None:
    path.write_bytes(content)
    before = touch_free(path)
    with pytest.raises(cowtree.FormatError):
        cowtree.open(path, **options)
    assert touch_free(path) == before


@pytest.mark.parametrize("options", [{"readonly": True}, {"create": False}])
def test_empty_file_is_a_format_error_and_untouched(path: Path, options: Any) -> None:
    path.touch()
    before = touch_free(path)
    with pytest.raises(cowtree.FormatError):
        cowtree.open(path, **options)
    assert touch_free(path) == before


def test_empty_file_is_initialised_or_refused_when_creating(path: Path) -> None:
    path.touch()
    try:
        db = cowtree.open(path)
    except cowtree.FormatError:
        assert path.read_bytes() == b""
        return
    with db:
        db[b"k"] = b"v"
    with cowtree.open(path, create=False) as db:
        assert dict(db) == {b"k": b"v"}


def reseal(page: bytearray, xxhash: Any) -> None:
    """Give the identity page the checksum that its changed bytes need (FORMAT §2.0)."""
    seed = int.from_bytes(page[GENERATION], "little")
    page[0:8] = xxhash.xxh64_intdigest(bytes(page[8:]), seed=seed).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("offset", "refused"),
    [
        pytest.param(40, [{}, {"readonly": True}], id="newer format"),
        pytest.param(104, [{}, {"readonly": True}], id="incompatible feature"),
        pytest.param(96, [{}], id="read-compatible feature"),
        pytest.param(88, [], id="compatible feature"),
    ],
)
def test_newer_format_is_a_format_error_and_untouched(
    path: Path, offset: int, refused: list[dict[str, bool]]
) -> None:
    xxhash = pytest.importorskip("xxhash", reason="seals the changed page")
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
    content = bytearray(path.read_bytes())
    page = content[:4096]
    page[offset] += 2
    reseal(page, xxhash)
    content[:4096] = page
    path.write_bytes(content)
    before = touch_free(path)
    every: list[dict[str, bool]] = [{"readonly": True}, {}]
    for options in every:
        if options in refused:
            with pytest.raises(cowtree.FormatError):
                cowtree.open(path, **options)  # type: ignore[arg-type]
            assert touch_free(path) == before
        else:
            with cowtree.open(path, **options) as db:  # type: ignore[arg-type]
                assert dict(db) == {b"k": b"v"}


# Options of the file.


@pytest.mark.parametrize("wrong", [0, 1, -4096, 2048, 4095, 5000, 12_288, 131_072])
def test_wrong_page_size_is_a_value_error_and_creates_nothing(path: Path, wrong: int) -> None:
    with pytest.raises(ValueError):
        cowtree.open(path, page_size=wrong)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("size", [4096, 8192, 16_384, 32_768, 65_536])
def test_page_size_is_a_property_of_the_file(path: Path, size: int) -> None:
    with cowtree.open(path, page_size=size) as db:
        db.update({b"%05d" % i: b"v" * 50 for i in range(5000)})
        limit = db.key_size_max
    other = 4096 if size != 4096 else 8192
    if other != 4096:
        with pytest.raises(ValueError):
            cowtree.open(path, page_size=other)
    with cowtree.open(path, page_size=size) as db:
        assert len(db) == 5000
        assert db.key_size_max == limit
        assert db.check().ok


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_mode_is_masked_by_the_umask(path: Path, tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        cowtree.open(path).close()
        cowtree.open(tmp_path / "private.cow", mode=0o640).close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "private.cow").stat().st_mode) == 0o640 & ~umask


@pytest.mark.parametrize(
    "options",
    [
        {"sync": True},
        {"mmap": False},
        {"write_memory": 1 << 16},
        {"timeout": 0},
        {"timeout": 2.5},
        {"mmap": False, "sync": False, "write_memory": 1 << 20},
    ],
)
def test_handles_with_any_options_read_the_same_file(path: Path, options: Any) -> None:
    items = {b"%04d" % i: b"v" * (i % 500) for i in range(2000)}
    with cowtree.open(path, **options) as db:
        db.update(items)
        assert dict(db) == items
    with cowtree.open(path) as plain, cowtree.open(path, **options) as db:
        assert plain == db == items


# Memory.


def test_memory_databases_are_private_and_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with cowtree.open(":memory:") as one, cowtree.open(":memory:") as two:
        one[b"k"] = b"1"
        two.tree("t")[b"k"] = b"2"
        assert dict(one) == {b"k": b"1"}
        assert dict(two) == {}
        assert one.trees() == []
        assert one.commit_id == 1
        one.sync()
        assert one.check().ok
        repr(one)
    assert os.listdir(tmp_path) == []


def test_path_object_named_memory_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with cowtree.open(Path(":memory:")) as db:
        db[b"k"] = b"v"
    assert os.listdir(tmp_path) == [":memory:"]


# One file, many handles.


def test_handles_of_one_file_see_each_others_commits_at_once(path: Path) -> None:
    with (
        cowtree.open(path) as one,
        cowtree.open(path) as two,
        cowtree.open(path, readonly=True) as three,
    ):
        for i in range(50):
            writer = (one, two)[i % 2]
            writer[b"k"] = b"%d" % i
            assert one[b"k"] == two[b"k"] == three[b"k"] == b"%d" % i
            assert one.commit_id == two.commit_id == three.commit_id == i + 1


def test_closing_one_handle_leaves_the_others_open(path: Path) -> None:
    one, two = cowtree.open(path), cowtree.open(path)
    one[b"k"] = b"1"
    one.close()
    two[b"k"] = b"2"
    with cowtree.open(path) as three:
        assert two[b"k"] == three[b"k"] == b"2"
    two[b"k"] = b"3"
    two.close()
    with cowtree.open(path) as db:
        assert db[b"k"] == b"3"


def test_links_and_relative_paths_lead_to_the_same_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    with cowtree.open(path) as db:
        db[b"k"] = b"1"
        (tmp_path / "symbolic.cow").symlink_to(path)
        os.link(path, tmp_path / "hard.cow")
        monkeypatch.chdir(tmp_path / "inner")
        for name in ("../symbolic.cow", "../hard.cow", "../inner/../test.cow"):
            with cowtree.open(name) as other:
                assert other[b"k"] == db[b"k"]
                monkeypatch.chdir(tmp_path)
                other[b"k"] = other[b"k"] + b"+"
                monkeypatch.chdir(tmp_path / "inner")
                assert other[b"k"] == db[b"k"]
                assert os.path.samefile(other.path, path)
        assert db[b"k"] == b"1+++"


def test_unlinked_file_is_noticed_before_a_commit(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db[b"k"] = b"old"
        path.unlink()
        with pytest.raises((cowtree.Error, OSError)):
            db[b"k"] = b"lost"
        assert db[b"k"] == b"old"
        with cowtree.open(path) as new:
            assert dict(new) == {}
            new[b"k"] = b"new"
            assert db[b"k"] == b"old"


def test_replaced_file_is_noticed_before_a_commit(path: Path, tmp_path: Path) -> None:
    with cowtree.open(tmp_path / "other.cow") as other:
        other[b"k"] = b"other"
    with cowtree.open(path, sync=False) as db:
        db[b"k"] = b"old"
        os.replace(tmp_path / "other.cow", path)
        before = path.read_bytes()
        with pytest.raises((cowtree.Error, OSError)):
            db[b"k"] = b"lost"
        assert path.read_bytes() == before
        with cowtree.open(path) as new:
            assert new[b"k"] == b"other"


# Read-only.


def test_read_only_handle_reads_and_refuses_writes(path: Path) -> None:
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
    before = touch_free(path)
    with cowtree.open(path, readonly=True) as db:
        assert db.readonly
        assert dict(db) == {b"k": b"v"}
        writes: list[Callable[[], object]] = [
            db.transaction,
            db.clear,
            db.popitem,
            lambda: db.__setitem__(b"k", b"w"),
            lambda: db.__delitem__(b"k"),
            lambda: db.put(b"k", b"w"),
            lambda: db.delete(b"k"),
            lambda: db.update({b"k": b"w"}),
            lambda: db.setdefault(b"new", b"w"),
            lambda: db.pop(b"k"),
            lambda: db.replace(b"k", b"w"),
            lambda: db.delete_range(b"a"),
            lambda: db.load([(b"a", b"")]),
            lambda: db.tree("t").put(b"a", b""),
        ]
        for write in writes:
            with pytest.raises(cowtree.ReadOnlyError):
                write()
        assert db.check().ok
    assert touch_free(path) == before


@pytest.mark.parametrize("mapped", [True, False])
def test_read_only_open_in_a_read_only_directory_writes_nothing(
    tmp_path: Path, mapped: bool
) -> None:
    directory = tmp_path / "media"
    directory.mkdir()
    path = directory / "test.cow"
    with cowtree.open(path) as db:
        db.update({b"%04d" % i: b"v" * i for i in range(1000)})
    path.chmod(0o444)
    directory.chmod(0o555)
    try:
        before = touch_free(path)
        with cowtree.open(path, readonly=True, mmap=mapped) as db:
            assert len(db) == 1000
            assert db[b"0999"] == b"v" * 999
            snapshot = db.snapshot()
            assert db.check().ok
        assert snapshot[b"0007"] == b"v" * 7
        assert touch_free(path) == before
    finally:
        directory.chmod(0o755)


# Closing.


def test_close_is_idempotent_and_with_closes(path: Path) -> None:
    db = cowtree.open(path)
    with db as same:
        assert same is db
        assert not db.closed
    assert db.closed
    db.close()
    db.close()
    assert os.path.samefile(db.path, path)


def test_exception_in_the_with_block_closes_and_passes(path: Path) -> None:
    with pytest.raises(RuntimeError), cowtree.open(path) as db:
        db[b"k"] = b"v"
        raise RuntimeError
    assert db.closed


def test_everything_is_there_after_reopening(path: Path) -> None:
    items = {b"%05d" % i: b"v" * (i % 700) for i in range(5000)}
    with cowtree.open(path, sync=False) as db:
        db.update(items)
        db.tree("t")[b"k"] = b"v"
    for options in ({}, {"readonly": True}, {"mmap": False}):
        with cowtree.open(path, **options) as db:  # type: ignore[arg-type]
            assert dict(db) == items
            assert dict(db.tree("t")) == {b"k": b"v"}
            assert db.commit_id == 2
            report = db.check()
            assert report.ok
            assert not report.problems


def test_opening_and_closing_many_times_leaves_no_descriptor_and_no_growth(path: Path) -> None:
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
    gc.collect()  # of what earlier tests left behind
    descriptors, size = len(os.listdir("/proc/self/fd")), path.stat().st_size
    for _ in range(300):
        with cowtree.open(path) as db:
            assert db[b"k"] == b"v"
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert path.stat().st_size == size


def test_sync_makes_unsynced_commits_durable_and_closed_handles_refuse_it(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db[b"k"] = b"v"
        db.sync()
        assert db.commit_id == 1
    with pytest.raises(cowtree.ClosedError):
        db.sync()


def test_stats_are_frozen_and_count(db: cowtree.Database) -> None:
    empty = db.stats()
    assert empty.entries == 0
    assert empty.commit_id == 0
    db.update({b"%05d" % i: b"v" * 100 for i in range(10_000)})
    full = db.stats()
    assert full.entries == len(db) == 10_000
    assert full.commit_id == 1
    assert full.depth > empty.depth
    assert 10_000 * 100 < full.live_bytes <= full.file_bytes
    db.clear()
    cleared = db.stats()
    assert cleared.entries == 0
    assert cleared.garbage_bytes > full.garbage_bytes
    assert cleared.live_bytes < full.live_bytes
    assert full.entries == 10_000
    with pytest.raises(AttributeError):
        full.entries = 3  # type: ignore[misc]


def test_handles_that_live_to_the_end_of_the_interpreter_say_nothing(path: Path) -> None:
    program = """
import builtins, sys, cowtree
class Cycle: pass
kept = Cycle()
kept.itself, builtins.kept = kept, kept
kept.db = cowtree.open(sys.argv[1])
kept.db[b"k"] = b"v"
kept.snapshot = kept.db.snapshot()
kept.tree = kept.db.tree("t")
kept.iterator = iter(kept.db.items())
"""
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with cowtree.open(path) as db:
        assert db[b"k"] == b"v"


@pytest.mark.parametrize("kind", ["nfs", "cifs", "9p", "fuse"])
def test_file_systems_without_dependable_locks_are_for_readers_unless_told_otherwise(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with cowtree.open(path) as db:
        db[b"a"] = b"1"
    monkeypatch.setattr("cowtree.registry.file_system_kind", lambda _fd: kind)
    with pytest.raises(OSError, match=f"{kind}.*any_file_system"):
        cowtree.open(path)
    with cowtree.open(path, readonly=True, mmap=False) as db:
        assert db[b"a"] == b"1"
    with cowtree.open(path, any_file_system=True) as db:
        db[b"a"] = b"2"


def test_a_writer_verifies_past_the_page_cache_and_a_reader_in_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed sync the cache may hold what the device does not."""
    with cowtree.open(path) as db:
        db[b"a"] = b"1"
    asked: list[bool] = []
    real = recovery.find_tip

    def find_tip(*arguments: Any, from_medium: bool = False, **options: Any) -> Any:
        asked.append(from_medium)
        return real(*arguments, from_medium=from_medium, **options)

    monkeypatch.setattr(recovery, "find_tip", find_tip)
    with cowtree.open(path, readonly=True) as db:
        assert db[b"a"] == b"1"
    assert asked == [False]
    asked.clear()
    with cowtree.open(path) as db:
        db[b"a"] = b"2"
    assert asked == [True]


def test_whoever_writes_first_makes_the_name_of_the_file_durable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its creator may have been killed before it had done so."""
    cowtree.open(path).close()
    synced: list[str] = []
    real = FileSystem.sync_directory

    def sync_directory(self: FileSystem, name: str) -> None:
        synced.append(name)
        real(self, name)

    monkeypatch.setattr(FileSystem, "sync_directory", sync_directory)
    with cowtree.open(path) as db:
        assert synced == []
        for number in range(3):
            db[b"a"] = b"%d" % number
            assert synced == [str(path)]
