"""Several processes on one file: freshness, locks, fork, spawn, SIGKILL, exit."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model import ModelTree, check_equal, pattern

import cowtree

StartChild = Callable[..., Any]
InFork = Callable[[Callable[[], str]], str]

READER = """
import sys, cowtree
options = eval(sys.argv[2])
with cowtree.open(sys.argv[1], **options) as db:
    print("open")
    for line in sys.stdin:
        print(db.commit_id, db.get(line.strip().encode()), len(db), sorted(db.trees()))
"""

WRITER = """
import sys, cowtree
with cowtree.open(sys.argv[1], **eval(sys.argv[2])) as db:
    print("open")
    for line in sys.stdin:
        key, value = line.strip().encode().split(b"=")
        db[key] = value
        print(db.commit_id)
"""

HOLDER = """
import sys, cowtree
db = cowtree.open(sys.argv[1])
txn = db.transaction()
txn[b"held"] = b"by the child"
print("holding")
for line in sys.stdin:
    if line.strip() == "commit":
        print(txn.commit())
    elif line.strip() == "rollback":
        txn.rollback()
        print("rolled back")
"""

COUNTER = """
import sys, cowtree
with cowtree.open(sys.argv[1], sync=False) as db:
    print("open")
    sys.stdin.readline()
    for _ in range(int(sys.argv[2])):
        with db.transaction() as txn:
            txn[b"counter"] = b"%d" % (int(txn.get(b"counter", b"0")) + 1)
    print("done")
"""

HAMMER = """
import sys, cowtree
with cowtree.open(sys.argv[1], sync=False) as db:
    print("open")
    sys.stdin.readline()
    while b"stop" not in db:
        db[b"hammer"] = b"%d" % (int(db.get(b"hammer", b"0")) + 1)
    print("done")
"""


# What another process sees.


@pytest.mark.parametrize(
    "options", [{"readonly": True}, {}, {"readonly": True, "mmap": False}], ids=str
)
@pytest.mark.parametrize("sync", [True, False], ids=["durable", "unsynced"])
def test_reader_process_sees_each_commit_without_reopening(
    path: Path, start_child: StartChild, options: Any, sync: bool
) -> None:
    with cowtree.open(path, sync=sync) as db:
        child = start_child(READER, path, options)
        assert child.read() == "open"
        for step in range(1, 100):
            db[b"k"] = b"%d" % step
            assert child.ask("k") == f"{step} {b'%d' % step!r} 1 []"
        db.update({b"%06d" % i: b"v" * 100 for i in range(20_000)})
        assert child.ask("019999") == f"100 {b'v' * 100!r} 20001 []"
        db.tree("t")[b"a"] = b"b"
        assert child.ask("k") == f"101 {b'99'!r} 20001 ['t']"
        assert child.finish() == 0


def test_writers_of_two_processes_take_turns_and_see_each_other(
    path: Path, start_child: StartChild
) -> None:
    with cowtree.open(path) as db:
        child = start_child(WRITER, path, {})
        assert child.read() == "open"
        for step in range(1, 60, 2):
            assert child.ask(f"k={step}") == str(step)
            assert db[b"k"] == b"%d" % step
            db[b"k"] = b"mine"
            assert db.commit_id == step + 1
        assert child.finish() == 0
        assert db.check().ok


def test_snapshot_stays_while_another_process_commits(path: Path, start_child: StartChild) -> None:
    with cowtree.open(path) as db:
        db.update({b"%03d" % i: b"old" for i in range(100)})
        snapshot = db.snapshot()
        iterator = iter(db.values())
        assert next(iterator) == b"old"
        child = start_child(WRITER, path, {"sync": False})
        assert child.read() == "open"
        for i in range(100):
            child.ask(f"{i:03}=new")
        assert set(iterator) == {b"old"}
        assert set(snapshot.values()) == {b"old"}
        assert set(db.values()) == {b"new"}


def test_processes_that_count_together_lose_nothing(path: Path, start_child: StartChild) -> None:
    children = [start_child(COUNTER, path, 100) for _ in range(4)]
    for child in children:
        assert child.read() == "open"
    for child in children:
        child.tell("go")
    for child in children:
        assert child.read() == "done"
        assert child.finish() == 0
    with cowtree.open(path) as db:
        assert db[b"counter"] == b"400"
        assert db.commit_id == 400
        assert db.check().ok


def test_a_writer_without_a_pause_lets_others_in(path: Path, start_child: StartChild) -> None:
    """Two processes commit in tight loops; this one gets its turn each time within a second, and loses nothing."""
    cowtree.open(path).close()
    children = [start_child(HAMMER, path) for _ in range(2)]
    for child in children:
        assert child.read() == "open"
    for child in children:
        child.tell("go")
    with cowtree.open(path, sync=False, timeout=1) as db:
        for i in range(50):
            db[b"mine %d" % i] = b"x"
        assert db.count(prefix=b"mine ") == 50
        db[b"stop"] = b""
    for child in children:
        assert child.read() == "done"


def test_a_lock_that_is_only_kept_is_no_writer(path: Path, start_child: StartChild) -> None:
    """After a burst of commits the process still has the lock for a moment: another one's `timeout=0` gets it."""
    with cowtree.open(path, sync=False) as db:
        child = start_child(
            "import sys, cowtree\n"
            "with cowtree.open(sys.argv[1], timeout=0, sync=False) as db:\n"
            "    for line in sys.stdin:\n"
            "        db[line.encode()] = b''\n"
            "        print(db.commit_id)\n",
            path,
        )
        expected = 0
        for turn in range(30):
            for i in range(20):
                db[b"%d" % i] = b"%d" % turn
            child.tell(str(turn))
            expected += 21
            assert child.read() == str(expected)


def test_processes_that_create_one_file_all_get_the_same_database(
    tmp_path: Path, start_child: StartChild
) -> None:
    code = """
import sys, cowtree
print("ready")
sys.stdin.readline()
with cowtree.open(sys.argv[1]) as db:
    db[sys.argv[2].encode()] = b"v"
    print(db.commit_id)
"""
    for round_number in range(5):
        path = tmp_path / f"{round_number}.cow"
        children = [start_child(code, path, number) for number in range(6)]
        for child in children:
            assert child.read() == "ready"
        for child in children:
            child.tell("go")
        for child in children:
            child.read()
            assert child.finish() == 0
        with cowtree.open(path, create=False) as db:
            assert list(db) == [b"%d" % number for number in range(6)]
            assert db.commit_id == 6
    assert sorted(os.listdir(tmp_path)) == [f"{number}.cow" for number in range(5)]


# The writer's lock.


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_lock_of_another_process_gives_lock_timeout_error(
    path: Path, start_child: StartChild, timeout: float
) -> None:
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
        child = start_child(HOLDER, path)
        assert child.read() == "holding"
        with pytest.raises(cowtree.LockTimeoutError):
            db.transaction(timeout=timeout)
        with cowtree.open(path, timeout=timeout) as impatient:
            for write in (
                impatient.transaction,
                lambda: impatient.put(b"k", b"w"),
                lambda: impatient.delete(b"k"),
            ):
                with pytest.raises(cowtree.LockTimeoutError):
                    write()
            assert dict(impatient) == {b"k": b"v"}
        assert child.ask("commit") == "2"
        assert dict(db) == {b"held": b"by the child", b"k": b"v"}
        with db.transaction(timeout=30) as txn:
            txn[b"k"] = b"w"
        assert db.commit_id == 3


def test_opening_and_closing_the_file_drops_no_lock(path: Path, start_child: StartChild) -> None:
    with cowtree.open(path) as db, db.transaction() as txn:
        txn[b"k"] = b"v"
        for options in ({}, {"readonly": True}):
            cowtree.open(path, **options).close()  # type: ignore[arg-type]
        with open(path, "rb") as file:
            file.read(100)
        code = """
import sys, cowtree
with cowtree.open(sys.argv[1], timeout=0) as db:
    try:
        db.transaction()
    except cowtree.LockTimeoutError:
        print("locked")
"""
        child = start_child(code, path)
        assert child.read() == "locked"
        assert child.finish() == 0
    assert db.closed


def test_waiting_writer_goes_on_when_the_other_process_rolls_back(
    path: Path, start_child: StartChild
) -> None:
    with cowtree.open(path) as db:
        child = start_child(HOLDER, path)
        assert child.read() == "holding"
        child.tell("rollback")
        db[b"k"] = b"v"
        assert dict(db) == {b"k": b"v"}
        assert db.commit_id == 1


def test_lock_of_a_killed_process_is_free_at_once(path: Path, start_child: StartChild) -> None:
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
        child = start_child(HOLDER, path)
        assert child.read() == "holding"
        child.kill()
        with db.transaction(timeout=30) as txn:
            txn[b"k"] = b"w"
        assert dict(db) == {b"k": b"w"}
        assert db.check().ok


def test_stopped_or_killed_reader_harms_nobody(path: Path, start_child: StartChild) -> None:
    code = """
import sys, cowtree
db = cowtree.open(sys.argv[1], readonly=True)
snapshot = db.snapshot()
iterator = iter(snapshot.items())
print(next(iterator))
for line in sys.stdin:
    print(len(list(iterator)), {v for v in snapshot.values()})
"""
    with cowtree.open(path, sync=False) as db:
        db.update({b"%03d" % i: b"old" for i in range(500)})
        stopped, killed = start_child(code, path), start_child(code, path)
        assert stopped.read() == killed.read() == repr((b"000", b"old"))
        os.kill(stopped.process.pid, signal.SIGSTOP)
        killed.kill()
        for step in range(200):
            db.update({b"%03d" % i: b"new %d" % step for i in range(step, 500)})
        os.kill(stopped.process.pid, signal.SIGCONT)
        assert stopped.ask("go on") == f"499 { ({b'old'})!r}"
        assert stopped.finish() == 0


# fork.


def test_forked_child_reads_inherited_handles_and_writes_with_its_own_lock(
    path: Path, in_fork: InFork
) -> None:
    with cowtree.open(path, sync=False) as db:
        model = ModelTree((b"%05d" % i, pattern(i, i % 300)) for i in range(3000))
        db.update(model.items())
        snapshot = db.snapshot()
        iterator = iter(snapshot.items())
        first = next(iterator)
        db[b"later"] = b"in the parent"

        def child() -> str:
            check_equal(snapshot, model)
            assert [first, *iterator] == model.items()
            assert db[b"later"] == b"in the parent"
            db[b"child"] = b"wrote"
            assert db[b"child"] == b"wrote"
            with db.transaction() as txn:
                txn[b"child too"] = b"wrote"
            return str(txn.commit_id)

        assert in_fork(child) == "4"
        assert db[b"child"] == db[b"child too"] == b"wrote"
        assert db.commit_id == 4
        db[b"parent"] = b"goes on"
        assert db.commit_id == 5
        assert [first, *iterator] == model.items()
        assert db.check().ok


def test_inherited_transaction_raises_in_the_child_and_goes_on_in_the_parent(
    path: Path, in_fork: InFork
) -> None:
    with cowtree.open(path, sync=False) as db:
        db[b"k"] = b"v"
        txn = db.transaction()
        txn[b"mine"] = b"1"

        def child() -> str:
            for call in (
                txn.commit,
                lambda: txn.put(b"x", b"y"),
                lambda: txn.get(b"k"),
                txn.savepoint,
            ):
                with pytest.raises(cowtree.Error):
                    call()
            with contextlib.suppress(cowtree.Error):
                txn.rollback()
            with pytest.raises(cowtree.LockTimeoutError):
                db.transaction(timeout=0)
            assert dict(db) == {b"k": b"v"}
            return "done"

        assert in_fork(child) == "done"
        txn[b"more"] = b"2"
        assert txn.commit() == 2
        assert dict(db) == {b"k": b"v", b"mine": b"1", b"more": b"2"}


def test_ends_of_children_neither_unlock_nor_truncate(path: Path, start_child: StartChild) -> None:
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
        txn = db.transaction()
        txn[b"mine"] = b"1" * 100_000
        pid = os.fork()
        if pid == 0:  # an ordinary end would run pytest's own exit handlers: only collect and leave
            with contextlib.suppress(BaseException):
                txn = None  # type: ignore[assignment]
                db.close()
            os._exit(0)
        os.waitpid(pid, 0)
        impatient = start_child(
            "import sys, cowtree\n"
            "try: cowtree.open(sys.argv[1], timeout=0).transaction()\n"
            "except cowtree.LockTimeoutError: print('locked')\n",
            path,
        )
        assert impatient.read() == "locked"
        txn.commit()
        assert db[b"mine"] == b"1" * 100_000
        assert db.check().ok


def test_child_keeps_no_lock_after_the_parent_has_gone(path: Path, start_child: StartChild) -> None:
    code = """
import os, sys, cowtree
db = cowtree.open(sys.argv[1])
txn = db.transaction()
txn[b"k"] = b"v"
if os.fork() == 0:
    sys.stdin.readline()
    os._exit(0)
print("forked")
os._exit(0)
"""
    parent = start_child(code, path)
    assert parent.read() == "forked"
    parent.process.wait(60)
    with cowtree.open(path, timeout=30) as db:
        db[b"next"] = b"works"
        assert dict(db) == {b"next": b"works"}
    parent.tell("end")


def test_parent_and_children_write_at_the_same_time(path: Path, in_fork: InFork) -> None:
    with cowtree.open(path, sync=False) as db:
        db[b"n"] = b"0"

        def increment(times: int) -> None:
            for _ in range(times):
                with db.transaction() as txn:
                    txn[b"n"] = b"%d" % (int(txn[b"n"]) + 1)

        children = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    increment(50)
                    status = 0
                finally:
                    os._exit(status)
            children.append(pid)
        increment(50)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 3
        assert db[b"n"] == b"200"
        assert db.commit_id == 201


def test_memory_database_in_a_child_is_a_copy_or_refuses(in_fork: InFork) -> None:
    with cowtree.open(":memory:") as db:
        db[b"k"] = b"v"

        def child() -> str:
            try:
                db[b"k"] = b"child"
            except cowtree.Error:
                return "refused"
            return "copy"

        assert in_fork(child) in ("copy", "refused")
        assert dict(db) == {b"k": b"v"}


# spawn.


def count_and_write(path: str, number: int) -> tuple[int, int]:
    """In a spawned worker: the entries it sees and the id of its own commit."""
    with cowtree.open(path) as db:
        seen = db.count(prefix=b"shared/")
        with db.transaction() as txn:
            txn[b"worker/%d" % number] = b"was here"
        assert txn.commit_id is not None
        return seen, txn.commit_id


def test_spawned_workers_open_the_path(path: Path) -> None:
    with cowtree.open(path) as db:
        db.update({b"shared/%04d" % i: b"v" for i in range(1000)})
        with multiprocessing.get_context("spawn").Pool(3) as pool:
            results = pool.starmap(count_and_write, [(str(path), number) for number in range(9)])
        assert {seen for seen, _ in results} == {1000}
        assert sorted(commit_id for _, commit_id in results) == list(range(2, 11))
        assert db.count(prefix=b"worker/") == 9


# SIGKILL and exit.


KILLED_WRITER = """
import itertools, sys, cowtree
db = cowtree.open(sys.argv[1], sync=sys.argv[2] == "True", write_memory=1 << 16)
start = int(db.get(b"newest", b"0"))
for number in itertools.count(start + 1):
    with db.transaction() as txn:
        txn[b"newest"] = b"%d" % number
        txn[b"%08d" % number] = (b"%d|" % number) * (number * 37 % 3000)
        txn.tree("t")[b"newest"] = b"%d" % number
        if number % 7 == 0:
            first = number * 13 % 997
            txn.update((b"bulk/%04d" % (first + i), b"%d" % number * 30) for i in range(400))
    print(number)
"""


@pytest.mark.parametrize("sync", [True, False], ids=["durable", "unsynced"])
def test_every_acknowledged_commit_survives_sigkill(
    path: Path, start_child: StartChild, sync: bool
) -> None:
    rng = random.Random(sync)
    newest = 0
    for _ in range(30):
        child = start_child(KILLED_WRITER, path, sync)
        for _ in range(rng.choice([1, 2, 5, 20, 60])):
            newest = int(child.read())
        child.process.kill()
        while (line := child.read_or_end()) is not None:
            newest = int(line)
        child.process.wait(60)
        with cowtree.open(path, readonly=True) as db:
            seen = int(db[b"newest"])
            assert seen in (newest, newest + 1)
        with cowtree.open(path, timeout=30) as db:
            recovered = int(db[b"newest"])
            assert recovered == seen
            assert db.tree("t")[b"newest"] == b"%d" % recovered
            assert db.count(b"00000000", b"99999999") == recovered
            for number in range(1, recovered + 1):
                assert db[b"%08d" % number] == b"%d|" % number * (number * 37 % 3000)
            last_bulk = b"%d" % (recovered // 7 * 7) * 30
            assert last_bulk == b"0" * 30 or last_bulk in set(db.values(prefix=b"bulk/"))
            report = db.check()
            assert report.ok, report.problems
        newest = recovered
    assert os.listdir(path.parent) == [path.name]


EXITING = """
import sys, threading, cowtree
db = cowtree.open(sys.argv[1])
db[b"k"] = b"v"
snapshot = db.snapshot()
iterator, view = iter(snapshot.items()), snapshot.buffer(b"k")
next(iterator)
txn = db.transaction()
txn[b"lost"] = b"x" * 1_000_000
threading.Thread(target=lambda: [db.get(b"k") for _ in iter(int, 1)], daemon=True).start()
cycle = [txn, db]
cycle.append(cycle)
print("leaving")
if sys.argv[2] == "raise":
    raise SystemExit(3)
"""


@pytest.mark.parametrize(("how", "status"), [("end", 0), ("raise", 3)])
def test_interpreter_exits_with_everything_open(
    path: Path, start_child: StartChild, how: str, status: int
) -> None:
    child = start_child(EXITING, path, how)
    assert child.read() == "leaving"
    assert child.finish() == status
    with cowtree.open(path, timeout=30) as db:
        assert dict(db) == {b"k": b"v"}
        assert db.check().ok


def test_interrupted_process_leaves_a_free_lock_and_whole_commits(
    path: Path, start_child: StartChild
) -> None:
    code = """
import itertools, signal, sys, cowtree
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job begins with it ignored
db = cowtree.open(sys.argv[1])
try:
    for number in itertools.count(1):
        with db.transaction() as txn:
            txn[b"a"] = txn[b"z"] = b"%d" % number
        if number == 20:
            print("running")
except KeyboardInterrupt:
    one, two = db.get(b"a"), db.get(b"z")
    db[b"after"] = b"works"
    print(one == two == db[b"a"], db[b"after"])
"""
    for _ in range(5):
        child = start_child(code, path)
        assert child.read() == "running"
        child.process.send_signal(signal.SIGINT)
        assert child.read() == f"True {b'works'!r}"
        assert child.finish() == 0
    with cowtree.open(path, timeout=30) as db:
        assert db[b"a"] == db[b"z"]
        assert db.check().ok
