"""Backups of damaged files, onto full disks, through failing calls: an error, and nothing at the target."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model import pattern
from storage_helpers import Trace

import cowtree
from cowtree.backup import write_backup
from cowtree.checksum import checksum
from cowtree.storage.commit_record import CommitRecord
from cowtree.storage.file_system import FileSystem
from cowtree.storage.page_file import PageFile, open_page_file
from cowtree.storage.recovery import find_tip

PAGE = 4096
COMMIT, LEAF, BRANCH, RUN, RETIRED = 2, 3, 4, 5, 6  # FORMAT §2.0
LARGE = 1_300_000  # a run of more than a window


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A closed database with pages of each kind, a run larger than a window, and a range with garbage in it."""
    path = tmp_path_factory.mktemp("intact") / "intact.cow"
    with cowtree.open(path, sync=False, write_memory=1 << 16) as db:
        db.update((b"%05d" % i, pattern(i, 60)) for i in range(2000))
        db[b"middle"] = pattern(1, 30_000)
        with db.transaction(note=b"garbage") as txn, txn.savepoint() as savepoint:
            txn.update((b"%05d" % i, pattern(i, 70)) for i in range(1000))
            savepoint.rollback()
            txn.update((b"%05d" % i, pattern(i, 80)) for i in range(0, 2000, 7))
        db[b"large"] = pattern(2, LARGE)
        # Every other one of many leaves retires: more items than the commit page has room for.
        db.tree("wide").update((b"%05d" % i, pattern(i, 1500)) for i in range(1400))
        db.tree("wide").update((b"%05d" % i, pattern(i, 1400)) for i in range(0, 1400, 4))
        db.delete_range(b"00100", b"01900")
        db.tag("tagged")
        db.tree("named")[b"k"] = b"v"
    return path.read_bytes()


class Source:
    """The intact file, open, to be damaged byte by byte."""

    def __init__(self, directory: Path, content: bytes) -> None:
        self.path = directory / "source.cow"
        self.path.write_bytes(content)
        self.content = content
        self.file: PageFile = open_page_file(self.path)
        self.tip: CommitRecord = find_tip(self.file).tip
        self.target = directory / "copies" / "copy"
        self.target.parent.mkdir()

    def write(self, offset: int, data: bytes) -> None:
        with open(self.path, "r+b", buffering=0) as file:
            file.seek(offset)
            file.write(data)

    def restore(self, offset: int, size: int) -> None:
        self.write(offset, self.content[offset : offset + size])

    def back_up(self, **options: Any) -> None:
        write_backup(self.file, self.tip, self.target, **options)

    def damaged_page(self) -> int:
        """The page that the error of a backup names."""
        with pytest.raises(cowtree.CorruptionError) as caught:
            self.back_up()
        assert caught.value.path == str(self.path) and caught.value.page is not None
        assert os.listdir(self.target.parent) == []
        return caught.value.page

    def number(self, offset: int, size: int = 8) -> int:
        return int.from_bytes(self.content[offset : offset + size], "little")

    def units(self) -> Iterator[tuple[int, int, int]]:
        """(first page, pages, kind) of every page and run behind page 2."""
        page = 2
        while page < self.tip.end_page:
            kind = self.content[page * PAGE + 24]
            count = self.number(page * PAGE + 32) if kind == RUN else 1
            yield page, count, kind
            page += count


@pytest.fixture
def source(tmp_path: Path, intact: bytes) -> Iterator[Source]:
    opened = Source(tmp_path, intact)
    yield opened
    opened.file.close()


def test_intact_source_has_all_kinds_of_pages(source: Source) -> None:
    kinds = {kind for _, _, kind in source.units()}
    assert kinds == {COMMIT, LEAF, BRANCH, RUN, RETIRED}
    assert max(count for _, count, _ in source.units()) > 256
    source.back_up()
    with cowtree.open(source.target) as copy, cowtree.open(source.path) as original:
        assert copy.check().ok and dict(copy) == dict(original)


def test_flipped_byte_is_an_error_that_names_its_page(source: Source) -> None:
    rng = random.Random(1)
    offsets: dict[int, tuple[int, int]] = {}  # of a byte -> the pages that may be blamed
    for page, count, kind in source.units():
        start, end = page * PAGE, (page + count) * PAGE
        header = {COMMIT: 40, RUN: 64}.get(kind, 8)
        chosen = {rng.choice([start + rng.randrange(header), rng.randrange(start, end), end - 1])}
        if kind in (COMMIT, RETIRED) or count > 1:
            chosen |= {rng.randrange(start, min(end, start + 400)) for _ in range(4)}
        if count > 1:
            chosen |= {end - 8 * count, end - 8 * count - 1, rng.randrange(end - 8 * count, end)}
        for offset in chosen:
            # An entry of a run's table is told from the page that it is of no better than from the table.
            in_table = count > 1 and offset >= end - 8 * count
            own = offset // PAGE
            offsets[offset] = (page, page + count) if in_table else (own, own + 1)
    for offset in [0, 5, 30, 45, 60, 75, 85, 100, 3000, PAGE - 1]:  # page 0
        offsets[offset] = (0, 1)
    assert len(offsets) > 800
    for offset in sorted(offsets):
        source.write(offset, bytes([source.content[offset] ^ rng.choice([1, 128, 255])]))
        low, high = offsets[offset]
        assert low <= source.damaged_page() < high, offset
        source.restore(offset, 1)
    source.back_up()


def test_page_1_and_what_lies_behind_the_tip_do_not_matter(source: Source) -> None:
    source.write(PAGE, b"\xff" * PAGE)
    source.write(source.tip.end_page * PAGE, b"\xff" * 9000)
    source.back_up()
    with cowtree.open(source.target) as copy:
        assert copy.check().ok


def test_zeroed_swapped_and_missing_pages_are_errors(source: Source) -> None:
    pages = [page for page, count, _ in source.units() if count == 1][::3]
    for page, other in zip(pages, pages[1:] + pages[:1], strict=True):
        for piece in (bytes(PAGE), source.content[other * PAGE : (other + 1) * PAGE]):
            source.write(page * PAGE, piece)
            assert source.damaged_page() == page
        source.restore(page * PAGE, PAGE)
    for end in range(source.tip.end_page - 1, 3, -29):
        os.truncate(source.path, end * PAGE + 100)
        assert end <= source.damaged_page() < source.tip.end_page


def test_page_of_another_attempt_of_the_same_commit_is_an_error(source: Source) -> None:
    """Its own checksum is right: only the digest tells."""
    generation = source.file.generation
    leaf = [page for page, _, kind in source.units() if kind == LEAF][5]
    commit = max(page for page, _, kind in source.units() if kind == COMMIT and page < leaf)
    content = bytearray(source.content[leaf * PAGE : (leaf + 1) * PAGE])
    content[2000] ^= 1
    content[:8] = checksum(content[8:], generation).to_bytes(8, "little")
    source.write(leaf * PAGE, content)
    assert source.damaged_page() == commit


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (8, 3),  # its number
        (44, 0),
        (44, 4),  # kinds of record
        (72, 1),  # UUID
        (88, 1),  # generation
        (96, 99),  # sequence
        (112, 5),  # nonce: the digest and the successor disagree
        (136, 0),
        (136, 2),
        (136, 1 << 55),
        (136, (1 << 64) - 1),  # page count
        (144, 2),  # previous page
        (152, 1),
        (160, 1),  # previous nonce and digest
        (176, 1),  # digest
    ],
)
def test_intact_commit_page_that_does_not_fit_in_is_an_error(
    source: Source, offset: int, value: int
) -> None:
    commits = [page for page, _, kind in source.units() if kind == COMMIT]
    for page in (commits[2], commits[-1]):
        content = bytearray(source.content[page * PAGE : (page + 1) * PAGE])
        content[offset : offset + 1 if offset == 44 else offset + 8] = value.to_bytes(
            1 if offset == 44 else 8, "little"
        )
        content[:8] = checksum(content[8:], source.file.generation).to_bytes(8, "little")
        source.write(page * PAGE, content)
        assert source.damaged_page() >= page
        source.restore(page * PAGE, PAGE)


@pytest.mark.parametrize(
    ("offset", "value"), [(32, 0), (32, 1 << 60), (32, 7), (40, 1 << 63), (40, 9)]
)
def test_intact_header_of_a_run_that_lies_is_an_error(
    source: Source, offset: int, value: int
) -> None:
    for page in [page for page, _, kind in source.units() if kind == RUN]:
        header = bytearray(source.content[page * PAGE : page * PAGE + 64])
        header[offset : offset + 8] = value.to_bytes(8, "little")
        header[:8] = checksum(header[8:], source.file.generation).to_bytes(8, "little")
        source.write(page * PAGE, header)
        assert source.damaged_page() == page
        source.restore(page * PAGE, 64)


def test_page_of_a_run_changed_with_its_entry_is_an_error(source: Source) -> None:
    """Only the checksum of the table tells, which stands in the header."""
    for page, count, kind in source.units():
        if kind != RUN:
            continue
        start, entry = (page + 1) * PAGE, (page + count) * PAGE - 8 * (count - 1)
        content = bytearray(source.content[start : start + PAGE])
        content[500] ^= 1
        source.write(start, content)
        source.write(entry, checksum(content, source.file.generation + 1).to_bytes(8, "little"))
        assert source.damaged_page() == page
        source.restore(start, PAGE)
        source.restore(entry, 8)
    source.back_up()


def test_features_that_this_release_may_only_read_refuse_a_backup(
    source: Source, tmp_path: Path
) -> None:
    generation = source.file.generation
    for page, offset, size in [(0, 96, PAGE), (source.tip.page, 56, PAGE)]:
        content = bytearray(source.content)
        start = page * PAGE
        content[start + offset] = 1
        content[start : start + 8] = checksum(
            content[start + 8 : start + size], generation
        ).to_bytes(8, "little")
        path = tmp_path / f"newer{page}"
        path.write_bytes(content)
        with cowtree.open(path, readonly=True) as db, pytest.raises(cowtree.FormatError):
            db.backup(source.target)
        assert os.listdir(source.target.parent) == []


# ------------------------------------------------------------------------------------------------------------- failing


class Steps(FileSystem):
    """Records what is done with names, beside what a device does; fails one of them."""

    def __init__(self, fail: str = "") -> None:
        self.steps: list[str] = []
        self.fail = fail

    def step(self, name: str) -> None:
        if not self.steps or self.steps[-1] != name:
            self.steps.append(name)
        if name == self.fail:
            raise OSError(errno.EIO, "failed")

    def create_temporary(self, path: str, mode: int) -> tuple[int, str]:
        self.step("create")
        return super().create_temporary(path, mode)

    def link_without_replacing(self, temporary: str, path: str) -> None:
        self.step("link")
        super().link_without_replacing(temporary, path)

    def sync_directory(self, path: str) -> None:
        self.step("sync directory")
        super().sync_directory(path)

    def write(self, offset: int, data: bytes) -> None:
        self.step("write page 0" if offset == 0 else "write")

    def sync(self) -> None:
        self.step("sync")

    def truncate(self, size: int) -> None:
        self.step("set size")


def test_contents_are_synced_before_the_name_and_the_name_last(source: Source) -> None:
    steps = Steps()
    source.back_up(
        file_system=steps, trace=steps, progress=lambda done, total: steps.step("progress")
    )
    wanted = ["set size", "write", "write page 0", "sync", "progress", "link", "sync directory"]
    assert steps.steps == ["create", *wanted]


@pytest.mark.parametrize(
    "step", ["create", "set size", "write", "write page 0", "sync", "link", "sync directory"]
)
def test_failure_of_any_step_leaves_nothing(source: Source, step: str) -> None:
    steps = Steps(fail=step)
    with pytest.raises(OSError) as caught:
        source.back_up(file_system=steps, trace=steps)
    assert caught.value.errno == errno.EIO
    assert os.listdir(source.target.parent) == []
    source.back_up()


def test_every_write_may_find_the_disk_full(source: Source) -> None:
    counting = Trace()
    source.back_up(trace=counting)
    source.target.unlink()
    for short in (None, 0, 100):
        for fail_at in range(len(counting.operations)):
            trace = Trace(fail_at=fail_at, code=errno.ENOSPC)
            trace.short = short if counting.operations[fail_at][0] == "write" else None
            with pytest.raises(OSError) as caught:
                source.back_up(trace=trace)
            assert caught.value.errno == errno.ENOSPC
            assert os.listdir(source.target.parent) == []


def test_name_taken_after_the_link_is_not_taken_away(source: Source) -> None:
    class Replaced(FileSystem):
        def sync_directory(self, path: str) -> None:
            os.unlink(path)
            Path(path).write_bytes(b"theirs")
            raise OSError(errno.EIO, "failed")

    with pytest.raises(OSError):
        source.back_up(file_system=Replaced())
    assert source.target.read_bytes() == b"theirs"


def test_limit_on_file_sizes_leaves_nothing(
    source: Source, start_child: Callable[..., Any]
) -> None:
    child = start_child(
        """
import resource, sys, cowtree
db = cowtree.open(sys.argv[1], readonly=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    db.backup(sys.argv[2])
except OSError as error:
    print(error.errno, flush=True)
""",
        source.path,
        source.target,
    )
    assert child.read() == str(errno.EFBIG)
    assert child.finish() == 0
    assert os.listdir(source.target.parent) == []


def test_killed_process_leaves_no_database(source: Source, start_child: Callable[..., Any]) -> None:
    child = start_child(
        """
import os, signal, sys, cowtree

pytestmark = pytest.mark.usefixtures("left_large")
with cowtree.open(sys.argv[1], readonly=True) as db:
    db.backup(sys.argv[2], progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))
""",
        source.path,
        source.target,
    )
    child.process.wait(60)
    left = os.listdir(source.target.parent)
    assert not source.target.exists() and all(name.endswith(".tmp") for name in left)
    source.back_up()
