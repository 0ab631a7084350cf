"""Power cuts between commits, tags, settings, restores and notes: the past that is recovered is a whole one.

After each cut the database is that of one step, in all that it says about itself; and an id that was published names
one state for ever, also when the tip is an administrative record or a gap lies beneath one.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from crash_device import Cut, Disk, Recorder, Scratch, TracedDatabase, cuts, images, other_boot

import cowtree
from cowtree import Change

pytestmark = pytest.mark.usefixtures("left_large")

SEED = 20261125
ID_STEP = 1 << 20  # FORMAT §6.2
TREES = (None, "t")

Items = tuple[tuple[bytes, bytes], ...]
State = tuple[Items, Items]  # the entries of each of TREES


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    place = Scratch()
    yield place
    place.remove()


@dataclass(frozen=True)
class Past:
    """What a database says about itself after a step."""

    commits: dict[int, tuple[State, bytes]] = field(default_factory=lambda: {0: (((), ()), b"")})
    tags: dict[str, int] = field(default_factory=dict)
    settings: tuple[float | None, int | timedelta | None] = (2.0, None)

    @property
    def newest(self) -> int:
        return max(self.commits)

    def state(self) -> State:
        return self.commits[self.newest][0]


def state_of(reader: cowtree.Database | cowtree.Snapshot) -> State:
    return tuple(reader.items()), tuple(reader.tree("t").items())


def past_of(db: cowtree.Database) -> Past:
    """All of it, read from the database."""
    commits = {0: (state_of(db.snapshot(0)), b"")}
    for commit in db.history():
        with db.snapshot(commit.id) as snapshot:
            commits[commit.id] = (state_of(snapshot), commit.note)
    return Past(commits, db.tags(), (db.settings.auto_compact, db.settings.history))


def differences(old: State, new: State) -> list[Change[bytes, bytes]]:
    found: list[Change[bytes, bytes]] = []
    for name, a, b in zip(TREES, map(dict, old), map(dict, new), strict=True):
        for key in sorted(a.keys() | b.keys()):
            if key not in a:
                found.append(Change(name, key, "added", None, b[key]))
            elif key not in b:
                found.append(Change(name, key, "removed", a[key], None))
            elif a[key] != b[key]:
                found.append(Change(name, key, "changed", a[key], b[key]))
    return found


class Steps:
    """Runs steps through a recording device and keeps the past after each."""

    def __init__(self, scratch: Scratch, start: Disk | None = None, *, sync: bool = True) -> None:
        if start is None:
            cowtree.open(scratch.path).close()
        else:
            scratch.put(start)
        self.sync = sync
        self.recorder = Recorder()
        self.recorder.on = False
        self.traced = TracedDatabase(scratch.path, self.recorder, sync=sync, write_memory=1 << 16)
        self.db = self.traced.db
        self.start = Disk.of_file(scratch.path)
        self.pasts = [past_of(self.db)]
        self.recorder.on = True

    def step(self, work: Callable[[], object], *, durable: bool) -> int:
        """One record: its number."""
        number = len(self.pasts)
        self.recorder.note("start", number)
        work()
        self.recorder.note("durable" if durable else "visible", number)
        return number

    def commit(self, change: dict[bytes, bytes], *, note: bytes = b"", tag: str = "") -> None:
        """A commit of both trees; with a tag on itself."""
        past = self.pasts[-1]
        trees = [dict(items) | change for items in past.state()]

        def work() -> None:
            with self.db.transaction(note=note) as txn:
                txn.update(change)
                txn.tree("t").update(change)
                if tag:
                    txn.tag(tag)

        self.step(work, durable=self.sync)
        state = (tuple(sorted(trees[0].items())), tuple(sorted(trees[1].items())))
        new = self.db.commit_id
        tags = past.tags | ({tag: new} if tag else {})
        self.pasts.append(replace(past, commits={**past.commits, new: (state, note)}, tags=tags))

    def restore(self, at: int | str) -> None:
        past = self.pasts[-1]
        target = past.tags[at] if isinstance(at, str) else at
        self.step(lambda: self.db.restore(at), durable=self.sync)
        new = self.db.commit_id
        assert new > past.newest
        commits = {**past.commits, new: (past.commits[target][0], b"")}
        self.pasts.append(replace(past, commits=commits))

    def tag(self, name: str, at: int | None = None) -> None:
        past = self.pasts[-1]
        self.step(lambda: self.db.tag(name, at, move=True), durable=True)
        self.pasts.append(replace(past, tags=past.tags | {name: past.newest if at is None else at}))

    def untag(self, name: str) -> None:
        past = self.pasts[-1]
        self.step(lambda: self.db.untag(name), durable=True)
        tags = {known: at for known, at in past.tags.items() if known != name}
        self.pasts.append(replace(past, tags=tags))

    def configure(self, ratio: float, history: int | timedelta | None) -> None:
        past = self.pasts[-1]
        self.step(lambda: self.db.configure(auto_compact=ratio, history=history), durable=True)
        self.pasts.append(replace(past, settings=(ratio, history)))

    def end(self) -> None:
        self.recorder.on = False
        self.traced.close()

    def lost_ids(self, recovered: int, published: int) -> set[int]:
        """Ids that readers may have seen and that the recovered past does not have."""
        seen = {self.pasts[k].newest for k in range(recovered + 1, published + 1)}
        return seen - set(self.pasts[recovered].commits)


def everything_agrees(db: cowtree.Database, past: Past) -> None:
    """Tags, neighbours and the feed, beyond what `past_of` reads."""
    for name, commit_id in past.tags.items():
        with db.snapshot(name) as snapshot:
            assert snapshot.commit_id == commit_id
            assert state_of(snapshot) == past.commits[commit_id][0]
    ids = sorted(past.commits)
    for old, new in pairwise(ids):
        wanted = differences(past.commits[old][0], past.commits[new][0])
        assert list(db.diff(old, new)) == wanted
    listed = {commit.id: commit for commit in db.history(reverse=False)}
    assert list(listed) == ids[1:]
    for commit in listed.values():
        assert sorted(commit.tags) == sorted(n for n, at in past.tags.items() if at == commit.id)
    assert list(db.changes(ids[0])) == differences(((), ()), past.state())


def verify(scratch: Scratch, image: Disk, steps: Steps, cut: Cut) -> None:
    """Open an image and hold it against the steps; then go on, through an administrative record, and open again."""
    path = scratch.put(image)
    with cowtree.open(path, readonly=True) as reader:
        seen = past_of(reader)
    with cowtree.open(path) as db:
        past = past_of(db)
        assert past == seen
        matches = [k for k in range(cut.lowest, cut.highest + 1) if steps.pasts[k] == past]
        assert matches, f"not a whole step between {cut.lowest} and {cut.highest}"
        everything_agrees(db, past)
        assert db.check().ok
        lost = steps.lost_ids(matches[-1], cut.seen)
        db.tag("recovered")  # on top of a gap, if there is one
    with cowtree.open(path) as db:
        db[b"further"] = b"commit"
        assert db.commit_id not in lost | set(past.commits)
        after = past_of(db)
        commits = {**past.commits, db.commit_id: (after.state(), b"")}
        assert after == replace(past, commits=commits, tags=past.tags | {"recovered": past.newest})
        everything_agrees(db, after)
    with cowtree.open(path) as db:
        assert past_of(db) == after
        assert db.check().ok


def verify_all(scratch: Scratch, steps: Steps, *, per_cut: int, every: int = 1) -> int:
    """Every image of every `every`-th cut; how many."""
    rng = random.Random(SEED)
    states = 0
    for i, cut in enumerate(cuts(steps.start, steps.recorder.events)):
        if i % every:
            continue
        for image in images(cut, rng, per_cut):
            try:
                verify(scratch, image, steps, cut)
            except BaseException as error:
                error.add_note(f"seed {SEED}, cut {i} of the history, state {states}")
                raise
            states += 1
    return states


def value(number: int, size: int) -> bytes:
    return (b"%d." % number * (size // 2 + 1))[:size]


def run_steps(steps: Steps, numbers: range) -> None:
    """Records of every kind in turn; ids are taken as they come."""
    for i in numbers:
        ids = sorted(steps.pasts[-1].commits)
        steps.commit(
            {b"%d" % (i % 5): value(i, 20 + 300 * (i % 4)), b"same": value(i, 9)},
            note=b"note %d" % i * (i % 3),
            tag=f"own-{i}" if i % 4 == 1 else "",
        )
        if i % 3 == 0:
            steps.tag("moving", ids[-1])
        if i % 4 == 2:
            steps.configure(2.5 + i, i if i % 8 == 2 else timedelta(days=i))
        if i % 4 == 3:
            steps.restore("moving" if i % 8 == 3 else ids[len(ids) // 2])
        if i % 5 == 4:
            steps.tag(f"point-{i}")
        if i % 6 == 5:
            steps.untag("moving")


def test_durable_records_of_every_kind(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(scratch)
    run_steps(steps, range(1, 10))
    steps.end()
    assert len(steps.pasts) > 16
    other_boot(monkeypatch)
    assert verify_all(scratch, steps, per_cut=12) > 250


def test_unsynced_commits_between_durable_tags(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(scratch, sync=False)
    run_steps(steps, range(1, 8))
    for i in range(20, 23):
        steps.commit({b"unsynced": value(i, 40)})
    steps.restore(1)
    steps.end()
    other_boot(monkeypatch)
    assert verify_all(scratch, steps, per_cut=12, every=2) > 150


@pytest.mark.parametrize("sync", [True, False])
def test_two_crashes_of_a_past(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    """Crash, recover, add records of every kind over the remains, crash again."""
    steps = Steps(scratch, sync=sync)
    run_steps(steps, range(1, 6))
    steps.end()
    other_boot(monkeypatch)
    rng = random.Random(SEED)
    states = 0
    # Few, because a gap covers 64 MiB.
    for moment in rng.sample(list(cuts(steps.start, steps.recorder.events)), 3):
        image = rng.choice(list(images(moment, rng, 30)))
        second = Steps(scratch, image, sync=sync)
        if second.pasts[0].newest == 0:
            second.commit({b"first": b"again"})
        second.tag("second")  # on top of a gap, if there is one
        run_steps(second, range(50, 53))
        second.end()
        states += verify_all(scratch, second, per_cut=5, every=5)
    assert states > 15


@pytest.mark.parametrize("administrative", [0, 1, 3])
@pytest.mark.parametrize("again", [False, True])
def test_lost_ids_stay_lost_beneath_administrative_records(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, administrative: int, again: bool
) -> None:
    """The gap that remembers what was lost lies deeper and deeper; a second crash comes before any commit."""
    steps = Steps(scratch, sync=False)
    steps.commit({b"kept": b"1"})
    steps.tag("kept")
    for i in range(5):
        steps.commit({b"lost": value(i, 40)})
    published = len(steps.pasts) - 1
    cut = list(cuts(steps.start, steps.recorder.events))[-1]
    steps.end()
    other_boot(monkeypatch)
    path = scratch.put(cut.durable)  # nothing that was pending has arrived
    kept = steps.pasts[2]
    for number in range(administrative):
        with cowtree.open(path) as db:
            assert past_of(db).commits == kept.commits
            db.tag(f"over-{number}")
        if again:
            with open(path, "ab") as file:
                file.write(b"\xff" * 4096)  # an unclean stop
    with cowtree.open(path) as db:
        assert past_of(db).commits == kept.commits
        with db.transaction() as txn:
            txn.tag("nothing")  # no entry changes: an administrative record
        assert txn.commit_id == db.commit_id == kept.newest
        db[b"new"] = b"1"
        assert db.commit_id % ID_STEP == 0
        assert db.commit_id > max(steps.lost_ids(2, published))
        for lost in steps.lost_ids(2, published):
            with pytest.raises(cowtree.SnapshotGoneError):
                db.snapshot(lost)
        assert [commit.id for commit in db.history()] == [db.commit_id, *range(kept.newest, 0, -1)]
        assert db.snapshot("nothing").commit_id == kept.newest
        assert db.check().ok


def test_position_of_a_feed_and_a_snapshot_do_not_outlive_a_lost_commit(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(scratch, sync=False)
    steps.commit({b"kept": b"1"})
    steps.tag("kept")
    steps.commit({b"lost": b"1"})
    feed: Any = steps.db.changes(0)
    assert len(list(feed)) == 4
    pickled = pickle.dumps(steps.db.snapshot())
    cut = list(cuts(steps.start, steps.recorder.events))[-1]
    steps.end()
    other_boot(monkeypatch)
    path = scratch.put(cut.durable)
    with cowtree.open(path) as db:
        db[b"other"] = b"past"
        with pytest.raises(cowtree.SnapshotGoneError):
            db.changes(feed.position)
        with pytest.raises(cowtree.SnapshotGoneError):
            pickle.loads(pickled)
        assert dict(db.snapshot("kept")) == {b"kept": b"1"}
