"""History: commit ids, times, notes, tags, `at` in all its forms, restore."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree import Commit, SnapshotGoneError, TransactionError

pytestmark = pytest.mark.usefixtures("left_large")


def filled(path: Path | str, commits: int = 40, **options: Any) -> cowtree.Database:
    """A database whose commit i stores b"n" -> i, with the note b"note i"."""
    db = cowtree.open(path, sync=False, **options)
    for i in range(1, commits + 1):
        with db.transaction(note=b"note %d" % i) as txn:
            txn[b"n"] = b"%d" % i
    return db


def test_every_commit_is_found_by_its_id(path: Path) -> None:
    db = filled(path, 300)
    for i in range(1, 301):
        snapshot = db.snapshot(i)
        assert snapshot.commit_id == i
        assert dict(snapshot) == {b"n": b"%d" % i}
    assert dict(db.snapshot(0)) == {} and db.snapshot(0).commit_id == 0
    assert db.snapshot().commit_id == 300
    for missing in (301, 1 << 70, -1):
        with pytest.raises(SnapshotGoneError):
            db.snapshot(missing)
    assert issubclass(SnapshotGoneError, LookupError)


@pytest.mark.parametrize("wrong", [True, False, 1.0, b"1", (), object()], ids=repr)
def test_what_cannot_name_a_commit_is_a_type_error(path: Path, wrong: object) -> None:
    db = filled(path, 3)
    with pytest.raises(TypeError):
        db.snapshot(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        db.restore(wrong)  # type: ignore[arg-type]
    assert db.commit_id == 3


def test_history_lists_commits_both_ways_and_in_ranges(path: Path) -> None:
    db = filled(path, 50)
    everything = list(db.history())
    assert [commit.id for commit in everything] == list(range(50, 0, -1))
    assert [commit.id for commit in db.history(reverse=False)] == list(range(1, 51))
    rng = random.Random(5)
    for _ in range(200):
        start = rng.choice([None, *range(54)])
        stop = rng.choice([None, *range(54)])
        expected = [
            i for i in range(1, 51) if (start is None or i >= start) and (stop is None or i < stop)
        ]
        assert [c.id for c in db.history(start, stop, reverse=False)] == expected, (start, stop)
        assert [c.id for c in db.history(start, stop)] == expected[::-1], (start, stop)
    for commit in everything:
        assert commit.note == b"note %d" % commit.id
        assert commit.entries == 1 and commit.tags == () and commit.pages_written >= 1
        assert commit.time.tzinfo is not None
        assert commit == Commit(
            commit.id, commit.time, commit.note, commit.entries, commit.pages_written, commit.tags
        )
    times = [commit.time for commit in everything]
    assert times == sorted(times, reverse=True)
    with pytest.raises(AttributeError):
        everything[0].id = 5  # type: ignore[misc]


def test_history_is_frozen_while_commits_go_on(path: Path) -> None:
    db = filled(path, 10)
    history = db.history(reverse=False)
    assert next(history).id == 1
    db[b"n"] = b"11"
    assert [commit.id for commit in history] == list(range(2, 11))
    assert next(db.history()).id == 11


def test_commits_are_found_by_time(path: Path) -> None:
    db = filled(path, 64)
    by_time: dict[datetime, int] = {}
    for commit in db.history(reverse=False):
        by_time[commit.time] = commit.id  # the newest of a microsecond wins
    for time, commit_id in by_time.items():
        assert db.snapshot(time).commit_id == commit_id
        assert db.snapshot(commit_id).time == time
        elsewhere = time.astimezone(timezone(timedelta(hours=-7)))
        assert db.snapshot(elsewhere).commit_id == commit_id
    moments = sorted(by_time)
    for before, after in itertools.pairwise(moments):
        between = before + (after - before) / 2
        if before < between < after:
            assert db.snapshot(between).commit_id == by_time[before]
    assert db.snapshot(datetime.max.replace(tzinfo=UTC)).commit_id == 64
    for early in (datetime(1970, 1, 1, tzinfo=UTC), datetime.min.replace(tzinfo=UTC)):
        with pytest.raises(SnapshotGoneError):
            db.snapshot(early)
    with pytest.raises(ValueError, match="aware"):
        db.snapshot(datetime.now())


def test_commits_and_snapshots_name_themselves(path: Path) -> None:
    db = filled(path, 20)
    for commit in db.history():
        assert db.snapshot(commit).commit_id == commit.id
    old = db.snapshot(7)
    db[b"n"] = b"21"
    again = db.snapshot(old)
    assert again is not old and again.commit_id == 7 and again[b"n"] == b"7"
    old.close()
    with pytest.raises(cowtree.ClosedError):
        db.snapshot(old)
    with cowtree.open(":memory:") as other, pytest.raises(SnapshotGoneError):
        other.snapshot(again)


def test_tags_name_commits_and_take_no_id(path: Path) -> None:
    db = filled(path, 10)
    db.tag("newest")
    db.tag("v1.0", 3)
    db.tag("a/b:c-d_e", db.snapshot(5))
    db.tag("by_time", db.snapshot(6).time)
    assert db.commit_id == 10
    tags = db.tags()
    assert tags["newest"] == 10 and tags["v1.0"] == 3 and tags["a/b:c-d_e"] == 5
    assert list(tags) == sorted(tags)
    assert db.snapshot("v1.0")[b"n"] == b"3"
    assert {c.id: c.tags for c in db.history() if c.tags}[3] == ("v1.0",)
    db.tag("v1.0.1", "v1.0")
    assert db.tags()["v1.0.1"] == 3
    with pytest.raises(ValueError, match="already"):
        db.tag("v1.0", 4)
    db.tag("v1.0", 4, move=True)
    assert db.snapshot("v1.0").commit_id == 4
    db.untag("v1.0")
    assert "v1.0" not in db.tags()
    for use in (db.snapshot, db.untag):
        with pytest.raises(KeyError):
            use("v1.0")
    with pytest.raises(KeyError):
        db.snapshot("")
    db[b"n"] = b"11"
    assert db.commit_id == 11, "a tag took a commit id"
    assert [c.id for c in db.history()] == list(range(11, 0, -1))
    db.close()
    with cowtree.open(path) as db:
        assert db.tags() == {k: v for k, v in tags.items() if k != "v1.0"} | {"v1.0.1": 3}
        assert db.snapshot("newest")[b"n"] == b"10"
        assert db.check().ok


@pytest.mark.parametrize("name", ["", "1a", "-x", "a b", "a\n", "ä b", "x\0"])
def test_wrong_tag_names(path: Path, name: str) -> None:
    db = filled(path, 1)
    with pytest.raises(ValueError):
        db.tag(name)
    with pytest.raises(ValueError), db.transaction() as txn:
        txn.tag(name)
    assert db.tags() == {}
    with pytest.raises(TypeError):
        db.tag(5)  # type: ignore[arg-type]
    with pytest.raises(cowtree.KeyTooLargeError):
        db.tag("x" * 2000)


def test_a_transaction_tags_what_it_becomes(path: Path) -> None:
    db = filled(path, 3)
    with db.transaction() as txn:
        txn.tag("release")
        txn[b"n"] = b"four"
    assert db.tags() == {"release": 4}
    assert db.snapshot("release")[b"n"] == b"four"
    with db.transaction() as txn:
        txn.tag("same")
    assert txn.commit_id == 4 and db.commit_id == 4
    assert db.tags() == {"release": 4, "same": 4}
    with pytest.raises(RuntimeError), db.transaction() as txn:
        txn.tag("lost")
        raise RuntimeError
    with db.transaction() as txn:
        with txn.savepoint() as savepoint:
            txn.tag("undone")
            savepoint.rollback()
        with txn.savepoint():
            txn.tag("kept")
        txn[b"n"] = b"five"
    assert db.tags() == {"kept": 5, "release": 4, "same": 4}
    with pytest.raises(ValueError), db.transaction() as txn:
        txn.tag("kept")
    with db.transaction() as txn:
        txn.tag("kept", move=True)
        txn[b"n"] = b"six"
    assert db.tags()["kept"] == 6
    with db.transaction() as txn, pytest.raises(TransactionError):
        db.tag("within")
    assert db.check().ok


def test_a_tag_in_a_transaction_that_spilled_in_vain(path: Path) -> None:
    db = cowtree.open(path, sync=False, write_memory=0)
    db[b"n"] = b"1"
    with db.transaction() as txn:
        with txn.savepoint() as savepoint:
            for i in range(3000):
                txn[b"%d" % i] = b"x" * 50
            savepoint.rollback()
        txn.tag("t")
    assert db.commit_id == 1 and db.tags() == {"t": 1} and dict(db) == {b"n": b"1"}
    assert db.check().ok
    db[b"n"] = b"2"
    assert db.snapshot("t")[b"n"] == b"1"
    assert db.check().ok


def test_restore_brings_all_trees_back_and_keeps_the_past(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    rng = random.Random(3)
    states: list[tuple[dict[bytes, bytes], dict[str, dict[bytes, bytes]]]] = [({}, {})]
    for step in range(1, 60):
        if step % 7 == 0:
            target = rng.randrange(len(states))
            before = db.commit_id
            new_id = db.restore(target)
            default, named = states[target]
            if new_id == before:
                assert states[target] == states[-1]
                continue
            states.append((dict(default), {name: dict(t) for name, t in named.items()}))
        else:
            default, named = states[-1]
            default = dict(default)
            named = {name: dict(t) for name, t in named.items()}
            with db.transaction() as txn:
                for _ in range(rng.choice([1, 5, 400])):
                    key, value = b"%d" % rng.randrange(3000), rng.randbytes(rng.choice([5, 3000]))
                    txn[key] = value
                    default[key] = value
                name = rng.choice(["a", "b", "c"])
                if name in named and rng.random() < 0.3:
                    txn.drop(name)
                    del named[name]
                else:
                    txn.tree(name)[b"%d" % step] = b"x"
                    named.setdefault(name, {})[b"%d" % step] = b"x"
            states.append((default, named))
        assert dict(db) == states[-1][0]
        assert {name: dict(db.tree(name)) for name in db.trees()} == states[-1][1]
        report = db.check()
        assert report.ok, report.problems
    assert db.commit_id == len(states) - 1
    for commit_id, (default, named) in enumerate(states):
        snapshot = db.snapshot(commit_id)
        assert dict(snapshot) == default
        assert {name: dict(snapshot.tree(name)) for name in snapshot.trees()} == named
    db.close()
    with cowtree.open(path) as db:
        assert dict(db) == states[-1][0] and db.check().ok


def test_restore_shares_pages(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db.load((b"%06d" % i, b"x" * 100) for i in range(20_000))
    db.clear()

    def written() -> int:
        stats = db.stats()
        return stats.file_bytes - stats.tail_bytes

    size = written()
    db.restore(1)
    assert len(db) == 20_000
    assert written() - size <= 4 * 4096
    assert db.stats().live_bytes > 2_000_000
    assert db.check().ok


def test_restore_of_one_tree_and_inside_a_transaction(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    with db.transaction() as txn:
        txn[b"k"] = b"old"
        txn.tree("t")[b"k"] = b"old"
    with db.transaction() as txn:
        txn[b"k"] = b"new"
        txn.tree("t")[b"k"] = b"new"
        txn.tree("later")[b"k"] = b"new"
    db.tag("here")
    with db.transaction() as txn:
        txn.restore(1, tree="t")
        assert txn.tree("t")[b"k"] == b"old" and txn[b"k"] == b"new"
        txn.tree("t")[b"more"] = b"1"
        with txn.savepoint() as savepoint:
            txn.restore(1, tree=None)
            assert txn[b"k"] == b"old"
            savepoint.rollback()
        assert txn[b"k"] == b"new"
    assert dict(db.tree("t")) == {b"k": b"old", b"more": b"1"}
    assert db.trees() == ["later", "t"]
    with db.transaction() as txn:
        txn[b"junk"] = b"x" * 5000
        txn.restore("here")
    assert dict(db) == {b"k": b"new"} and dict(db.tree("t")) == {b"k": b"new"}
    assert db.tags() == {"here": 2}
    with db.transaction() as txn:
        txn.restore(1)
        txn.restore(2)
    report = db.check()
    assert report.ok, report.problems
    with pytest.raises(SnapshotGoneError):
        db.restore(99)
    with pytest.raises(KeyError):
        db.restore("nothing")
    with pytest.raises(SnapshotGoneError), db.transaction() as txn:
        txn.restore(99)


def test_notes(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    for note in (b"", b"x", bytearray(b"array"), b"y" * 1024):
        with db.transaction(note=note) as txn:
            txn[b"k"] = b"%d" % len(note)
        assert next(db.history()).note == bytes(note)
    with pytest.raises(TypeError):
        db.transaction(note="text")  # type: ignore[arg-type]
    with pytest.raises(ValueError), db.transaction(note=b"z" * 1025) as txn:
        txn[b"k"] = b""
    assert db.commit_id == 4


def test_history_of_a_database_in_memory_and_read_only(path: Path) -> None:
    db = filled(":memory:", 30)
    db.tag("t", 3)
    assert db.snapshot("t")[b"n"] == b"3" and db.snapshot(17)[b"n"] == b"17"
    assert len(list(db.history())) == 30
    db.close()
    filled(path, 5).close()
    with cowtree.open(path, readonly=True) as db:
        assert [c.id for c in db.history()] == [5, 4, 3, 2, 1]
        assert db.snapshot(2)[b"n"] == b"2"
        for change in (lambda: db.tag("x"), lambda: db.untag("x"), lambda: db.restore(1)):
            with pytest.raises(cowtree.ReadOnlyError):
                change()


def test_another_process_sees_tags_and_history(path: Path, start_child: Any) -> None:
    with filled(path, 3) as db:
        child = start_child(
            "import sys, cowtree\n"
            "with cowtree.open(sys.argv[1], readonly=True) as db:\n"
            "    print('open')\n"
            "    for line in sys.stdin:\n"
            "        print(db.tags(), [c.id for c in db.history()])\n",
            path,
        )
        assert child.read() == "open"
        child.tell("")
        assert child.read() == "{} [3, 2, 1]"
        db.tag("t", 2)
        child.tell("")
        assert child.read() == "{'t': 2} [3, 2, 1]"


def three_hundred(tree: str | None = None) -> cowtree.Database:
    db = cowtree.open(":memory:")
    db.tree(tree).update({b"%04d" % i: b"x" * 50 for i in range(300)})
    return db


def test_changes_on_top_of_a_restore_in_one_transaction() -> None:
    with three_hundred() as db:
        db[b"0299"] = b"changed"
        with db.transaction() as txn:
            txn.restore(1)
            txn[b"0000"] = b"new"
        assert db.check().ok
        assert (db[b"0000"], db[b"0299"], len(db)) == (b"new", b"x" * 50, 300)


def test_a_restore_between_changes_in_one_transaction() -> None:
    with three_hundred() as db:
        with db.transaction() as txn:
            txn[b"0000"] = b"1"
            txn.restore(1)
            txn[b"0150"] = b"2"
        assert db.check().ok
        assert (db[b"0000"], db[b"0150"]) == (b"x" * 50, b"2")


def test_a_restored_tree_beside_the_one_that_it_was_renamed_to() -> None:
    with three_hundred("a") as db:
        with db.transaction() as txn:
            txn.rename("a", "b")
        with db.transaction() as txn:
            txn.restore(1, tree="a")
        assert db.trees() == ["a", "b"]
        assert db.check().ok  # with the exact count of pages, each tree's
        assert db.stats().live_bytes > db.stats().file_bytes - db.stats().tail_bytes
        with db.transaction() as txn:
            txn.tree("a")[b"0000"] = b"1"
            txn.tree("b")[b"0000"] = b"2"
        assert db.check().ok
        assert (db.tree("a")[b"0000"], db.tree("b")[b"0000"]) == (b"1", b"2")
        db.compact()
        assert db.check().ok
        assert (db.tree("a")[b"0000"], db.tree("b")[b"0000"]) == (b"1", b"2")


@pytest.mark.parametrize("tree", [cowtree.ALL, "one"])
def test_a_tree_that_was_empty_comes_back(tree: Any) -> None:
    with cowtree.open(":memory:") as db:
        db.tree("one")[b"k"] = b"v"
        del db.tree("one")[b"k"]
        with db.transaction() as txn:
            txn.drop("one")
        with db.transaction() as txn:
            txn.restore(2, tree=tree)
        assert db.trees() == ["one"] == db.snapshot(2).trees()
        assert db.check().ok


def test_codecs_of_the_default_tree_come_back_with_equal_contents() -> None:
    with cowtree.open(":memory:") as db:
        typed = db.tree(None, key=cowtree.codecs.Text)
        typed["a"] = b"b"
        del typed["a"]
        db.restore(0)
        assert db.tree_codecs(None) == ("", "")
        db.tree(None, key=cowtree.codecs.Int)[1] = b"one"
        assert db.tree_codecs(None) == ("int", "")
        db.restore(2)
        assert (len(db), db.tree_codecs(None)) == (0, ("text", ""))
        assert db.check().ok
