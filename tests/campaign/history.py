"""Random commits and compactions in a folder that records what its files and names are asked to do."""

from __future__ import annotations

import errno
import itertools
import os
import random
from typing import Any

from crash_folder import Folder, FolderRecorder

import cowtree
from cowtree import registry
from cowtree.auto_compaction import Worker

__all__ = ["NAME", "Content", "History", "boot_anew", "content_of"]

NAME = "history.cow"

Content = dict[str | None, dict[bytes, bytes]]  # by tree
STAMP = b"stamp"
TREES = ("first", "second")
_boots = itertools.count(1)


def boot_anew() -> None:
    """Opens from here on happen after a restart of the system."""
    name = next(_boots).to_bytes(16, "big")
    registry.boot_id = lambda: name  # type: ignore[assignment]


def content_of(reader: Any) -> Content:
    """All trees that have entries."""
    content: Content = {None: dict(reader.items())}
    for name in reader.trees():
        if entries := dict(reader.tree(name).items()):
            content[name] = entries
    return content


class FailingRecorder(FolderRecorder):
    """With `fail_in`, that many writes on, one fails as on a full disk."""

    fail_in: int | None = None

    def write(self, number: int, offset: int, data: bytes) -> int | None:
        if self.fail_in is not None:
            self.fail_in -= 1
            if self.fail_in < 0:
                self.fail_in = None
                data = data[: len(data) // 2]
                super().write(number, offset, data)
                return len(data)
        super().write(number, offset, data)
        return None


class History:
    """Commits made after `start` was opened (and recovered, which is recorded too) in an existing folder, till `end`.

    `contents[k]` is the content after commit k, 0 the recovered one; of a failed commit what it would have been, which
    a power cut may leave until the failure was reported. `tags[k]` are the contents of what tags name then.
    """

    def __init__(self, folder: str, start: Folder | None, rng: random.Random) -> None:
        self.path = os.path.join(folder, NAME)
        self.rng = rng
        if start is None:
            Folder({}, {}).put(folder)
            cowtree.open(self.path).close()
        else:
            start.put(folder)
        self.recorder = FailingRecorder(folder)
        self.start = self.recorder.start
        self.recorder.install()
        self.open()
        self.content = content_of(self.db)
        self.contents: dict[int, Content] = {0: self._copy()}
        self.tagged = {name: content_of(self.db.snapshot(name)) for name in self.db.tags()}
        self.tags = {0: dict(self.tagged)}
        self.ids = {0: self.db.commit_id}
        self.last = self.newest = 0

    def _copy(self) -> Content:
        return {name: dict(entries) for name, entries in self.content.items()}

    def open(self) -> None:
        self.db = cowtree.open(self.path, write_memory=1 << 16)

    def close(self) -> None:
        self.db.close()

    def end(self) -> None:
        """Close; nothing is recorded from here on."""
        try:
            self.close()
        finally:
            self.recorder.remove()

    def run(self, commits: int) -> None:
        """So many commits of every kind, synced or not, some of which fail; sometimes closed and opened again."""
        rng = self.rng
        small = rng.random() < 0.5  # a tail that is filled with zeros ahead needs small commits
        durable = rng.choice([0.0, 0.5, 1.0])
        for _ in range(commits):
            if rng.random() < 0.06:
                self.close()
                self.open()
            if rng.random() < 0.08:
                self.compact(rng.random() < 0.5)
            self.commit(rng.random() < durable, small or rng.random() < 0.3)

    def compact(self, asked: bool) -> None:
        """On request, or as it is done in the background with a commit in the middle; a snapshot looks on."""
        held, content = self.db.snapshot(), self._copy()
        if asked or self.db.commit_id == 0:
            self.db.compact()  # nothing is moved from an empty file in the background
        else:
            self._relocate()
        assert content_of(held) == content, "a snapshot reads something else after a compaction"
        held.close()
        self.recorder.note("durable", self.newest)

    def _relocate(self) -> None:
        """In this thread, so that the events have one order."""
        engine = registry.engine_for(
            self.path, create=False, readonly=False, mode=0o666, page_size=None, mapped=True
        )
        worker: Any = Worker(engine)
        worker.worthwhile = lambda needed, pages: True
        catch_up = worker.catch_up

        def with_a_commit(relocation: Any) -> None:
            if self.rng.random() < 0.7:
                self.commit(self.rng.random() < 0.5, self.rng.random() < 0.5, failing=0.0)
            catch_up(relocation)

        def after_a_commit(relocation: Any) -> None:
            if self.rng.random() < 0.5:  # what is copied under the lock
                self.commit(self.rng.random() < 0.5, self.rng.random() < 0.5, failing=0.0)
            finish(relocation)

        finish = worker.finish
        worker.finish = after_a_commit
        worker.catch_up = with_a_commit
        engine.compactor = worker
        try:
            worker.run()
            if engine.compaction_problem is not None:
                raise AssertionError(engine.compaction_problem)
        finally:
            registry.release(engine)

    def commit(self, durable: bool, small: bool, failing: float = 0.08) -> None:
        rng, number = self.rng, self.last + 1
        self.last = number
        before, tagged = self._copy(), dict(self.tagged)
        self.recorder.note("start", number)
        if rng.random() < failing:
            self.recorder.fail_in = rng.randrange(3)
        try:
            with self.db.transaction(sync=durable, note=b"%d" % number) as txn:
                self._change(txn, number, small)
        except cowtree.CommitUncertainError:
            self.recorder.fail_in = None
            self._reopen_after_doubt(number)
            return
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self.contents[number] = self._copy()
            self.tags[number] = self.tagged
            self.content, self.tagged = before, tagged
            self.recorder.note("gone", number)
            return
        finally:
            self.recorder.fail_in = None
        self.contents[number] = self._copy()
        self.tags[number] = dict(self.tagged)
        self.ids[number] = txn.commit_id or 0
        self.newest = number
        self.recorder.note("durable" if durable else "visible", number)

    def _reopen_after_doubt(self, number: int) -> None:
        """Nobody knows whether the commit is on the disk until the file is opened again; then it is, or is gone."""
        self.contents[number] = self._copy()
        self.tags[number] = dict(self.tagged)
        self.close()
        self.open()
        self.content = content_of(self.db)
        self.tagged = {name: content_of(self.db.snapshot(name)) for name in self.db.tags()}
        if self.content == self.contents[number]:
            self.ids[number] = self.db.commit_id
            self.newest = number
            self.recorder.note("visible", number)
        else:
            self.recorder.note("gone", number)

    def _change(self, txn: Any, number: int, small: bool) -> None:
        rng = self.rng
        self._put(txn, None, STAMP, b"%d %d" % (number, rng.getrandbits(48)))
        if small:
            self._put(txn, None, b"%02d" % rng.randrange(40), self._value(60))
            return
        for _ in range(rng.randrange(1, 5)):
            rng.choice(
                [
                    self._puts,
                    self._puts,
                    self._deletes,
                    self._range,
                    self._undone,
                    self._large,
                    self._drop,
                ]
            )(txn)
        if rng.random() < 0.1:
            name = f"tag-{rng.randrange(3)}"
            txn.tag(name, move=True)
            self.tagged[name] = self._copy()

    def _value(self, most: int) -> bytes:
        return self.rng.randbytes(self.rng.randrange(most))

    def _put(self, txn: Any, name: str | None, key: bytes, value: bytes) -> None:
        (txn if name is None else txn.tree(name))[key] = value
        self.content.setdefault(name, {})[key] = value

    def _tree(self) -> str | None:
        return self.rng.choice([None, *TREES])

    def _puts(self, txn: Any) -> None:
        name = self._tree()
        for _ in range(self.rng.randrange(1, 40)):
            self._put(txn, name, b"%03d" % self.rng.randrange(200), self._value(400))

    def _large(self, txn: Any) -> None:
        self._put(
            txn, self._tree(), b"large", self._value(self.rng.choice([5000, 40_000, 120_000]))
        )

    def _deletes(self, txn: Any) -> None:
        name = self._tree()
        known = sorted(self.content.get(name, {}))
        for key in self.rng.sample(known, len(known) // 3):
            if key != STAMP:
                (txn if name is None else txn.tree(name)).delete(key)
                del self.content[name][key]
        self._tidy(name)

    def _tidy(self, name: str | None) -> None:
        if name is not None and not self.content.get(name, True):
            del self.content[name]

    def _range(self, txn: Any) -> None:
        name = self._tree()
        low, high = sorted(b"%03d" % self.rng.randrange(200) for _ in range(2))
        (txn if name is None else txn.tree(name)).delete_range(low, high)
        for key in [key for key in self.content.get(name, ()) if low <= key < high]:
            del self.content[name][key]
        self._tidy(name)

    def _drop(self, txn: Any) -> None:
        name = self.rng.choice(TREES)
        if name in txn.trees():
            txn.drop(name)
        self.content.pop(name, None)

    def _undone(self, txn: Any) -> None:
        before = self._copy()
        with txn.savepoint() as savepoint:
            for _ in range(self.rng.randrange(1, 4)):
                self._puts(txn)
            self._large(txn)
            savepoint.rollback()
        self.content = before
