"""After a compaction snapshots go on in the new file, and the old one's space comes back."""

from __future__ import annotations

import gc
import pickle
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_auto_compaction import PATIENCE_SECONDS, eventually
from test_compaction import State, grow, state_of

import cowtree
from cowtree import auto_compaction, registry
from cowtree.auto_compaction import Worker

Compact = Callable[[cowtree.Database], None]


def relocate(db: cowtree.Database) -> None:
    """As it is done in the background, whether it is due or not."""
    engine = registry.engine_for(
        db.path, create=False, readonly=False, mode=0o666, page_size=None, mapped=True
    )
    worker: Any = Worker(engine)
    worker.worthwhile = lambda needed, pages: True
    engine.compactor = worker
    worker.start()
    assert worker.done.wait(PATIENCE_SECONDS)
    assert engine.compaction_problem is None and engine.find_successor()
    registry.release(engine)


@pytest.fixture(params=[relocate, cowtree.Database.compact], ids=["by itself", "asked"])
def compact(request: pytest.FixtureRequest) -> Compact:
    chosen: Compact = request.param
    return chosen


def held(path: Path) -> list[str]:
    """What this process has mapped or open of files that are no longer at the path."""
    gc.collect()
    with open("/proc/self/maps") as maps:
        lines = [line for line in maps if str(path) in line and line.rstrip().endswith("(deleted)")]
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if str(path.parent) in target and target.endswith("(deleted)"):
            lines.append(target)
    return lines


@pytest.fixture
def linux() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only /proc tells which files a process holds")


@pytest.mark.usefixtures("linux")
def test_snapshots_of_kept_commits_move_and_the_old_file_is_given_back(
    path: Path, compact: Compact, page_size: int
) -> None:
    with cowtree.open(path, sync=False, page_size=page_size, auto_compact=None) as db:
        grow(db, 40)
        other = cowtree.open(path)
        snapshots = [db.snapshot(at) for at in (5, 17, 17, None)]
        snapshots.append(pickle.loads(pickle.dumps(snapshots[1])))
        trees = [
            (snapshot.tree(name), dict(snapshot.tree(name)))
            for snapshot in snapshots
            for name in snapshot.trees()
        ]
        states = [state_of(snapshot) for snapshot in snapshots]
        for _ in range(3):
            compact(db)
            eventually(lambda: not held(path))
            assert db.stats().snapshots == len(snapshots)
            assert [state_of(snapshot) for snapshot in snapshots] == states
            for tree, items in trees:
                assert dict(tree) == items
            db[b"more"] = random.randbytes(3000)
        for snapshot, state in zip(snapshots, states, strict=True):
            at = snapshot.commit_id
            changes = list(db.diff(snapshot, snapshots[0]))
            assert changes == list(snapshots[0].diff(at)) and (changes or state == states[0])
            assert state_of(pickle.loads(pickle.dumps(snapshot))) == state
        for snapshot in snapshots:
            snapshot.close()
        assert db.stats().snapshots == 0
        other.close()


@pytest.mark.usefixtures("linux")
def test_what_is_under_way_keeps_the_old_file_until_it_ends(path: Path, compact: Compact) -> None:
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        value = random.Random(1).randbytes(50_000)
        db.update({b"%04d" % i: b"%d" % i for i in range(3000)} | {b"large": value})
        snapshot = db.snapshot()
        db.update({b"%04d" % i: b"new" for i in range(3000)})
        expected = dict(snapshot)
        iterator = iter(snapshot.items())
        items = [next(iterator)]
        cursor = snapshot.cursor()
        cursor.seek(b"0100")
        view = snapshot.buffer(b"large")
        compact(db)
        for _ in range(2):
            assert held(path)
            assert bytes(view) == value
            assert cursor.key == b"0100" and cursor.value == b"100" and cursor.next()
            cursor.seek(b"0100")
            compact(db)
        items.extend(iterator)
        assert dict(items) == expected == dict(snapshot)
        del iterator, cursor
        assert held(path)  # the view
        assert bytes(snapshot.buffer(b"large")) == bytes(view) == value
        del view
        eventually(lambda: not held(path))
        snapshot.close()


@pytest.mark.usefixtures("linux")
def test_a_snapshot_of_a_dropped_commit_keeps_the_old_file(path: Path, start_child: Any) -> None:
    """Another process compacts, and knows nothing of the snapshots here."""
    code = "import sys, cowtree\ncowtree.open(sys.argv[1]).compact()\n"
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        grow(db, 30)
        old, new = db.snapshot(7), db.snapshot()
        tree = old.tree("tree 1")
        states = state_of(old), state_of(new), dict(tree)
        db.sync()
        assert start_child(code, path).finish() == 0
        assert db.get(b"0001") == new.get(b"0001")  # it follows
        assert held(path)
        assert (state_of(old), state_of(new), dict(tree)) == states
        assert list(old.diff(new)) == list(old.diff(new.commit_id))
        with pytest.raises(cowtree.SnapshotGoneError):
            db.snapshot(7)
        assert db.stats().snapshots == 1
        db.compact()  # a commit that is not there any more cannot be kept
        assert state_of(old) == states[0]
        del tree
        old.close()
        eventually(lambda: not held(path))
        assert state_of(new) == states[1]
        new.close()


def test_in_memory_too() -> None:
    with cowtree.open(":memory:", auto_compact=None) as db:
        grow(db, 20)
        snapshot = db.snapshot(9)
        state = state_of(snapshot)
        for _ in range(3):
            db.compact()
            assert state_of(snapshot) == state and db.stats().snapshots == 1
            db[b"more"] = b"1"
        assert list(db.diff(9, snapshot)) == []


def test_threads_read_one_snapshot_across_compactions(path: Path) -> None:
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        grow(db, 30)
        snapshot = db.snapshot()
        tree = snapshot.tree(snapshot.trees()[0])
        expected: tuple[State, dict[bytes, bytes]] = state_of(snapshot), dict(tree)
        keys = list(expected[0][0])
        problems: list[BaseException] = []
        stop = threading.Event()

        def read(seed: int) -> None:
            chooser = random.Random(seed)
            try:
                while not stop.is_set():
                    some = chooser.sample(keys, 20)
                    assert snapshot.get_many(some) == [expected[0][0][key] for key in some]
                    assert [snapshot[key] for key in some] == [expected[0][0][key] for key in some]
                    assert dict(tree) == expected[1]
                    if chooser.random() < 0.1:
                        assert state_of(snapshot) == expected[0]
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        try:
            for i in range(25):
                db[b"more"] = b"%d" % i
                db.compact()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not problems, problems


@pytest.mark.usefixtures("linux")
def test_an_idle_process_gives_back_what_it_compacted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last commit makes a compaction due; nothing is asked of the handles afterwards."""
    monkeypatch.setattr(auto_compaction, "GROWN_BYTES", 1 << 18)
    db = cowtree.open(path, sync=False)
    idle = cowtree.open(path)
    kept = db.snapshot()
    before = path.stat().st_ino
    i = 0
    while path.stat().st_ino == before:
        i += 1
        db.update({b"%04d" % k: b"%d" % i * 20 for k in range(300)})
    eventually(lambda: not held(path))
    assert len(kept) == 0
    idle.close()
    db.close()


def test_the_end_of_a_compaction_waits_for_no_thread_that_has_the_registry(path: Path) -> None:
    """One that closes the last handle there waits for `compact()`, and that for the end of what runs already."""
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        grow(db, 10)
        engine = registry.engine_for(
            db.path, create=False, readonly=False, mode=0o666, page_size=None, mapped=True
        )
        worker: Any = Worker(engine)
        worker.worthwhile = lambda needed, pages: True
        engine.compactor = worker
        with registry.engines_lock:
            worker.start()
            assert worker.done.wait(PATIENCE_SECONDS)
        registry.release(engine)
        assert db.check().ok
