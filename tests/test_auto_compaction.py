"""Compaction by itself: the file stays bounded, what is kept reads as before, and a kill leaves one whole file."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_compaction import grow, state_of

import cowtree
from cowtree import SnapshotGoneError, auto_compaction, registry
from cowtree.auto_compaction import Worker
from cowtree.storage.file_system import FileSystem

PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are compacted from 256 KiB on."""
    monkeypatch.setattr(auto_compaction, "GROWN_BYTES", 1 << 18)


def eventually(condition: Callable[[], object]) -> None:
    """Wait for what another thread does; fails after PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.002)


def idle(db: cowtree.Database) -> None:
    eventually(lambda: not db.stats().compacting)


def churn(db: cowtree.Database, commits: int, seed: int = 0) -> dict[bytes, bytes]:
    """Overwrites of 300 keys, ten a commit; what they are in the end."""
    rng = random.Random(seed)
    last = {}
    for _ in range(commits):
        with db.transaction() as txn:
            for _ in range(10):
                key = b"%06d" % rng.randrange(300)
                last[key] = txn[key] = rng.randbytes(100)
    return last


def generation(db: cowtree.Database) -> bytes:
    """Of the file at the path (FORMAT §2.1); the number of an inode is given again."""
    with open(db.path, "rb") as file:
        return file.read(80)[72:]


@pytest.fixture
def relocate() -> Iterator[Callable[[cowtree.Database], None]]:
    """Compacts a file as it is done in the background, whether it is due or not, and waits for it."""
    engines = []

    def run(db: cowtree.Database) -> None:
        engine = registry.engine_for(
            db.path, create=False, readonly=False, mode=0o666, page_size=None, mapped=True
        )
        engines.append(engine)
        worker: Any = Worker(engine)
        worker.worthwhile = lambda needed, pages: True
        engine.compactor = worker
        worker.start()
        assert worker.done.wait(PATIENCE_SECONDS)
        assert engine.compaction_problem is None
        assert engine.find_successor()

    yield run
    for engine in engines:
        registry.release(engine)


def test_a_file_stays_bounded_and_whole_without_being_asked(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    last: dict[bytes, bytes] = {}
    generations = set()
    largest = 0
    for seed in range(40):
        last |= churn(db, 20, seed)
        stats = db.stats()
        largest = max(largest, stats.file_bytes)
        generations.add(generation(db))
        assert {key: db[key] for key in last} == last
    idle(db)
    assert len(generations) > 3
    # The bound of three times what is needed and the floor; young commits and the tail come on top.
    assert largest < 3 * stats.live_bytes + (1 << 18) + (6 << 20)
    assert db.stats().compaction_problem is None
    report = db.check()
    assert report.ok, report.problems
    db.close()
    assert os.listdir(path.parent) == [path.name]
    with cowtree.open(path) as db:
        assert dict(db) == last and db.commit_id == 800


def test_small_files_and_those_told_so_are_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        before = generation(db)
        churn(db, 100)
        assert not db.stats().compacting and generation(db) == before
        monkeypatch.setattr(auto_compaction, "GROWN_BYTES", 1 << 40)
        db.configure(auto_compact=2.0)
        churn(db, 10)
        assert not db.stats().compacting and generation(db) == before
        monkeypatch.setattr(auto_compaction, "GROWN_BYTES", 1 << 18)
        db.configure(auto_compact=1.9)
        db[b"one"] = b"more"
        eventually(lambda: generation(db) != before)


def test_an_overgrown_file_is_compacted_soon(path: Path) -> None:
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        churn(db, 300)
        large = path.stat().st_size
        before = generation(db)
        db.configure(auto_compact=2.0)
        eventually(lambda: generation(db) != before)
        assert path.stat().st_size < large / 2


def test_what_is_kept_reads_as_before(path: Path, page_size: int, relocate: Any) -> None:
    db = cowtree.open(path, sync=False, page_size=page_size, auto_compact=None)
    grow(db, 60)
    states = {c.id: state_of(db.snapshot(c.id)) for c in db.history()}
    commits = {c.id: c for c in db.history()}
    db.tag("first", 1)
    db.tag("middle", 30)
    db.configure(history=5)
    held = [db.snapshot(i) for i in (20, 21)]
    pickled = pickle.dumps(held[0])
    newest = db.commit_id
    needed = {1, 20, 21, 30, *range(newest - 4, newest + 1)}
    for _ in range(3):
        relocate(db)
        listed = [c.id for c in db.history()]
        assert needed <= set(listed)
        for commit in db.history():
            assert state_of(db.snapshot(commit.id)) == states[commit.id]
            was = commits[commit.id]
            assert (commit.time, commit.note, commit.entries) == (was.time, was.note, was.entries)
            assert commit.tags == {1: ("first",), 30: ("middle",)}.get(commit.id, ())
        assert state_of(db.snapshot("middle")) == states[30]
        assert [state_of(snapshot) for snapshot in held] == [states[20], states[21]]
        assert state_of(pickle.loads(pickled)) == states[20]
        assert list(db.diff(20, newest)) and db.settings.history == 5
        report = db.check()
        assert report.ok, report.problems
    assert 2 not in listed
    with pytest.raises(SnapshotGoneError):
        db.snapshot(2)
    db[b"more"] = b"1"
    assert db.commit_id == newest + 1
    db.compact()
    assert state_of(db.snapshot(newest - 1)) == states[newest - 1]
    db.close()
    with cowtree.open(path) as db:
        assert db[b"more"] == b"1" and db.check().ok


def test_young_commits_are_kept_as_far_as_they_cost_little(path: Path, relocate: Any) -> None:
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        churn(db, 2000)
        relocate(db)
        ids = [c.id for c in db.history(reverse=False)]
        assert ids == list(range(ids[0], 2001)) and 10 < len(ids) < 500
        assert path.stat().st_size < db.stats().live_bytes * 1.25 + (2 << 20)


@pytest.mark.parametrize("size", [0, 3000, 70_000, 1_048_000, 5_000_000])
def test_large_values_move_whole(path: Path, relocate: Any, size: int) -> None:
    rng = random.Random(size)
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        values = {}
        for i in range(9):
            values[b"%d" % (i % 6)] = db[b"%d" % (i % 6)] = rng.randbytes(size + i)
        relocate(db)
        assert dict(db) == values
        report = db.check()
        assert report.ok, report.problems


@pytest.mark.parametrize("meanwhile", ["commit", "tag", "restore", "setting", "snapshot", "drop"])
def test_what_happens_meanwhile_is_in_the_new_file(
    path: Path, relocate: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    db = cowtree.open(path, sync=False, auto_compact=None)
    with db.transaction() as txn:
        txn.update((b"%04d" % i, b"x" * 50) for i in range(2000))
        txn.tree("other")[b"a"] = b"1"
    old = state_of(db)
    churn(db, 1500)
    rounds = []
    held = []
    catch_up = Worker.catch_up

    def act(worker: Any, relocation: Any) -> None:
        rounds.append(relocation)
        if len(rounds) == 1:
            if meanwhile == "commit":
                churn(db, 200, 7)
            elif meanwhile == "tag":
                db.tag("old", 1)
            elif meanwhile == "restore":
                db.restore(1)
            elif meanwhile == "setting":
                db.configure(history=10_000)
            elif meanwhile == "snapshot":
                held.append(db.snapshot(1))
            else:
                db.clear()
                with db.transaction() as txn:
                    txn.drop("other")
        catch_up(worker, relocation)

    monkeypatch.setattr(Worker, "catch_up", act)
    relocate(db)
    expected = state_of(db)
    begun_again = meanwhile in ("tag", "restore", "setting", "snapshot")
    assert len(rounds) == (2 if begun_again else 1)
    if meanwhile == "tag":
        assert state_of(db.snapshot("old")) == old
    elif meanwhile == "restore":
        assert expected == old
    elif meanwhile == "setting":
        assert len(list(db.history())) == db.commit_id
    elif meanwhile == "snapshot":
        assert state_of(held[0]) == old == state_of(db.snapshot(1))
    elif meanwhile == "drop":
        assert expected == ({}, {})
    report = db.check()
    assert report.ok, report.problems
    db.close()
    with cowtree.open(path) as db:
        assert state_of(db) == expected


def fail_with(number: int) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("step", ["create_temporary", "rename", "hard link"])
def test_where_it_is_impossible_the_file_goes_on_and_says_why_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    caplog.set_level(logging.WARNING, "cowtree")
    db = cowtree.open(path, sync=False)
    other = path.with_name("other name")
    if step == "hard link":
        os.link(path, other)
        reason = "several names"
    else:
        monkeypatch.setattr(FileSystem, step, fail_with(errno.ENOSPC))
        reason = os.strerror(errno.ENOSPC)
    before = generation(db)
    last = churn(db, 150)
    eventually(lambda: db.stats().compaction_problem)
    last |= churn(db, 600, 1)
    idle(db)
    problem = db.stats().compaction_problem
    assert problem is not None and reason in problem and generation(db) == before
    assert len(caplog.records) == 1 and reason in caplog.text and str(path) in caplog.text
    assert dict(db) == last and db.check().ok
    assert not list(path.parent.glob(".*.tmp"))
    if step == "hard link":
        other.unlink()
    monkeypatch.undo()
    monkeypatch.setattr(auto_compaction, "GROWN_BYTES", 1 << 18)
    db.configure(auto_compact=1.8)
    eventually(lambda: generation(db) != before)
    idle(db)
    assert db.stats().compaction_problem is None and dict(db) == last
    db.close()


def test_a_file_that_is_not_mapped_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with cowtree.open(path, sync=False, mmap=False) as db:
        last = churn(db, 150)
        assert not db.stats().compacting
        assert "mmap=False" in str(db.stats().compaction_problem)
        assert len(caplog.records) == 1
        db.compact()
        assert dict(db) == last


def test_a_database_in_memory_shrinks_too() -> None:
    with cowtree.open(":memory:") as db:
        last = churn(db, 3000)
        idle(db)
        assert db.stats().file_bytes < 6 << 20
        assert dict(db) == last and db.check().ok


class Stuck:
    """A worker that has copied and then waits until it is told to stop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = False
        monkeypatch.setattr(Worker, "catch_up", self.wait)

    def wait(self, *_: object) -> None:
        workers = [worker for worker in auto_compaction._workers if worker.own]
        self.reached = True
        eventually(lambda: workers[0].stopped)
        workers[0].check()


@pytest.mark.parametrize("end", ["close", "fork", "compact"])
def test_it_stops_at_once_for(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_fork: Callable[[Callable[[], str]], str],
    end: str,
) -> None:
    stuck = Stuck(monkeypatch)
    db = cowtree.open(path, sync=False)
    rng = random.Random(1)
    while not stuck.reached:
        churn(db, 1, rng.random())
    last = dict(db)
    began = time.monotonic()
    if end == "close":
        db.close()
    elif end == "compact":
        db.compact()
    else:
        assert in_fork(lambda: str(dict(db) == last)) == "True"
    assert time.monotonic() - began < 30
    assert not [worker for worker in auto_compaction._workers if not worker.done.is_set()]
    eventually(lambda: os.listdir(path.parent) == [path.name])
    db.close()
    with cowtree.open(path) as db:
        assert dict(db) == last and db.check().ok


FOLLOWER = """
import sys, cowtree
db = cowtree.open(sys.argv[1], sync=False)
snapshot = db.snapshot()
held = dict(snapshot)
print("ready")
for line in sys.stdin:
    if line.startswith("write"):
        db[line.encode()] = b"1"
    print(len(db), db.commit_id, dict(snapshot) == held)
"""


def test_other_processes_follow_and_may_write_meanwhile(
    path: Path, start_child: Any, relocate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        churn(db, 300)
        child = start_child(FOLLOWER, path)
        assert child.read() == "ready"
        catch_up = Worker.catch_up
        answers = []

        def act(worker: Any, relocation: Any) -> None:
            answers.append(child.ask("write during"))
            catch_up(worker, relocation)

        monkeypatch.setattr(Worker, "catch_up", act)
        relocate(db)
        assert answers == ["301 301 True"]
        assert child.ask("read") == "301 301 True"
        db[b"own"] = b"1"
        assert child.ask("read") == "302 302 True"
        assert child.ask("write after") == "303 303 True"
        assert db[b"write after\n"] == b"1" and db[b"write during\n"] == b"1"
        assert child.finish() == 0


KILLED = """
import os, signal, sys
import cowtree
from cowtree import auto_compaction
from cowtree.auto_compaction import Worker
from cowtree.storage import checkpoint
from cowtree.storage.file_system import FileSystem
auto_compaction.GROWN_BYTES = 1 << 18
owner, name, when = sys.argv[2:]
place = {"FileSystem": FileSystem, "Worker": Worker}[owner]
plain = getattr(place, name)
def kill(*arguments):
    if when == "after":
        plain(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
armed = False
db = cowtree.open(sys.argv[1])
db[b"acknowledged"] = b"1"
setattr(place, name, kill)
i = 0
while True:
    with db.transaction(sync=False) as txn:
        txn.update((b"%04d" % k, b"%d" % i * 20) for k in range(300))
    i += 1
    print(i, flush=True)
"""


@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [
        ("FileSystem", "create_temporary", "after"),
        ("Worker", "catch_up", "before"),
        ("Worker", "catch_up", "after"),
        ("FileSystem", "rename", "before"),
        ("FileSystem", "rename", "after"),
        ("FileSystem", "sync_directory", "after"),
        ("Worker", "finish", "after"),
    ],
)
def test_a_kill_at_any_step_leaves_one_whole_file(
    path: Path, start_child: Any, owner: str, name: str, when: str
) -> None:
    child = start_child(KILLED, path, owner, name, when)
    committed = 0
    while (line := child.read_or_end()) is not None:
        committed = int(line)
    assert child.process.wait(PATIENCE_SECONDS) < 0 and committed > 3
    with cowtree.open(path) as db:
        assert os.listdir(path.parent) == [path.name]
        assert db[b"acknowledged"] == b"1" and len(db) == 301
        values = {value for key, value in db.items() if key != b"acknowledged"}
        assert len(values) == 1
        assert int(values.pop()[: len(str(committed))]) >= committed - 1
        report = db.check()
        assert report.ok, report.problems
        db[b"goes on"] = b"1"


def test_who_compacts_a_file_that_is_no_longer_at_the_path_leaves_the_temporaries_of_the_other(
    path: Path,
) -> None:
    other = path.with_name("other.cow")
    cowtree.open(other).close()
    engine = registry.engine_for(
        str(path), create=True, readonly=False, mode=0o666, page_size=None, mapped=True
    )
    try:
        os.rename(other, path)
        made = path.with_name(f".{path.name}.0123456789abcdef.tmp")
        made.touch()
        worker: Any = Worker(engine)
        worker.start()
        assert worker.done.wait(PATIENCE_SECONDS)
        assert made.exists()
    finally:
        registry.release(engine)


def test_a_compaction_that_is_asked_for_waits_for_the_end_of_the_one_that_runs(path: Path) -> None:
    """What was left of that would give up the compacting byte in the middle of it."""
    asked: list[float | None] = []

    class Running:
        own = False

        def stop(self, seconds: float | None = 0.1) -> None:
            asked.append(seconds)

    with cowtree.open(path) as db:
        db[b"a"] = b"1"
        engine = registry.engine_for(
            str(path), create=False, readonly=False, mode=0o666, page_size=None, mapped=True
        )
        engine.compactor = Running()
        registry.release(engine)
        db.compact()
        assert asked == [None]
