"""Power cuts, simulated: every image that a cut may leave opens at a whole commit, and never at a wrong one.

Each test can fail: without the sync before the acknowledgement (`Engine.make_durable`) the lower bound breaks; without
the range digest or the chain (`record_follows`) mixtures of two attempts are accepted; without the volatile slot
(`Engine.cover_unsynced`) lost ids are given again.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_device import Disk, Recorder, Scratch, TracedDatabase, cuts, images, other_boot

import cowtree

pytestmark = pytest.mark.usefixtures("left_large")

SEED = 20261124
Model = dict[int, dict[bytes, bytes]]  # commit number -> content


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    place = Scratch()
    yield place
    place.remove()


def pattern(number: int, size: int) -> bytes:
    return (b"%d." % number * (size // 2 + 1))[:size]


def content_of(db: cowtree.Database) -> dict[bytes, bytes]:
    return dict(db.items())


class History:
    """Runs commits through a recording device and keeps the content after each."""

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
        self.content = content_of(self.db)
        self.model: Model = {0: dict(self.content)}
        self.ids: dict[int, int] = {0: self.db.commit_id}
        self.recorder.on = True

    def commit(self, change: dict[bytes, bytes | None], *, sync: bool | None = None) -> None:
        """One commit: None deletes."""
        number = len(self.model)
        for key, value in change.items():
            if value is None:
                self.content.pop(key, None)
            else:
                self.content[key] = value
        self.model[number] = dict(self.content)
        durable = self.sync if sync is None else sync
        self.recorder.note("start", number)
        with self.db.transaction(sync=durable) as txn:
            for key, value in change.items():
                if value is None:
                    txn.delete(key)
                else:
                    txn[key] = value
        self.ids[number] = txn.commit_id or 0
        self.recorder.note("durable" if durable else "visible", number)

    def end(self) -> None:
        self.recorder.on = False
        self.traced.close()


def verify(
    scratch: Scratch, image: Disk, history: History, lowest: int, highest: int, published: int
) -> None:
    """Open an image and hold it against the model."""
    path = scratch.put(image)
    before = Path(path).read_bytes()
    with cowtree.open(path, readonly=True) as reader:
        seen = content_of(reader)
    assert Path(path).read_bytes() == before, "a read-only open changed the file"
    with cowtree.open(path) as db:
        found = content_of(db)
        matches = [k for k in range(lowest, highest + 1) if history.model[k] == found]
        assert matches, f"not a whole commit between {lowest} and {highest}"
        assert seen == found
        report = db.check()
        assert report.ok, report.problems
        recovered = matches[-1]
        db[b"further"] = b"commit"
        # An id that readers may have seen never names another state.
        taken = {history.ids[k] for k in range(recovered + 1, published + 1) if k in history.ids}
        assert db.commit_id not in taken
        first = db.commit_id
    with cowtree.open(path) as db:
        assert content_of(db) == found | {b"further": b"commit"}
        assert db.commit_id == first
        assert db.check().ok


def verify_all(scratch: Scratch, history: History, *, per_cut: int, every: int = 1) -> int:
    """Every image of every `every`-th cut; how many."""
    rng = random.Random(SEED)
    states = 0
    for i, cut in enumerate(cuts(history.start, history.recorder.events)):
        if i % every:
            continue
        for image in images(cut, rng, per_cut):
            try:
                verify(scratch, image, history, cut.lowest, cut.highest, cut.seen)
            except BaseException as error:
                error.add_note(f"seed {SEED}, cut {i} of the history, state {states}")
                raise
            states += 1
    return states


def test_durable_one_put_commits(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(scratch)
    for i in range(12):
        history.commit({b"key%d" % (i % 5): pattern(i, 30)})
    history.end()
    other_boot(monkeypatch)
    assert verify_all(scratch, history, per_cut=60) > 150


def test_commits_of_every_shape(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(scratch)
    rng = random.Random(SEED)
    for i in range(8):
        change: dict[bytes, bytes | None] = {
            b"%04d" % rng.randrange(200): pattern(i, rng.choice([10, 500, 3000])) for _ in range(15)
        }
        change[b"large"] = pattern(i, 20_000)
        for key in rng.sample(sorted(history.content), min(3, len(history.content))):
            change[key] = None
        history.commit(change)
    history.end()
    other_boot(monkeypatch)
    assert verify_all(scratch, history, per_cut=40) > 150


def test_unsynced_commits_and_a_durable_one(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(scratch, sync=False)
    for i in range(7):
        history.commit({b"key%d" % (i % 3): pattern(i, 40)})
    history.commit({b"durable": b"1"}, sync=True)
    for i in range(7, 11):
        history.commit({b"key%d" % (i % 3): pattern(i, 40)})
    history.end()
    other_boot(monkeypatch)
    assert verify_all(scratch, history, per_cut=60) > 300


def test_spilled_transaction_with_a_savepoint_undone(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(scratch)
    history.commit({b"before": b"1"})
    history.recorder.note("start", 2)
    with history.db.transaction() as txn:
        for i in range(150):
            txn[b"%04d" % i] = pattern(i, 1000)
        with txn.savepoint() as savepoint:
            for i in range(150):
                txn[b"%04d" % i] = pattern(i + 1000, 1200)
            savepoint.rollback()
        txn[b"after"] = b"1"
    history.content |= {b"%04d" % i: pattern(i, 1000) for i in range(150)} | {b"after": b"1"}
    history.model[2] = dict(history.content)
    history.ids[2] = txn.commit_id or 0
    history.recorder.note("durable", 2)
    history.end()
    assert content_of_path(scratch) == history.content
    other_boot(monkeypatch)
    assert verify_all(scratch, history, per_cut=25) > 50


def test_a_transaction_that_writes_over_what_it_spilled(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its commit page is whole, whatever its range holds is nobody's."""
    history = History(scratch)
    history.commit({b"%04d" % i: pattern(i, 200) for i in range(400)})
    change: dict[bytes, bytes | None] = {b"%04d" % i: pattern(i + 1, 250) for i in range(400)}
    changed = {b"%04d" % i: pattern(i + 2, 250) for i in range(0, 400, 3)}
    history.recorder.note("start", 2)
    with history.db.transaction() as txn:
        for key, value in [*change.items(), *changed.items()]:
            txn[key] = value  # type: ignore[assignment]
    history.content |= {**change, **changed}  # type: ignore[arg-type]
    history.model[2] = dict(history.content)
    history.ids[2] = txn.commit_id or 0
    history.recorder.note("durable", 2)
    begun = history.recorder.events.index(("start", 2))
    writes = [event for event in history.recorder.events[begun:] if event[0] == "write"]
    end = 0
    again = 0
    for _, offset, data in writes[:-1]:
        again += offset < end
        end = max(end, offset + len(data))
    assert again > 3, "nothing was written over what was spilled"
    history.end()
    other_boot(monkeypatch)
    assert verify_all(scratch, history, per_cut=25) > 50


def test_a_large_commit_is_synced_before_its_commit_page_is_written(scratch: Scratch) -> None:
    """That page says so, and then recovery looks at nothing else of it."""
    recorder = Recorder()
    traced = TracedDatabase(scratch.path, recorder)
    traced.db[b"large"] = bytes(17 << 20)
    events = [event for event in recorder.events if event[0] in ("write", "sync")]
    last = max(i for i, event in enumerate(events) if event[0] == "write")
    assert events[last][2][24] == 2, "the commit page is written last"  # FORMAT §2.0
    assert events[last - 1] == ("sync",)
    assert sum(len(event[2]) for event in events[: last - 1] if event[0] == "write") > 17 << 20
    traced.close()


def content_of_path(scratch: Scratch) -> dict[bytes, bytes]:
    with cowtree.open(scratch.path) as db:
        return content_of(db)


def test_queued_commits_of_many_threads(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(scratch)
    lock = threading.Lock()
    changes: dict[int, tuple[bytes, bytes]] = {}

    def work(number: int) -> None:
        for i in range(4):
            key, value = b"thread%d" % number, pattern(i, 20)
            with history.db.transaction() as txn:
                # Inside the writer mutex: commits start in the order of their ids.
                with lock:
                    changes[len(changes) + 1] = (key, value)
                    mine = len(changes)
                    history.recorder.note("start", mine)
                txn[key] = value
            assert txn.commit_id == mine
            with lock:
                history.recorder.note("durable", mine)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(1, len(changes) + 1):
        key, value = changes[number]
        history.content[key] = value
        history.model[number] = dict(history.content)
        history.ids[number] = number
    history.end()
    other_boot(monkeypatch)
    assert verify_all(scratch, history, per_cut=30) > 150


@pytest.mark.parametrize("sync", [True, False])
def test_two_crashes(scratch: Scratch, monkeypatch: pytest.MonkeyPatch, sync: bool) -> None:
    """Crash, recover, commit something else over the remains, crash again."""
    history = History(scratch, sync=sync)
    for i in range(5):
        history.commit({b"key%d" % i: pattern(i, 600), b"same": pattern(i, 10)})
    history.end()
    other_boot(monkeypatch)
    rng = random.Random(SEED)
    states = 0
    moments = list(cuts(history.start, history.recorder.events))
    for moment in rng.sample(moments, 10):
        image = rng.choice(list(images(moment, rng, 30)))
        second = History(scratch, image, sync=sync)
        for i in range(3):
            second.commit({b"key%d" % i: pattern(i + 50, 600), b"same": pattern(i + 50, 10)})
        second.end()
        states += verify_all(scratch, second, per_cut=12, every=2)
    assert states > 150


class FailsAtTheEnd(Recorder):
    """Fails the write of a commit page alone, of which `kept` bytes land."""

    kept: int | None = None

    def write(self, offset: int, data: bytes) -> int | None:
        if self.kept is None or len(data) != 4096 or data[24] != 2:  # FORMAT §2.0: a commit page
            super().write(offset, data)
            return None
        super().write(offset, data[: self.kept])
        return self.kept


@pytest.mark.parametrize("kept", [512, 2048, 4096])
def test_a_commit_whose_rollback_was_reported_does_not_come_back(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Its last write fails, but what matters of it has landed, and the cut of the file may be lost in a power cut."""
    recorder = FailsAtTheEnd()
    cowtree.open(scratch.path).close()
    start = Disk.of_file(scratch.path)
    traced = TracedDatabase(scratch.path, recorder, sync=False, write_memory=1 << 16)
    traced.db[b"first"] = b"1"
    recorder.kept = kept
    with pytest.raises(OSError, match="No space"), traced.db.transaction() as txn:
        for i in range(3000):  # spilled: the commit page is written last, alone
            txn[b"%05d" % i] = pattern(i, 100)
    recorder.kept = None
    recorder.note("gone", 1)
    traced.db[b"later"] = b"1"
    recorder.on = False
    traced.close()
    other_boot(monkeypatch)
    reported = False
    for cut in cuts(start, recorder.events):
        reported |= 1 in cut.gone
        disk = cut.durable.copy()
        for piece in cut.pending:
            if piece.data is not None:  # every write has landed, no cut of the file has
                disk.apply(piece)
        scratch.put(disk)
        with cowtree.open(scratch.path) as db:
            assert not reported or b"00000" not in db
            assert db.check().ok
    assert reported


def test_cut_inside_the_recovery(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery that is cut at any of its steps comes to the same."""
    history = History(scratch, sync=False)
    for i in range(4):
        history.commit({b"key%d" % i: pattern(i, 600)})
    history.end()
    other_boot(monkeypatch)
    rng = random.Random(SEED)
    moments = list(cuts(history.start, history.recorder.events))
    # Few, because each image has a gap of 64 MiB.
    for moment in rng.sample(moments, 4):
        image = rng.choice(list(images(moment, rng, 30)))
        scratch.put(image)
        recorder = Recorder()
        traced = TracedDatabase(scratch.path, recorder)
        recovered = content_of(traced.db)
        recorder.on = False
        traced.close()
        for cut in cuts(image, recorder.events):
            for torn in images(cut, rng, 6):
                path = scratch.put(torn)
                with cowtree.open(path) as db:
                    assert content_of(db) == recovered, f"seed {SEED}"
                    assert db.check().ok
