"""The process that opens hostile files: one JSON line in (a path), one out (what came of it). It may be killed by them.

A file is asked everything that a reader can be asked, then written on. What may come of each call: an answer, or an
error that the contract promises. Where `check` finds a file whole, everything read from it must agree with itself.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import cowtree
from cowtree import codecs

PROMISED = (cowtree.Error, KeyError, IndexError)
DAMAGE = (cowtree.CorruptionError, cowtree.FormatError)
ANSWER_MAX = 20_000  # no sound database here holds more: a longer answer is only begun
FILE_SIZE_MAX = 256 << 20  # what a writer on such a file may write, in bytes


class Wrong(Exception):
    """An answer that contradicts another one."""


def bounded(answer: Iterable[Any]) -> list[Any]:
    return list(islice(answer, ANSWER_MAX))


class Interrogation:
    """All calls on one file; the slowest of them, and how many ended in an error."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.calls = self.refused = 0
        self.slowest = (0.0, "")

    def ask(self, name: str, call: Callable[[], Any]) -> Any:
        """What a call gives, or None if it is refused."""
        self.calls += 1
        begun = time.process_time()
        try:
            return call()
        except DAMAGE:
            self.refused += 1
            return None
        except PROMISED:
            return None
        finally:
            self.slowest = max(self.slowest, (time.process_time() - begun, name))

    def open(self, **options: Any) -> cowtree.Database | None:
        opened: cowtree.Database | None = self.ask(
            "open", lambda: cowtree.open(self.path, create=False, **options)
        )
        return opened

    def read(self, mapped: bool) -> bool:
        """Everything a reader can ask; True if the file is whole."""
        db = self.open(readonly=True, mmap=mapped)
        if db is None:
            return False
        with db:
            report = self.ask("check", db.check)
            whole = report is not None and report.ok
            names = self.ask("trees", db.trees) or []
            refused = self.refused
            for name in (None, *names[:6]):
                self.read_tree(db if name is None else db.tree(name), whole)
            if whole and self.refused > refused:
                raise Wrong("`check` finds nothing, but reads are refused")
            self.ask("tags", db.tags)
            self.ask("settings", lambda: db.settings)
            self.ask("stats", db.stats)
            self.ask("deep stats", lambda: db.stats(deep=True))
            for name in (None, *names[:6]):
                self.ask("codecs", lambda name=name: db.tree_codecs(name))
            self.read_past(db)
        return whole

    def read_past(self, db: cowtree.Database) -> None:
        commits = self.ask("history", lambda: bounded(db.history())) or []
        self.ask("history upwards", lambda: bounded(db.history(reverse=False)))
        for commit in [*commits[:4], *commits[4::4]]:
            self.ask("snapshot by time", lambda c=commit: db.snapshot(c.time).close())
            self.ask("snapshot", lambda c=commit: bounded(db.snapshot(c.id).items()))
            self.ask("diff", lambda c=commit: bounded(db.diff(c.id, None)))
            self.ask("diff backwards", lambda c=commit: bounded(db.diff(db.commit_id, c.id)))
        self.ask("changes", lambda: bounded(db.changes(0)))
        for name in self.ask("tags", db.tags) or {}:
            self.ask("tag", lambda name=name: bounded(db.snapshot(name).items()))

    def read_tree(self, tree: Any, whole: bool) -> None:
        items = self.ask("items", lambda: bounded(tree.items())) or []
        back = self.ask("items backwards", lambda: bounded(tree.items(reverse=True)))
        keys = [key for key, _ in items[:: max(1, len(items) // 40)]]
        gets = [self.ask("get", lambda key=key: tree.get(key)) for key in keys]
        many = self.ask("get_many", lambda: tree.get_many(keys))
        ranks = [self.ask("rank", lambda key=key: tree.rank(key)) for key in keys[::4]]
        size = self.ask("len", lambda: len(tree))
        middle = self.ask("nth", lambda: tree.nth(len(items) // 2)) if items else None
        self.ask("nth_many", lambda: tree.nth_many([0, -1]))
        self.ask("nth of what is not there", lambda: tree.nth(1 << 62))
        self.ask("count", lambda: tree.count(b"1", b"3"))
        self.ask("split", lambda: tree.split(7))
        for name in ("floor", "ceiling", "lower", "higher"):
            self.ask(name, lambda name=name: getattr(tree, name)(b"00500"))
        self.ask("ends", lambda: (tree.first(), tree.last(), tree.first(prefix=b"0")))
        self.ask("missing", lambda: (tree.get(b"\xff\xff"), b"" in tree))
        self.ask("buffer", lambda: bytes(tree.buffer(keys[len(keys) // 2])) if keys else b"")
        self.ask("cursor", lambda: self.walk(tree.cursor()))
        if not whole:
            return
        found = dict(items)
        for name, ok in {
            "the order of keys": [key for key, _ in items] == sorted(found),
            "backwards": back == items[::-1],
            "len": size == len(items),
            "get": gets == [found[key] for key in keys] and many == gets,
            "rank": ranks == [items.index((key, found[key])) for key in keys[::4]],
            "nth": not items or middle == items[len(items) // 2],
        }.items():
            if not ok:
                raise Wrong(f"`check` finds nothing, but {name} is wrong")

    @staticmethod
    def walk(cursor: Any) -> None:
        if cursor.seek(b"005"):
            for step in (cursor.next, cursor.next, cursor.prev, cursor.last, cursor.prev):
                if not step():
                    break
                _ = cursor.item

    def write(self, whole: bool) -> None:
        """A writer: it refuses, or goes on; what was whole stays so."""
        other = self.path + "-copy"
        db = self.open(sync=False, write_memory=1 << 16)
        if db is None:
            return
        tree = db.tree("t")

        def typed() -> Any:
            return db.tree("typed", key=codecs.Text, value=codecs.Int)

        calls: list[tuple[str, Callable[[], object]]] = [
            ("put", lambda: db.put(b"00500", b"new" * 50)),
            ("put beyond the end", lambda: db.put(b"\xff", b"new" * 2000)),
            ("put in a tree", lambda: tree.put(b"003", b"1")),
            ("typed put", lambda: typed().put("two", 2)),
            ("update", lambda: db.update({b"%05d" % (i * 331): b"u" * 90 for i in range(300)})),
            ("delete_range", lambda: db.delete_range(b"02", b"05")),
            ("delete", lambda: [db.delete(key) for key in bounded(db.keys())[:30]]),
            ("popitem", lambda: (db.popitem(), db.popitem(last=False))),
            ("savepoint", lambda: self.roll_back_half(db)),
            ("tag", lambda: db.tag("mine", db.commit_id)),
            ("untag", lambda: db.untag("tag5")),
            ("rename", lambda: self.rename(db)),
            ("configure", lambda: db.configure(auto_compact=5.0)),
            ("restore", lambda: db.restore(min(5, db.commit_id))),
            ("backup", lambda: db.backup(other)),
            ("clear a tree", tree.clear),
            ("compact", db.compact),
            ("put after that", lambda: db.put(b"00500", b"again")),
            ("clear", db.clear),
        ]
        with db:
            for name, call in calls:
                self.ask(name, call)
                if name in ("put", "delete", "backup", "compact"):
                    report = self.ask("check", db.check)
                    sound = report is not None and report.ok
                    if whole and not sound:
                        raise Wrong(f"whole before, not after {name}: {report}")
                    # What is restored may be damaged in ways that only reading the past shows.
                    whole = sound
                whole &= name != "restore"
        db = self.open(sync=False)
        if db is not None:
            with db:
                self.ask("check", db.check)
                self.ask("items", lambda: bounded(db.items()))

    @staticmethod
    def roll_back_half(db: cowtree.Database) -> None:
        with db.transaction() as txn:
            txn[b"in the transaction"] = b"1"
            with txn.savepoint() as savepoint:
                txn.delete_range(b"0", b"1")
                savepoint.rollback()

    @staticmethod
    def rename(db: cowtree.Database) -> None:
        with db.transaction() as txn:
            txn.rename("t", "renamed")
            txn.drop("typed")


def memory(field: str) -> int:
    """VmHWM or VmRSS of this process, in bytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(field))


def interrogate(path: str) -> dict[str, object]:
    """All calls on the file at a path, which is changed by them."""
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the high-water mark falls to what is resident now
    before = memory("VmRSS")
    work = Interrogation(path)
    problem = ""
    try:
        whole = False
        for mapped in (True, False):
            whole = work.read(mapped)
        work.write(whole)
    except BaseException as error:  # whatever it is, it is the verdict
        problem = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-6)}"
    return {
        "problem": problem,
        "calls": work.calls,
        "refused": work.refused,
        "seconds": work.slowest[0],
        "slowest": work.slowest[1],
        "bytes": memory("VmHWM") - before,
    }


def main() -> None:
    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE_MAX, FILE_SIZE_MAX))
    for line in sys.stdin:
        path = json.loads(line)
        print(json.dumps(interrogate(path)), flush=True)


if __name__ == "__main__":
    main()
