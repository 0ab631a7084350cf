"""An incremental backup brings an earlier one up to date, wholly or not at all, and refuses what is no backup."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from backup_helpers import check_chain, trees
from crash_device import Disk, Recorder, Scratch, cuts, images, other_boot
from model import pattern
from test_backup import SHAPES, administrative, named_trees, nothing, small_commits, spilled

import cowtree
from cowtree import registry
from cowtree.increment import extend_backup

SEED = 20
pytestmark = pytest.mark.usefixtures("left_large")
Shape = Callable[[cowtree.Database], None]


def check_same(db: cowtree.Database, path: Path, at: int | None = None) -> None:
    """The backup is the source as of a commit: contents, history, tags, settings; and it checks."""
    newest = db.commit_id if at is None else at
    with cowtree.open(path, readonly=True) as copy:
        assert copy.commit_id == newest
        report = copy.check()
        assert report.ok, report.problems
        ours = [(c.id, c.time, c.note, c.entries) for c in db.history(stop=newest + 1)]
        theirs = [(c.id, c.time, c.note, c.entries) for c in copy.history()]
        assert theirs[: len(ours)] == ours
        for commit_id in {
            newest,
            ours[-1][0] if ours else newest,
            ours[len(ours) // 2][0] if ours else newest,
        }:
            assert trees(copy.snapshot(commit_id)) == trees(db.snapshot(commit_id))
        for name in [None, *db.snapshot(newest).trees()]:
            assert copy.tree_codecs(name) == db.tree_codecs(name) or at is not None
        if at is None:
            assert copy.tags() == db.tags() and copy.settings == db.settings
            for name, commit_id in db.tags().items():
                assert copy.snapshot(name).commit_id == commit_id


def bare(db: cowtree.Database) -> None:
    """Commits that change nothing, empty trees, dropped, renamed and restored ones, codecs, an empty note."""
    from cowtree.codecs import Int, MsgPack, Text

    db[b"same"] = b"value"
    db[b"same"] = b"value"
    db.tree("typed", key=Text, value=MsgPack)["a"] = [1]
    db.tree(None, value=Int)[b"number"] = 5
    with db.transaction(note=b"note") as txn:
        txn.tree("emptied")[b"k"] = b"v"
        txn.tree("going")[b"k"] = b"v"
    with db.transaction() as txn:
        txn.tree("emptied").clear()
        txn.rename("going", "gone")
    before = db.commit_id
    with db.transaction() as txn:
        txn.drop("gone")
        txn.clear()
        txn.tree("typed").clear()
    db.restore(before)
    db.clear()


@pytest.mark.parametrize(
    "first", [nothing, small_commits, named_trees], ids=lambda shape: shape.__name__
)
@pytest.mark.parametrize("second", [*SHAPES, bare], ids=lambda shape: shape.__name__)
def test_the_backup_becomes_what_the_source_is(
    tmp_path: Path, path: Path, first: Shape, second: Shape
) -> None:
    target = tmp_path / "copy"
    with cowtree.open(path, sync=False, write_memory=1 << 17) as db:
        first(db)
        db.backup(target)
        if first is second:
            db.clear()
            for name in db.trees():
                with db.transaction() as txn:
                    txn.drop(name)
        second(db)
        db.backup(target, incremental=True)
        check_same(db, target)
        check_chain(target)
        db[b"later"] = b"1"
        db.backup(target, incremental=True)
        check_same(db, target)
        before = target.read_bytes()
        db.backup(target, incremental=True)  # nothing new
        assert target.read_bytes()[2 * 4096 :] == before[2 * 4096 :]
        assert sorted(os.listdir(tmp_path)) == ["copy", "test.cow"]


def test_it_costs_what_differs(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy"
    with cowtree.open(path, sync=False) as db:
        db.load((b"%07d" % i, pattern(i, 100)) for i in range(100_000))
        db.backup(target)
        size = target.stat().st_size
        for i in range(10):
            db[b"%07d" % (i * 9_999)] = b"changed"
        db.backup(target, incremental=True)
        check_same(db, target)
    assert size < target.stat().st_size < size + 10 * 8 * 4096


def test_a_missing_backup_is_made_whole(tmp_path: Path, db: cowtree.Database) -> None:
    small_commits(db)
    db.backup(tmp_path / "copy", incremental=True)
    check_same(db, tmp_path / "copy")


def test_compactions_in_between_change_nothing(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy"
    with cowtree.open(path, sync=False, history=30) as db:
        small_commits(db)
        db.tag("backed-up")
        db.backup(target)
        history_before = [c.id for c in db.history()]
        for _ in range(3):
            db.compact()
            administrative_later(db)
            db.compact()
            db.backup(target, incremental=True)
            check_same(db, target)
            db.tag("backed-up", move=True)
        with cowtree.open(target, readonly=True) as copy:
            assert [c.id for c in copy.history()][-len(history_before) :] == history_before
    check_chain(target)


def administrative_later(db: cowtree.Database) -> None:
    for i in range(60):
        db[b"n"] = b"%d" % i
        db.tag(f"tag{i % 5}", move=True)
        db.tree("t")[b"%d" % i] = pattern(i, 500)
    db.configure(history=random.Random(db.commit_id).randrange(20, 60))


def test_a_commit_that_is_not_kept_is_missed(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy"
    with cowtree.open(path, sync=False) as db:
        small_commits(db)
        db.backup(target)
        before = target.read_bytes()
        db[b"a"] = b"1"
        db.compact()
        with pytest.raises(cowtree.SnapshotGoneError, match="tag"):
            db.backup(target, incremental=True)
        assert target.read_bytes() == before


def test_an_older_commit_can_be_the_end(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy"
    with cowtree.open(path, sync=False) as db:
        administrative(db)
        db.backup(target, at=5)
        db.backup(target, at=17, incremental=True)
        check_same(db, target, 17)
        with pytest.raises(ValueError, match="ahead"):
            db.backup(target, at=9, incremental=True)
        db.backup(target, incremental=True)
        check_same(db, target)


def test_ids_that_were_lost_in_a_crash_stay_lost(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed, target = tmp_path / "crashed", tmp_path / "copy"
    with cowtree.open(path, sync=False) as db:
        small_commits(db)
        crashed.write_bytes(path.read_bytes())
    other_boot(monkeypatch)
    with cowtree.open(crashed, sync=False) as db:
        db.backup(target, at=100)
        db[b"after"] = b"1"
        assert db.commit_id >= 1 << 20
        db.backup(target, incremental=True)
        check_same(db, target)


# ------------------------------------------------------------------------------------------------------------- refused


def other_database(db: cowtree.Database, target: Path) -> None:
    with cowtree.open(target) as other:
        other[b"a"] = b"1"


def written_to(db: cowtree.Database, target: Path) -> None:
    db.backup(target)
    with cowtree.open(target) as copy:
        copy[b"own"] = b"1"
    db[b"a"] = b"2"


def another_past(db: cowtree.Database, target: Path) -> None:
    db.backup(target, at=3)
    with cowtree.open(target) as copy:
        copy[b"own"] = b"1"


def ahead(db: cowtree.Database, target: Path) -> None:
    db.backup(target)
    with cowtree.open(target) as copy:
        for _ in range(20):
            copy[b"own"] = b"1"


def no_database(db: cowtree.Database, target: Path) -> None:
    target.write_bytes(b"something else" * 1000)


def empty_file(db: cowtree.Database, target: Path) -> None:
    target.touch()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (other_database, ValueError),
        (written_to, ValueError),
        (another_past, ValueError),
        (ahead, ValueError),
        (no_database, cowtree.FormatError),
        (empty_file, cowtree.FormatError),
    ],
    ids=lambda value: value.__name__,
)
def test_what_is_no_base_is_refused_and_stays_as_it_is(
    tmp_path: Path,
    db: cowtree.Database,
    make: Callable[[cowtree.Database, Path], None],
    error: type[Exception],
) -> None:
    target = tmp_path / "target"
    for i in range(10):
        db[b"a"] = b"%d" % i
    make(db, target)
    before = target.read_bytes()
    with pytest.raises(error):
        db.backup(target, incremental=True)
    assert target.read_bytes() == before


def test_the_database_itself_and_a_directory_are_refused(
    tmp_path: Path, db: cowtree.Database
) -> None:
    db[b"a"] = b"1"
    with pytest.raises(ValueError, match="itself"):
        db.backup(db.path, incremental=True)
    with pytest.raises(IsADirectoryError):
        db.backup(tmp_path, incremental=True)
    db[b"a"] = b"2"


def test_a_backup_that_somebody_writes_to_is_left_alone(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy"
    with cowtree.open(path, timeout=0.05) as db:
        db[b"a"] = b"1"
        db.backup(target)
        db[b"a"] = b"2"
        with cowtree.open(target) as copy, copy.transaction():
            with pytest.raises(cowtree.LockTimeoutError):
                db.backup(target, incremental=True)
        db.backup(target, incremental=True)
        check_same(db, target)


# ------------------------------------------------------------------------------------------------------ all or nothing


def test_an_open_reader_of_the_backup_sees_all_of_it_or_nothing(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy"
    with cowtree.open(path, sync=False) as db:
        db[b"a"] = b"1"
        db.backup(target)
        with cowtree.open(target) as copy:
            held = copy.snapshot()
            seen = set()
            small_commits(db)

            def look(done: int, total: int | None) -> None:
                seen.add(copy.commit_id)
                with cowtree.open(target, readonly=True) as fresh:
                    seen.add(fresh.commit_id)

            db.backup(target, incremental=True, progress=look)
            assert (
                seen == {1} and copy.commit_id == db.commit_id and copy.wait(1, 0) == db.commit_id
            )
            assert dict(held) == {b"a": b"1"} and trees(copy) == trees(db)


def test_progress_ends_with_the_whole_and_can_stop_it(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy"
    with cowtree.open(path, sync=False, write_memory=1 << 16) as db:
        db[b"a"] = b"1"
        db.backup(target)
        before = target.read_bytes()
        spilled(db)
        calls: list[tuple[int, int | None]] = []
        db_progress = lambda done, total: calls.append((done, total))  # noqa: E731

        def stop(done: int, total: int | None) -> None:
            raise InterruptedError(errno.EINTR, "stopped")

        with pytest.raises(InterruptedError):
            db.backup(target, incremental=True, progress=stop)
        assert target.read_bytes()[2 * 4096 :] == before[2 * 4096 :]
        db.backup(target, incremental=True, progress=db_progress)
        assert calls[-1][0] == calls[-1][1] and calls == sorted(calls, key=lambda call: call[0])
        check_same(db, target)


def test_closing_the_source_ends_it_and_leaves_the_backup(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy"
    db = cowtree.open(path, sync=False)
    db[b"a"] = b"1"
    db.backup(target)
    before = target.read_bytes()
    small_commits(db)
    with pytest.raises(cowtree.ClosedError):
        db.backup(target, incremental=True, progress=lambda done, total: db.close())
    assert target.read_bytes()[2 * 4096 :] == before[2 * 4096 :]


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    made = Scratch()
    yield made
    made.remove()


@pytest.mark.parametrize("shape", [bare, administrative, spilled], ids=lambda shape: shape.__name__)
def test_a_power_cut_leaves_the_old_backup_or_the_new_one(
    scratch: Scratch, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: Shape
) -> None:
    """At every moment, in every image: nothing in between, and the next increment completes it."""
    target = tmp_path / "copy"
    with cowtree.open(path, sync=False, write_memory=1 << 17) as db:
        small_commits(db)
        db.backup(target)
        old = trees(db)
        first = db.commit_id
        db.tag("first")
        shape(db)
        new = trees(db)
        start = Disk.of_file(os.fspath(target))
        recorder = Recorder()
        newest = db.snapshot()
        extend(db, target, recorder)
        check_same(db, target)
        other_boot(monkeypatch)
        rng = random.Random(SEED)
        states = {first: 0, newest.commit_id: 0}
        moments = list(cuts(start, recorder.events))
        chosen = moments if len(moments) < 40 else [*rng.sample(moments[:-12], 25), *moments[-12:]]
        for i, cut in enumerate(chosen):
            for image in images(cut, rng, 6):
                scratch.put(image)
                with cowtree.open(scratch.path) as copy:
                    note = f"seed {SEED}, cut {i}"
                    assert copy.commit_id in states, note
                    assert trees(copy) == (old if copy.commit_id == first else new), note
                    assert copy.check().ok, note
                    states[copy.commit_id] += 1
                if rng.random() < 0.2:
                    db.backup(scratch.path, incremental=True)
                    check_same(db, Path(scratch.path))
        assert min(states.values()) > 5


def extend(db: cowtree.Database, target: Path, trace: object) -> None:
    """The increment over a traced device."""
    engine = registry.engine_for(
        db.path, create=False, readonly=False, mode=0o666, page_size=None, mapped=True
    )
    try:
        extend_backup(db, engine, engine.published, target, None, 1 << 17, None, trace=trace)
    finally:
        registry.release(engine)


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_failing_disk_leaves_the_old_backup_or_the_new_one(
    tmp_path: Path, path: Path, failing: str
) -> None:
    target = tmp_path / "copy"

    class Failing:
        calls = 0

        def __getattr__(self, name: str) -> Callable[..., None]:
            def call(*arguments: object) -> None:
                if name == failing:
                    Failing.calls += 1
                    if Failing.calls == at:
                        raise OSError(errno.EIO, os.strerror(errno.EIO))

            return call

    with cowtree.open(path, sync=False) as db:
        db[b"a"] = b"1"
        db.backup(target)
        administrative(db)
        whole = tmp_path / "whole"
        shutil.copy(target, whole)
        at = -1
        extend(db, whole, Failing())
        old, new = trees_of(target), trees(db)
        total, outcomes = Failing.calls, []
        for at in range(1, total + 1):
            attempt = tmp_path / f"attempt{at}"
            shutil.copy(target, attempt)
            Failing.calls = 0
            raised = False
            try:
                extend(db, attempt, Failing())
            except (OSError, cowtree.CommitUncertainError):
                raised = True
            found = trees_of(attempt)
            assert found == (old if raised else new)
            outcomes.append(found == new)
            db.backup(attempt, incremental=True)
            check_same(db, attempt)
        # What comes after the last word closes the file cleanly: that it fails takes nothing from the backup.
        assert outcomes == sorted(outcomes) and any(outcomes)


def trees_of(path: Path) -> dict[str | None, dict[bytes, bytes]]:
    with cowtree.open(path, readonly=True) as copy:
        assert copy.check().ok
        return trees(copy)


# ------------------------------------------------------------------------------------------------------------ branches


def test_a_branch_goes_its_own_way(tmp_path: Path, path: Path) -> None:
    with cowtree.open(path, sync=False, history=timedelta(days=1)) as db:
        administrative(db)
        db.branch(tmp_path / "branch", at=12)
        with cowtree.open(tmp_path / "branch") as branch:
            assert branch.commit_id == 12 and trees(branch) == trees(db.snapshot(12))
            assert branch.settings == db.settings
            before = db.commit_id
            branch[b"own"] = b"1"
            assert b"own" not in db and db.commit_id == before and branch.commit_id == 13
            with pytest.raises(cowtree.SnapshotGoneError):
                branch.snapshot(db.snapshot(13))
            with pytest.raises(ValueError, match="written to"):
                db.backup(tmp_path / "branch", incremental=True)
        with pytest.raises(FileExistsError):
            db.branch(tmp_path / "branch")
