"""The sound databases that hostile ones are made of, and what is true of each of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import cowtree
from cowtree import codecs

__all__ = ["SHAPES", "Trees", "make"]

Trees = dict[str | None, dict[bytes, bytes]]


def _entries(rng: random.Random, count: int, size_max: int) -> dict[bytes, bytes]:
    return {
        b"%05d" % rng.randrange(100_000) + b"k" * rng.randrange(6): rng.randbytes(
            rng.randrange(size_max)
        )
        for _ in range(count)
    }


def _plain(path: Path) -> None:
    """Some levels, a value of several pages, named trees with and without codecs."""
    rng = random.Random(1)
    with cowtree.open(path, sync=False) as db:
        with db.transaction(note=b"all of it") as txn:
            txn.update(_entries(rng, 300, 120))
            txn[b""] = b""
            txn[b"large"] = rng.randbytes(9000)
            txn.tree("t").update(_entries(rng, 150, 60))
            txn.tree("typed", key=codecs.Text, value=codecs.Int)["one"] = 1
        db[b"00500"] = b"a second commit"


def _long_keys(path: Path) -> None:
    """Three levels of few pages: separators fill the branches."""
    with cowtree.open(path, sync=False) as db:
        keys = [b"%03d" % i * 250 for i in range(60)]
        db.update(dict.fromkeys(keys, b"v" * 200))
        db.tree("deep").update(dict.fromkeys(keys[::2], b"w"))


def _past(path: Path) -> None:
    """Many small commits: roots in commit pages, skip pointers, tags, settings, a restored state, retired lists."""
    rng = random.Random(2)
    with cowtree.open(path, sync=False) as db:
        for number in range(1, 18):
            with db.transaction(note=b"note %d" % number) as txn:
                txn.update(_entries(rng, 12, 60))
                txn.tree("t")[b"%03d" % number] = b"t" * number
            if number % 5 == 0:
                db.tag(f"tag{number}")
        db.configure(history=9)
        db.restore(7)
        db.tree("t").clear()


def _spilled(path: Path) -> None:
    """Transactions over their memory budget, that change their own pages again and roll half of it back."""
    rng = random.Random(3)
    keys = [b"%05d" % i for i in range(300)]
    with cowtree.open(path, sync=False, write_memory=1 << 16) as db:
        db.update({key: rng.randbytes(300) for key in keys})
        with db.transaction(note=b"n" * 1024) as txn:
            for key in rng.sample(keys, 200):
                txn[key] = rng.randbytes(150)
            with txn.savepoint() as savepoint:
                txn.update({key: rng.randbytes(100) for key in keys[:100]})
                savepoint.rollback()
        db.delete_range(b"00100", b"00200")


def _retired_pages(path: Path) -> None:
    """A list of retired pages that does not fit into the commit page: it has pages of its own."""
    with cowtree.open(path, sync=False) as db:
        db.update({b"%04d" % i: b"v" * 2100 for i in range(2000)})
        with db.transaction(note=b"n" * 1024) as txn:
            for i in range(0, 2000, 2):
                del txn[b"%04d" % i]


def _large_pages(path: Path) -> None:
    """Pages of 16 KiB."""
    rng = random.Random(4)
    with cowtree.open(path, sync=False, page_size=16384) as db:
        db.update(_entries(rng, 500, 300))
        db[b"large"] = rng.randbytes(40_000)
        db.tree("t").update(_entries(rng, 20, 30))


def _small(path: Path) -> None:
    """One root in a commit page and nothing else."""
    with cowtree.open(path, sync=False) as db:
        db.update({b"a": b"1", b"b": b"2"})


SHAPES: dict[str, Callable[[Path], None]] = {
    "plain": _plain,
    "long keys": _long_keys,
    "past": _past,
    "spilled": _spilled,
    "retired pages": _retired_pages,
    "large pages": _large_pages,
    "small": _small,
}


def make(shape: str, path: Path) -> dict[int, Trees]:
    """Write the database of a shape; what each of its commits holds, by id."""
    SHAPES[shape](path)
    with cowtree.open(path) as db:
        db.sync()  # a clean close then proves all of it
        states = {}
        for commit in db.history():
            with db.snapshot(commit.id) as snapshot:
                states[commit.id] = {
                    name: dict(snapshot.tree(name).items()) for name in (None, *snapshot.trees())
                }
    return states
