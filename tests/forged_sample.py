"""A file with a past, what is true of it, and everything that can be asked about it."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from forgery import Forgery

import cowtree
from cowtree import Change, codecs

DAMAGE = (cowtree.CorruptionError, cowtree.FormatError)
SECONDS_MAX = 1.0  # of this process, for one question
ANSWER_MAX = 20_000  # no answer about these files is longer
NEWEST = 25

State = dict[str | None, dict[bytes, bytes]]
Forge = Callable[[Forgery], None]


class Sample:
    """A cleanly closed file of 25 commits and administrative records, and what is true of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states: list[State] = [{None: {}}]
        self.pickles: dict[int, bytes] = {}
        with cowtree.open(path) as db:
            for number in range(1, NEWEST):
                self.commit(db, number)
                self.keep(db)
                if number == 9:
                    db.tag("middle")
                if number in (10, 12):
                    db.configure(auto_compact=3.5, history=timedelta(days=number))
                if number == 20:
                    db.tag("first", 1)
            db.restore(5)
            self.keep(db)
            db.tag("last")
            self.history = list(db.history())
            self.tags = db.tags()
            self.settings = db.settings
            self.entries = db.stats().entries
        self.content = path.read_bytes()

    def commit(self, db: cowtree.Database, number: int) -> None:
        with db.transaction(note=b"note %d" % number) as txn:
            for i in range(40):
                txn[b"%04d" % ((number * 37 + i * 11) % 500)] = b"value %d " % number * 8
            txn.tree("t")[b"%03d" % (number * 7 % 100)] = b"t%d" % number * 20
            if number == 3:
                txn[b"large"] = b"L" * 9000
            if number == 4:
                txn.tree("typed", key=codecs.Text, value=codecs.Int)["one"] = 1
            if number == 5:
                txn.tree("t").update({b"%03d" % i: b"x" * 100 for i in range(100)})

    def keep(self, db: cowtree.Database) -> None:
        self.states.append({name: dict(db.tree(name).items()) for name in (None, *db.trees())})
        with db.snapshot() as snapshot:
            self.pickles[db.commit_id] = pickle.dumps(snapshot)

    def changes(self, old: int, new: int) -> list[Change]:
        found = []
        before, after = self.states[old], self.states[new]
        for name in (None, "t", "typed"):
            a, b = before.get(name, {}), after.get(name, {})
            for key in sorted(a.keys() | b.keys()):
                if a.get(key) != b.get(key):
                    kind = "added" if key not in a else "removed" if key not in b else "changed"
                    found.append(Change(name, key, kind, a.get(key), b.get(key)))
        return found


def bounded(answer: Iterable[Any]) -> list[Any]:
    """All of an answer that has to end."""
    found = list(islice(answer, ANSWER_MAX))
    assert len(found) < ANSWER_MAX, "an endless answer"
    return found


def same_state(reader: Any, state: State) -> bool:
    """Is everything that a reader says about its trees right?"""
    right = reader.trees() == sorted(name for name in state if name is not None)
    for name, tree in state.items():
        part = reader if name is None else reader.tree(name)
        items = sorted(tree.items())
        right &= len(part) == len(tree) and bounded(part.items()) == items
        right &= bounded(part.items(reverse=True)) == items[::-1]
        right &= part.get_many(list(tree)) == list(tree.values())
        if items:
            right &= part.nth(-1) == items[-1] and part.rank(items[-1][0]) == len(tree) - 1
            right &= part.get(b"zzz") is None and len(part.split(3)) == min(2, len(tree) - 1)
    return bool(right)


def same_snapshot(snapshot: cowtree.Snapshot, sample: Sample, commit_id: int) -> bool:
    with snapshot:
        return snapshot.commit_id == commit_id and same_state(snapshot, sample.states[commit_id])


def questions(db: cowtree.Database, sample: Sample) -> Iterator[tuple[str, Callable[[], bool]]]:
    """What is asked about a file, and whether the answer is right."""
    history = sample.history
    yield "history", lambda: bounded(db.history()) == history
    yield "history upwards", lambda: bounded(db.history(reverse=False)) == history[::-1]
    yield (
        "part of the history",
        lambda: bounded(db.history(8, 20)) == [c for c in history if 8 <= c.id < 20],
    )
    yield "tags", lambda: db.tags() == sample.tags
    yield "settings", lambda: db.settings == sample.settings
    yield "trees", lambda: db.trees() == ["t", "typed"]
    yield "codecs", lambda: db.tree_codecs("typed") == ("text", "int")
    yield "no codecs", lambda: db.tree_codecs("t") == db.tree_codecs(None) == ("", "")
    for commit in history:
        yield (
            f"snapshot {commit.id}",
            lambda c=commit: same_snapshot(db.snapshot(c.id), sample, c.id),
        )
        yield f"time {commit.id}", lambda c=commit: db.snapshot(c.time).commit_id == c.id
        yield (
            f"pickle {commit.id}",
            lambda c=commit: same_snapshot(pickle.loads(sample.pickles[c.id]), sample, c.id),
        )
    for name, commit_id in sample.tags.items():
        yield f"tag {name}", lambda n=name, i=commit_id: same_snapshot(db.snapshot(n), sample, i)
    pairs = [(i, i + 1) for i in range(NEWEST)]
    for old, new in [*pairs, (0, NEWEST), (NEWEST, 3), (5, 6), (5, NEWEST)]:
        wanted = sample.changes(old, new)
        yield f"diff {old} {new}", lambda o=old, n=new, w=wanted: bounded(db.diff(o, n)) == w
        yield (
            f"diff {old} {new} of a range",
            lambda o=old, n=new, w=wanted: (
                bounded(db.diff(o, n, start=b"02", stop=b"03"))
                == [c for c in w if b"02" <= c.key < b"03"]
            ),
        )
    yield "changes", lambda: bounded(db.changes(4)) == sample.changes(4, NEWEST)
    yield "stats", lambda: (db.stats().entries, db.stats().trees) == (sample.entries, 2)
    yield "deep stats", lambda: bool(db.stats(deep=True).leaf_pages)
    yield "check", lambda: db.check().ok
    yield "newest", lambda: same_state(db, sample.states[NEWEST])


class Verdict:
    """What came of all questions, by name."""

    def __init__(self) -> None:
        self.right: set[str] = set()
        self.refused: set[str] = set()
        self.wrong: set[str] = set()

    def ask(self, name: str, question: Callable[[], bool]) -> None:
        begun = time.process_time()
        try:
            (self.right if question() else self.wrong).add(name)
        except DAMAGE:
            self.refused.add(name)
        assert time.process_time() - begun < SECONDS_MAX, f"{name} takes too long"


def examine(sample: Sample, forge: Forge, *, mmap: bool = True) -> Verdict:
    """Ask everything about a forged file; whatever is no answer and no damage fails the test."""
    path = sample.path  # the one that the pickled snapshots name
    forgery = Forgery(sample.content)
    forge(forgery)
    path.write_bytes(forgery.content)
    verdict = Verdict()
    try:
        db = cowtree.open(path, readonly=True, mmap=mmap)
    except DAMAGE:
        verdict.refused.add("open")
        return verdict
    with db:
        for name, question in questions(db, sample):
            verdict.ask(name, question)
    assert path.read_bytes() == forgery.content, "reading changed the file"
    change_everything(path)
    return verdict


def change_everything(path: Path) -> None:
    """A writer on a forged file: it refuses, or goes on; what it wrote can be opened or is refused."""
    calls: list[Callable[[cowtree.Database], object]] = [
        lambda db: db.put(b"new", b"1"),
        lambda db: db.tree("t").put(b"new", b"1"),
        lambda db: db.tree("typed", key=codecs.Text, value=codecs.Int).put("two", 2),
        lambda db: db.tree("t").delete_range(b"01", b"03"),
        *(lambda db, at=at: db.restore(at) for at in (1, 5, 9, 20, "middle", "last")),
        lambda db: db.tag("new", 7),
        lambda db: db.tag("middle", 3, move=True),
        lambda db: db.untag("first"),
        lambda db: db.configure(auto_compact=5.0),
        lambda db: db.tree("t").clear(),
    ]
    try:
        db = cowtree.open(path, sync=False)
    except DAMAGE:
        return
    begun = time.process_time()
    with db:
        for call in calls:
            try:
                call(db)
            except (*DAMAGE, cowtree.SnapshotGoneError, cowtree.CodecError, KeyError):
                pass
    try:
        with cowtree.open(path, sync=False) as db:
            db.check()
            bounded(db.history())
    except DAMAGE:
        pass
    assert time.process_time() - begun < 2 * SECONDS_MAX
