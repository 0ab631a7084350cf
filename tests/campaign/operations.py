"""What a program does with a database, one operation each: the subjects of campaigns that make something fail in them.

Each begins with a copy of the same file, which a writer that was killed has left, or with a missing one.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import cowtree

__all__ = ["OPERATIONS", "Content", "Operation", "content_of", "make_sample", "sample_options"]

Content = tuple[dict[str | None, dict[bytes, bytes]], dict[str, dict[bytes, bytes]]]
"""The entries of each tree, and the default tree's at each tag."""

ENTRIES = 400
LARGE = b"large" * 5000


class Operation(NamedTuple):
    name: str
    run: Callable[[cowtree.Database, str], Any]
    before: Callable[[cowtree.Database], Any] | None = None  # no fault here
    opened: bool = True  # else `run` opens the file, and its first argument is None
    missing: bool = False  # the file


def sample_options() -> dict[str, Any]:
    """Small enough that a large transaction spills."""
    return {"write_memory": 1 << 16}


def key(number: int) -> bytes:
    return b"key %05d" % number


def make_sample(path: str) -> None:
    """A few commits, a tag, a named tree, a large value; its writer ended without closing."""
    child = os.fork()
    if child == 0:
        try:
            with cowtree.open(path, auto_compact=None, history=3) as db:
                db.update({key(i): b"value %d" % i for i in range(ENTRIES)})
                db.tag("first")
                with db.transaction() as txn:
                    txn[b"large"] = LARGE
                    txn.tree("other").update({key(i): b"" for i in range(50)})
                for i in range(3):
                    db[key(i)] = b"newer"
                os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise AssertionError("the sample could not be made")


def content_of(reader: Any) -> Content:
    """All that a reader shows."""
    with reader.snapshot() as now:
        trees: dict[str | None, dict[bytes, bytes]] = {None: dict(now.items())}
        for name in now.trees():
            trees[name] = dict(now.tree(name).items())
    tags = {}
    for name in reader.tags():
        with reader.snapshot(name) as then:
            tags[name] = dict(then.items())
    return trees, tags


def _open(db: None, path: str) -> int:
    with cowtree.open(path, **sample_options()) as opened:
        return len(opened)


def _open_readonly(db: None, path: str) -> int:
    with cowtree.open(path, readonly=True) as opened:
        return len(opened)


def _open_and_commit(db: None, path: str) -> int:
    with cowtree.open(path) as opened:
        opened[b"a"] = b"1"
        return len(opened)


def _put(db: cowtree.Database, path: str) -> None:
    db[key(5)] = b"another"


def _put_unsynced(db: cowtree.Database, path: str) -> None:
    with db.transaction(sync=False) as txn:
        txn[key(5)] = b"another"


def _put_large(db: cowtree.Database, path: str) -> None:
    db[b"larger"] = LARGE * 4


def _update(db: cowtree.Database, path: str) -> None:
    db.update({key(3 * i): b"updated %d" % i for i in range(ENTRIES)})


def _commit(db: cowtree.Database, path: str) -> int | None:
    with db.transaction() as txn:
        for i in range(0, ENTRIES, 7):
            txn[key(i)] = b"of a transaction"
        del txn[key(1)]
        txn.tree("other")[b"x"] = b"y"
        txn.tag("by-transaction")
    return txn.commit_id


def _spill(db: cowtree.Database, path: str) -> None:
    with db.transaction() as txn:
        for i in range(150):
            txn[key(i * 11)] = b"%d" % i * 700


def _savepoint(db: cowtree.Database, path: str) -> None:
    with db.transaction() as txn:
        txn[key(7)] = b"kept"
        with txn.savepoint() as savepoint:
            txn[key(8)] = b"undone"
            txn.delete_range(key(20), key(120))
            savepoint.rollback()
        with txn.savepoint():
            txn[key(9)] = b"kept too"


def _rollback(db: cowtree.Database, path: str) -> None:
    txn = db.transaction()
    for i in range(0, ENTRIES, 5):
        txn[key(i)] = b"undone"
    txn.rollback()


def _trees(db: cowtree.Database, path: str) -> None:
    with db.transaction() as txn:
        txn.rename("other", "renamed")
        txn.tree("typed", value=cowtree.codecs.Json)[b"a"] = [1, 2]
        txn.tree("second")[b"a"] = b"b"
        txn.drop("second")


def _load(db: cowtree.Database, path: str) -> int:
    return db.load((b"loaded %05d" % i, b"v" * 20) for i in range(1500))


def _get(db: cowtree.Database, path: str) -> list[Any]:
    return [db.get(key(4)), db[b"large"], db.get(b"none"), key(4) in db, db.first(), db.floor(b"m")]


def _get_many(db: cowtree.Database, path: str) -> list[bytes | None]:
    return db.get_many([key(i * 5) for i in range(100)] + [b"large", b"none"])


def _scan(db: cowtree.Database, path: str) -> list[Any]:
    return [list(db.items(key(10), key(300))), list(db.keys(reverse=True))]


def _order(db: cowtree.Database, path: str) -> list[Any]:
    cursor = db.cursor()
    cursor.seek(key(100))
    return [
        cursor.item,
        db.nth(50),
        db.rank(key(60)),
        db.count(prefix=b"key"),
        db.split(4),
        len(db.buffer(b"large")),
    ]


def _snapshots(db: cowtree.Database, path: str) -> list[Any]:
    with db.snapshot("first") as then, db.snapshot() as now:
        again = pickle.loads(pickle.dumps(then))
        found = [len(then), then[key(0)], now[key(0)], again[key(0)]]
        again.close()
    return found


def _history(db: cowtree.Database, path: str) -> list[Any]:
    return [(commit.id, commit.entries, commit.tags) for commit in db.history()]


def _tag(db: cowtree.Database, path: str) -> None:
    db.tag("second")


def _untag(db: cowtree.Database, path: str) -> None:
    db.untag("first")


def _restore(db: cowtree.Database, path: str) -> int:
    return db.restore("first")


def _diff(db: cowtree.Database, path: str) -> list[Any]:
    return [list(db.diff("first", db.commit_id)), list(db.changes(1))]


def _backup(db: cowtree.Database, path: str) -> None:
    db.backup(path + ".backup")


def _increment(db: cowtree.Database, path: str) -> None:
    db.backup(path + ".backup", incremental=True)


def _before_increment(db: cowtree.Database) -> None:
    db.backup(os.fspath(db.path) + ".backup")
    db.update({key(i): b"since" for i in range(0, ENTRIES, 9)})


def _compact(db: cowtree.Database, path: str) -> None:
    db.compact()


def _check(db: cowtree.Database, path: str) -> bool:
    return db.check().ok


def _stats(db: cowtree.Database, path: str) -> int:
    return db.stats(deep=True).entries


def _configure(db: cowtree.Database, path: str) -> None:
    db.configure(history=5)


def _touch(db: cowtree.Database) -> None:
    db[b"touched"] = b"1"


def _close(db: cowtree.Database, path: str) -> None:
    db.close()


def _wait(db: cowtree.Database, path: str) -> int | None:
    return db.wait(db.commit_id, timeout=0)


def _pop(db: cowtree.Database, path: str) -> bytes:
    return db.pop(key(30))


def _delete_range(db: cowtree.Database, path: str) -> int:
    return db.delete_range(key(100), key(250))


OPERATIONS = {
    each.name: each
    for each in (
        Operation("create", _open_and_commit, opened=False, missing=True),
        Operation("recover", _open, opened=False),
        Operation("recover-commit", _open_and_commit, opened=False),
        Operation("open-readonly", _open_readonly, opened=False),
        Operation("put", _put),
        Operation("put-unsynced", _put_unsynced),
        Operation("put-large", _put_large),
        Operation("update", _update),
        Operation("commit", _commit),
        Operation("spill", _spill),
        Operation("savepoint", _savepoint),
        Operation("rollback", _rollback),
        Operation("trees", _trees),
        Operation("load", _load),
        Operation("get", _get),
        Operation("get-many", _get_many),
        Operation("scan", _scan),
        Operation("order", _order),
        Operation("snapshots", _snapshots),
        Operation("history", _history),
        Operation("tag", _tag),
        Operation("untag", _untag),
        Operation("restore", _restore),
        Operation("diff", _diff),
        Operation("backup", _backup),
        Operation("increment", _increment, _before_increment),
        Operation("compact", _compact),
        Operation("check", _check),
        Operation("stats", _stats),
        Operation("configure", _configure),
        Operation("close", _close, _touch),
        Operation("wait", _wait),
        Operation("pop", _pop),
        Operation("delete-range", _delete_range),
    )
}
