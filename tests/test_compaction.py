"""`compact()`: what is kept reads as before, the rest is gone, and every other handle and process follows."""

from __future__ import annotations

import errno
import os
import pickle
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree import SnapshotGoneError, registry
from cowtree.storage.file_lock import FileLock, published_pages_of
from cowtree.storage.file_system import FileSystem

pytestmark = pytest.mark.usefixtures("left_large")

State = tuple[dict[bytes, bytes], dict[str, dict[bytes, bytes]]]


def state_of(reader: Any) -> State:
    return dict(reader), {name: dict(reader.tree(name)) for name in reader.trees()}


def grow(db: cowtree.Database, commits: int, seed: int = 0) -> None:
    """Commits of all kinds: small and large values, deletes, named trees, notes, a restore."""
    rng = random.Random(seed)
    for i in range(commits):
        with db.transaction(note=b"note %d" % i) as txn:
            for _ in range(rng.choice([1, 10, 60])):
                txn[b"%04d" % rng.randrange(2000)] = rng.randbytes(rng.choice([0, 9, 100, 2500]))
            for _ in range(rng.choice([0, 5])):
                txn.delete(b"%04d" % rng.randrange(2000))
            name = f"tree {rng.randrange(4)}"
            if rng.random() < 0.2:
                txn.drop(name)
            else:
                txn.tree(name)[b"%d" % i] = rng.randbytes(rng.choice([5, 5000]))
        if i == commits // 2:
            db.restore(db.commit_id - 1)


def test_only_the_newest_commit_is_kept_by_default(path: Path, page_size: int) -> None:
    db = cowtree.open(path, sync=False, page_size=page_size)
    grow(db, 60)
    before, newest = state_of(db), db.commit_id
    stats = db.stats()
    assert stats.file_bytes > 2 * stats.live_bytes
    db.compact()
    assert state_of(db) == before and db.commit_id == newest
    report = db.check()
    assert report.ok, report.problems
    assert db.stats().file_bytes <= stats.live_bytes + 6 * page_size
    assert [c.id for c in db.history()] == [newest]
    assert next(db.history()).note == b"note 59"
    for gone in (1, newest - 1):
        with pytest.raises(SnapshotGoneError):
            db.snapshot(gone)
    assert state_of(db.snapshot(0)) == ({}, {})
    assert len(list(db.changes(0))) == db.stats().entries
    db[b"more"] = b"1"
    assert db.commit_id == newest + 1 and [c.key for c in db.diff(newest)] == [b"more"]
    db.close()
    with cowtree.open(path) as db:
        assert db.commit_id == newest + 1 and db.check().ok
        assert dict(db) == before[0] | {b"more": b"1"}
    assert os.listdir(path.parent) == [path.name]


def test_tags_history_and_snapshots_are_kept_and_share_pages(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    grow(db, 80)
    states = {c.id: state_of(db.snapshot(c.id)) for c in db.history()}
    commits = {c.id: c for c in db.history()}
    db.tag("first", 1)
    db.tag("middle", 40)
    db.configure(history=10)
    snapshots = [db.snapshot(i) for i in (20, 21)]
    newest = db.commit_id
    kept = sorted({1, 20, 21, 40, *range(newest - 9, newest + 1)})
    for _ in range(3):
        db.compact()
        assert [c.id for c in db.history(reverse=False)] == kept
        for commit in db.history():
            assert state_of(db.snapshot(commit.id)) == states[commit.id]
            was = commits[commit.id]
            assert (commit.time, commit.note, commit.entries) == (was.time, was.note, was.entries)
        assert db.tags() == {"first": 1, "middle": 40}
        assert state_of(db.snapshot("middle")) == states[40]
        assert db.settings.history == 10
        report = db.check()
        assert report.ok, report.problems
    size = db.stats().file_bytes
    assert [state_of(s) for s in snapshots] == [states[20], states[21]]
    for snapshot in snapshots:
        assert state_of(pickle.loads(pickle.dumps(snapshot))) == states[snapshot.commit_id]
        snapshot.close()
    db.untag("first")
    db.untag("middle")
    db.configure(history=None)
    db.compact()
    assert [c.id for c in db.history()] == [newest] and db.stats().file_bytes < size * 0.6
    assert state_of(db) == states[newest]


def test_history_by_age(path: Path) -> None:
    db = cowtree.open(path, sync=False, history=timedelta(days=1))
    grow(db, 10)
    db.compact()
    assert len(list(db.history())) == 11
    db.configure(history=timedelta(0))
    db.compact()
    assert len(list(db.history())) == 1


def test_a_time_between_dropped_commits_names_none(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    times = []
    for i in range(6):
        db[b"k"] = b"%d" % i
        times.append(db.snapshot().time)
        while datetime.now(UTC) <= times[-1] + timedelta(microseconds=2):
            pass
    db.tag("second", 2)
    db.tag("third", 3)
    db.compact()
    assert [c.id for c in db.history()] == [6, 3, 2]
    assert [db.snapshot(times[i]).commit_id for i in (1, 2, 5)] == [2, 3, 6]
    just_after = timedelta(microseconds=1)
    assert db.snapshot(times[1] + just_after).commit_id == 2, "nothing was dropped behind it"
    assert db.snapshot(times[5] + timedelta(days=1)).commit_id == 6
    for moment in (times[2] + just_after, times[3], times[4], times[0]):
        with pytest.raises(SnapshotGoneError):
            db.snapshot(moment)


def test_a_database_that_needs_no_compaction_stays_as_large(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db.compact()
    assert state_of(db) == ({}, {}) and db.commit_id == 0
    db.load((b"%06d" % i, b"x" * 60) for i in range(20_000))
    db.compact()
    size = db.stats().file_bytes
    db.compact()
    assert db.stats().file_bytes == size
    assert size <= db.stats().live_bytes + 3 * 4096


@pytest.mark.parametrize("options", [{"mmap": False}, {"write_memory": 0}], ids=repr)
def test_other_ways_to_open(path: Path, options: dict[str, Any]) -> None:
    db = cowtree.open(path, sync=False, **options)
    grow(db, 30)
    before = state_of(db)
    snapshot = db.snapshot()
    db.compact()
    assert state_of(db) == before == state_of(snapshot)
    grow(db, 5, seed=1)
    assert state_of(snapshot) == before and db.check().ok


def test_a_database_in_memory(path: Path) -> None:
    db = cowtree.open(":memory:")
    grow(db, 40)
    db.tag("t", 5)
    tagged, before, snapshot = state_of(db.snapshot("t")), state_of(db), db.snapshot(3)
    third = state_of(snapshot)
    size = db.stats().file_bytes
    db.compact()
    assert state_of(db) == before and state_of(db.snapshot("t")) == tagged
    assert state_of(snapshot) == third and db.stats().file_bytes < size * 0.6
    grow(db, 5, seed=2)
    assert db.check().ok
    db.close()
    assert state_of(snapshot) == third


def test_ids_taken_by_lost_commits_stay_taken(path: Path) -> None:
    """A gap record at the tip says from where ids go on; so does the compacted file."""
    from cowtree.storage.creation import create_file
    from cowtree.storage.page_file import open_page_file
    from cowtree.storage.plain_records import write_gap
    from cowtree.storage.recovery_scan import RangeReader

    create_file(path)
    file = open_page_file(path)
    first = RangeReader(file).read_commit(2)
    file.device.set_size(20 * 4096)
    write_gap(file, first, 10, 1 << 20, 0)
    file.close()
    with cowtree.open(path) as db:
        db.compact()
        assert db.commit_id == 0
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
        assert db.commit_id == 1 << 20 and db.check().ok


def test_all_handles_of_a_process_follow(path: Path) -> None:
    a = cowtree.open(path, sync=False)
    grow(a, 30)
    b, c = cowtree.open(path, sync=False), cowtree.open(path, readonly=True)
    tree = b.tree("kept")
    tree[b"k"] = b"v"
    iterator = iter(b.items())
    items = [next(iterator)]
    with b.transaction() as txn:
        txn[b"early"] = b"1"
        with pytest.raises(cowtree.TransactionError):
            a.compact()
    a.compact()
    assert items + list(iterator) == list(b.snapshot().items())[:-1] or len(items) == 1
    b[b"from b"] = b"1"
    assert a[b"from b"] == c[b"from b"] == b"1" and tree[b"k"] == b"v"
    tree[b"l"] = b"w"
    b.compact()
    a[b"from a"] = b"2"
    assert dict(b) == dict(a) == dict(c) and len(tree) == 2
    assert [path.name] == os.listdir(path.parent)
    for db in (a, b, c):
        db.close()
    with cowtree.open(path) as db:
        assert db.check().ok and db[b"from a"] == b"2"


def test_other_processes_follow(path: Path, start_child: Any) -> None:
    with cowtree.open(path, sync=False) as db:
        grow(db, 30)
        code = (
            "import sys, cowtree\n"
            "db = cowtree.open(sys.argv[1], readonly=sys.argv[2] == 'r')\n"
            "old = db.snapshot()\n"
            "count = len(old)\n"
            "print('open')\n"
            "for line in sys.stdin:\n"
            "    line = line.strip().encode()\n"
            "    if line.startswith(b'put'): db[line] = b'from a child'\n"
            "    elif line == b'compact': db.compact()\n"
            "    print(db.commit_id, len(db), db.get(b'put')); assert len(list(old)) == count\n"
        )
        reader, writer = start_child(code, path, "r"), start_child(code, path, "w")
        assert reader.read() == writer.read() == "open"
        db.compact()
        for child in (reader, writer):
            child.tell("")
            assert child.read() == f"{db.commit_id} {len(db)} None"
        db[b"new"] = b"1"
        reader.tell("")
        assert reader.read() == f"{db.commit_id} {len(db)} None"
        db.compact()
        db[b"newer"] = b"1"
        writer.tell("put")
        assert writer.read() == f"{db.commit_id} {len(db)} b'from a child'"
        assert db[b"put"] == b"from a child"
        writer.tell("compact")
        assert writer.read() == f"{db.commit_id} {len(db)} b'from a child'"
        db[b"newest"] = b"1"
        for child in (reader, writer):
            child.tell("")
            assert child.read() == f"{db.commit_id} {len(db)} b'from a child'"
        assert db.check().ok


def test_threads_read_and_write_across_compactions(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db.update({b"%03d" % i: b"0" for i in range(100)})
    problems: list[BaseException] = []
    stop = threading.Event()
    written = [0]

    def write() -> None:
        while not stop.is_set():
            written[0] += 1
            db.update({b"%03d" % i: b"%d" % written[0] for i in range(100)})

    def read() -> None:
        while not stop.is_set():
            snapshot = db.snapshot()
            values = set(snapshot.values())
            assert len(values) == 1 and len(snapshot) == 100, values
            assert len(list(db.items())) == 100
            assert db.get(b"000") is not None

    def guard(target: Any) -> None:
        try:
            target()
        except BaseException as error:
            problems.append(error)
            stop.set()

    threads = [threading.Thread(target=guard, args=(f,)) for f in (write, read, read)]
    for thread in threads:
        thread.start()
    for _ in range(25):
        if stop.is_set():
            break
        db.compact()
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems, problems
    assert set(db.values()) == {b"%d" % written[0]} and db.check().ok


def test_a_writer_has_its_turn_between_two_compactions(path: Path) -> None:
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        grow(db, 10)
        engine = registry.engine_for(
            str(path), create=False, readonly=False, mode=0o666, page_size=None, mapped=True
        )
        written = threading.Event()
        seen: list[bool] = []

        def write() -> None:
            db[b"waited"] = b"1"
            written.set()

        thread = threading.Thread(target=write)

        def during_the_first(done: int, total: int | None) -> None:
            if thread.ident is None:
                thread.start()
                while not engine.writers_waiting:
                    time.sleep(0.001)

        db.compact(progress=during_the_first)
        db.compact(progress=lambda done, total: seen.append(written.is_set()))
        thread.join()
        registry.release(engine)
        assert all(seen) and seen and db[b"waited"] == b"1"


def test_a_writer_of_another_process_has_its_turn_between_two_compactions(
    path: Path, start_child: Any
) -> None:
    code = (
        "import sys, cowtree\n"
        "db = cowtree.open(sys.argv[1])\n"
        "print('open')\n"
        "for line in sys.stdin:\n"
        "    db[b'waited'] = b'1'\n"
        "    print('written')\n"
    )
    with cowtree.open(path, auto_compact=None) as db:
        grow(db, 10)
        child = start_child(code, path)
        assert child.read() == "open"
        lock = FileLock(str(path))
        told: list[bool] = []
        seen: list[bytes | None] = []

        def during_the_first(done: int, total: int | None) -> None:
            if not told:
                told.append(True)
                child.tell("write")
                while not lock.others_waiting():
                    time.sleep(0.001)

        db.compact(progress=during_the_first)
        db.compact(progress=lambda done, total: seen.append(db.get(b"waited")))
        assert child.read() == "written"
        lock.close()
        assert seen and set(seen) == {b"1"}


def test_progress_and_its_exceptions(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db.load((b"%06d" % i, b"x" * 100) for i in range(100_000))
    calls: list[tuple[int, int | None]] = []
    db.compact(progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] and all(total is None for _, total in calls[:-1])
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    inode = path.stat().st_ino

    def cancel(done: int, total: int | None) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        db.compact(progress=cancel)
    assert path.stat().st_ino == inode and os.listdir(path.parent) == [path.name]
    db[b"k"] = b"v"
    db.compact()
    assert len(db) == 100_001 and path.stat().st_ino != inode


@pytest.mark.parametrize("step", ["create_temporary", "rename"])
def test_a_failure_leaves_the_old_file(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = cowtree.open(path)
    grow(db, 10)
    before = state_of(db)

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(FileSystem, step, fail)
        with pytest.raises(OSError, match="No space"):
            db.compact()
    assert os.listdir(path.parent) == [path.name]
    assert state_of(db) == before
    db[b"k"] = b"v"
    other = cowtree.open(path)
    assert other[b"k"] == b"v" and other.check().ok
    db.compact()
    assert other[b"k"] == b"v"
    db.close()
    other.close()


def test_names_modes_and_debris(path: Path) -> None:
    db = cowtree.open(path, mode=0o640)
    grow(db, 5)
    mode = path.stat().st_mode
    debris = path.with_name(f".{path.name}.0123456789abcdef.tmp")
    debris.write_bytes(b"of a process that was killed")
    db.compact()
    assert path.stat().st_mode == mode and not debris.exists()
    link = path.with_name("link.cow")
    link.symlink_to(path)
    with cowtree.open(link) as by_link:
        by_link.compact()
    assert link.is_symlink() and path.exists() and db.check().ok
    link.unlink()
    os.link(path, link)
    with pytest.raises(OSError, match="several names"):
        db.compact()
    link.unlink()
    db.compact()
    with cowtree.open(path, readonly=True) as readonly, pytest.raises(cowtree.ReadOnlyError):
        readonly.compact()
    db.close()
    with pytest.raises(cowtree.ClosedError):
        db.compact()


def test_nobody_can_write_to_the_new_file_before_it_has_taken_the_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds it at the path finds its lock held, and its commits vouched for, until all is done."""
    renamed: list[tuple[bool, bool]] = []
    real = FileSystem.sync_directory

    def sync_directory(self: FileSystem, name: str) -> None:
        lock = FileLock(name)
        with open(name, "rb") as file:
            renamed.append((lock.try_acquire(), published_pages_of(file.fileno()) > 0))
        lock.close()
        real(self, name)

    with cowtree.open(path) as db:
        grow(db, 5)
        monkeypatch.setattr(FileSystem, "sync_directory", sync_directory)
        db.compact()
    assert renamed == [(False, True)]


def test_a_damaged_page_is_not_copied(path: Path) -> None:
    with cowtree.open(path) as db:
        db.load((b"%05d" % i, b"x" * 100) for i in range(2000))
    data = bytearray(path.read_bytes())
    data[10 * 4096 + 2000] ^= 1
    path.write_bytes(data)
    with cowtree.open(path) as db:
        with pytest.raises(cowtree.CorruptionError):
            db.compact()
        assert os.listdir(path.parent) == [path.name]
        assert db[b"01999"] == b"x" * 100


def test_killed_in_the_middle(path: Path, start_child: Any) -> None:
    """Whenever the process dies, one whole file is at the path and everything acknowledged is in it."""
    cowtree.open(path).close()
    code = (
        "import sys, cowtree\n"
        "db = cowtree.open(sys.argv[1])\n"
        "n = int(db.get(b'n', b'0'))\n"
        "while True:\n"
        "    n += 1\n"
        "    with db.transaction() as txn:\n"
        "        txn[b'n'] = b'%d' % n\n"
        "        for i in range(20): txn[b'%d' % (n * 7 + i)] = b'x' * 500\n"
        "    print(n)\n"
        "    db.compact()\n"
    )
    rng = random.Random(7)
    for _ in range(12):
        child = start_child(code, path)
        acknowledged = 0
        for _ in range(rng.randrange(1, 12)):
            acknowledged = int(child.read())
        for _ in range(rng.randrange(2000)):
            pass
        child.process.kill()
        child.process.wait()
        with cowtree.open(path) as db:
            assert int(db[b"n"]) in (acknowledged, acknowledged + 1)
            report = db.check()
            assert report.ok, report.problems
            db.compact()
        assert os.listdir(path.parent) == [path.name]
