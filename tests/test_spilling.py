"""Transactions over their memory budget: pages are written early, and over those that were written in vain."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

import cowtree
from cowtree import registry
from cowtree.auto_compaction import Worker


def filled(path: Path, count: int, **options: object) -> list[bytes]:
    keys = [b"%08d" % i for i in range(count)]
    with cowtree.open(path, sync=False, auto_compact=None, **options) as db:  # type: ignore[arg-type]
        db.load((key, b"0" * 150) for key in keys)
    return keys


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "by_position"])
def test_the_disk_of_a_large_transaction_is_that_of_its_pages_however_often_they_change(
    path: Path, mapped: bool
) -> None:
    keys = filled(path, 20_000)
    rng = random.Random(1)
    with cowtree.open(path, sync=False, write_memory=1 << 19, mmap=mapped) as db:
        live = db.stats().live_bytes
        before = db.stats().file_bytes
        with db.transaction() as txn:
            for turn in range(5):
                rng.shuffle(keys)
                for key in keys:
                    txn[key] = b"%d" % turn * 150
        grown = db.stats().file_bytes - before
        assert dict(db.items()) == dict.fromkeys(keys, b"4" * 150)
        report = db.check()
        assert report.ok, report.problems
    if mapped:  # the leaves once, and branches of a budget too small for them
        assert grown < 1.5 * live
    else:  # what is read is kept in memory as it was: nothing is written over
        assert grown > 3 * live
    with cowtree.open(path) as db:
        assert db[keys[0]] == b"4" * 150


@pytest.mark.parametrize("write_memory", [0, 1 << 13, 1 << 16])
@pytest.mark.parametrize("seed", range(6))
def test_spilled_pages_that_change_again_equal_the_model(
    path: Path, seed: int, write_memory: int
) -> None:
    """With values in runs, ranges cut out, savepoints kept and undone, two trees, and iteration between."""
    rng = random.Random(seed)
    keys = filled(path, 600)
    models: dict[str | None, dict[bytes, bytes]] = {
        None: dict.fromkeys(keys, b"0" * 150),
        "other": {},
    }

    def change(txn: cowtree.Transaction) -> None:
        for _ in range(rng.randrange(1, 60)):
            name = rng.choice([None, None, "other"])
            tree, model = txn.tree(name), models[name]
            key = b"%08d" % rng.randrange(800)
            what = rng.random()
            if what < 0.7:
                size = rng.choice([10, 150, 150, 150, 1500, 3900, 9000])
                tree[key] = model[key] = rng.randbytes(1) * size
            elif what < 0.95:
                tree.delete(key)
                model.pop(key, None)
            else:
                stop = b"%08d" % (int(key) + rng.randrange(40))
                tree.delete_range(key, stop)
                for gone in [k for k in model if key <= k < stop]:
                    del model[gone]

    with cowtree.open(path, sync=False, write_memory=write_memory) as db:
        for _ in range(3):
            with db.transaction() as txn:
                for _ in range(15):
                    change(txn)
                    if rng.random() < 0.4:
                        saved = {name: dict(model) for name, model in models.items()}
                        with txn.savepoint() as savepoint:
                            change(txn)
                            if rng.random() < 0.5:
                                savepoint.rollback()
                                models.update(saved)
                    walk = iter(txn.items())
                    first = [item for item, _ in zip(walk, range(30), strict=False)]
                    change(txn)
                    list(walk)
                    assert first == sorted(first)
                for name, model in models.items():
                    assert dict(txn.tree(name).items()) == model
            for name, model in models.items():
                assert dict(db.tree(name).items()) == model
            report = db.check()
            assert report.ok, report.problems
    with cowtree.open(path) as db:  # the newest record is verified, digest and all
        for name, model in models.items():
            assert dict(db.tree(name).items()) == model
        report = db.check()
        assert report.ok, report.problems


def test_a_savepoint_keeps_the_pages_that_were_written_before_it(path: Path) -> None:
    keys = filled(path, 2000)
    model = dict.fromkeys(keys, b"0" * 150)
    with cowtree.open(path, sync=False, write_memory=1 << 15) as db, db.transaction() as txn:
        for key in keys:  # written early, and some of them in vain
            txn[key] = model[key] = b"1" * 150
        for key in keys[::7]:
            txn[key] = model[key] = b"2" * 150
        with txn.savepoint() as savepoint:
            for key in keys:
                txn[key] = b"3" * 150
            txn.delete_range(keys[300], keys[900])
            savepoint.rollback()
        assert dict(txn.items()) == model
        for key in keys[::3]:
            txn[key] = model[key] = b"4" * 150
        assert dict(txn.items()) == model
    with cowtree.open(path) as db:
        assert dict(db.items()) == model
        report = db.check()
        assert report.ok, report.problems


def test_a_failed_write_over_a_spilled_page_rolls_back(path: Path) -> None:
    """What was written over belonged to nobody: the file is cut back to where it ended."""
    keys = filled(path, 2000)
    with cowtree.open(path, sync=False, write_memory=1 << 15) as db:
        size = path.stat().st_size
        with pytest.raises(KeyError), db.transaction() as txn:
            for _ in range(3):
                for key in keys:
                    txn[key] = b"1" * 150
            raise KeyError
        assert path.stat().st_size == size
        assert db[keys[0]] == b"0" * 150
        assert db.put(keys[0], b"5") and db.check().ok


def test_leaves_of_the_catalogue_stay_above_the_roots_that_they_name(path: Path) -> None:
    """Compaction in the order of the file gives numbers in that order."""
    keys = filled(path, 600)
    with cowtree.open(path, sync=False, write_memory=1 << 14) as db:
        with db.transaction() as txn:
            for turn in range(4):
                for key in keys:
                    txn[key] = txn.tree("named")[key] = b"%d" % turn * 150
            for tree in (txn, txn.tree("named")):  # pages that were written early are left over
                tree.delete_range(keys[300])
        engine = registry.engine_for(
            str(path), create=False, readonly=False, mode=0o666, page_size=None, mapped=True
        )
        worker = Worker(engine)
        worker.worthwhile = lambda needed, pages: True  # type: ignore[attr-defined]
        engine.compactor = worker
        try:
            worker.run()  # type: ignore[attr-defined]
            assert engine.compaction_problem is None
            assert engine.superseded
        finally:
            registry.release(engine)
        left = dict.fromkeys(keys[:300], b"3" * 150)
        assert dict(db.items()) == dict(db.tree("named")) == left


WRITES = """
import sys, cowtree
with cowtree.open(sys.argv[1]) as db:
    with db.transaction() as txn:
        txn.update((b"%08d" % i, b"2" * 150) for i in range(2000))
"""


def test_pages_that_a_rollback_took_back_are_verified_when_others_have_written_there(
    path: Path,
) -> None:
    """What this process wrote itself it need not verify, as long as it is what it wrote."""
    keys = filled(path, 2000)
    with cowtree.open(path, sync=False, write_memory=1 << 15, auto_compact=None) as db:
        with pytest.raises(KeyError), db.transaction() as txn:
            for key in keys:
                txn[key] = b"1" * 150
            assert txn[keys[0]] == b"1" * 150
            raise KeyError
        begin = path.stat().st_size
        subprocess.run([sys.executable, "-c", WRITES, str(path)], check=True)
        with path.open("r+b") as file:
            content = file.read()
            at = content.index(b"2" * 150, begin)
            file.seek(at + 10)
            file.write(b"?")
        with pytest.raises(cowtree.CorruptionError):
            assert set(db.values()) == {b"2" * 150}
