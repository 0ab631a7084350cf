"""What a file is set to: given at creation, changed by `configure`, the same for every process."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree import DEFAULT, Settings


def test_defaults_and_changes(path: Path) -> None:
    with cowtree.open(path) as db:
        assert db.settings == Settings(4096, 2.0, None)
        db[b"k"] = b"v"
        size = db.stats().live_bytes
        for auto_compact, history in (
            (None, 100),
            (3, timedelta(days=30, microseconds=5)),
            (1.5, None),
            (2.0, 0),
        ):
            db.configure(auto_compact=auto_compact, history=history)
            assert db.settings == Settings(4096, auto_compact, history)
        db.configure(history=7)
        assert db.settings == Settings(4096, 2.0, 7)
        db.configure(auto_compact=None)
        db.configure()
        db.configure(auto_compact=DEFAULT, history=DEFAULT)
        assert db.settings == Settings(4096, None, 7)
        assert db.commit_id == 1 and [c.id for c in db.history()] == [1]
        assert db.stats().live_bytes == size + 4096, "one page of the catalogue"
        assert db.check().ok and db.trees() == [] and db.tags() == {}
    with cowtree.open(path, readonly=True) as db:
        assert db.settings == Settings(4096, None, 7)
        with pytest.raises(cowtree.ReadOnlyError):
            db.configure(history=1)


def test_a_setting_that_is_there_makes_no_commit(path: Path) -> None:
    with cowtree.open(path) as db:
        db.configure(history=3)
        size = db.stats().file_bytes - db.stats().tail_bytes
        db.configure(history=3)
        assert db.stats().file_bytes - db.stats().tail_bytes == size


def test_given_at_creation_and_checked_afterwards(path: Path) -> None:
    week = timedelta(days=7)
    with cowtree.open(path, auto_compact=4.5, history=week) as db:
        assert db.settings == Settings(4096, 4.5, week)
        db[b"k"] = b"v"
    with cowtree.open(path) as db:
        assert db.settings == Settings(4096, 4.5, week)
    cowtree.open(path, auto_compact=4.5, history=week).close()
    before = path.read_bytes()
    for wrong in ({"auto_compact": 2.0}, {"auto_compact": None}, {"history": 5}, {"history": None}):
        for readonly in (False, True):
            with pytest.raises(ValueError, match="configure"):
                cowtree.open(path, readonly=readonly, **wrong)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    with cowtree.open(":memory:", history=5) as db:
        assert db.settings.history == 5


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"auto_compact": "2"}, TypeError),
        ({"auto_compact": True}, TypeError),
        ({"auto_compact": 1}, ValueError),
        ({"auto_compact": 0.5}, ValueError),
        ({"auto_compact": float("nan")}, ValueError),
        ({"auto_compact": float("inf")}, ValueError),
        ({"history": 1.5}, TypeError),
        ({"history": True}, TypeError),
        ({"history": "7 days"}, TypeError),
        ({"history": -1}, ValueError),
        ({"history": 1 << 64}, ValueError),
        ({"history": timedelta(seconds=-1)}, ValueError),
    ],
    ids=repr,
)
def test_wrong_settings(path: Path, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        cowtree.open(path, **options)
    assert not path.exists()
    with cowtree.open(path) as db:
        with pytest.raises(error):
            db.configure(**options)
        assert db.settings == Settings(4096, 2.0, None)


def test_restore_and_rollback_leave_settings_alone(path: Path) -> None:
    with cowtree.open(path) as db:
        db[b"k"] = b"1"
        db.configure(history=9)
        db[b"k"] = b"2"
        db.restore(1)
        assert db.settings.history == 9 and db[b"k"] == b"1"
        with db.transaction(), pytest.raises(cowtree.TransactionError):
            db.configure(history=8)


def test_another_process_obeys(path: Path, start_child: Any) -> None:
    with cowtree.open(path) as db:
        child = start_child(
            "import sys, cowtree\n"
            "db = cowtree.open(sys.argv[1])\n"
            "print('open')\n"
            "for line in sys.stdin: print(db.settings.history)\n",
            path,
        )
        assert child.read() == "open"
        db.configure(history=12)
        child.tell("")
        assert child.read() == "12"


def test_deep_stats(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        assert db.stats(deep=True).leaf_pages == 0
        db.load((b"%06d" % i, b"x" * 50) for i in range(20_000))
        db[b"big"] = b"y" * 50_000
        db.tree("t")[b"k"] = b"v"
        plain, deep = db.stats(), db.stats(deep=True)
        assert plain.leaf_pages is None and plain.leaf_fill is None
        assert deep.run_pages == 13 and deep.leaf_fill is not None and deep.branch_fill is not None
        assert 300 < (deep.leaf_pages or 0) < 330 and 2 < (deep.branch_pages or 0) < 6
        assert 0.95 < deep.leaf_fill <= 1, "an ascending load fills its leaves"
        assert 0 < deep.branch_fill < 1
        assert (deep.entries, deep.trees, deep.live_bytes) == (20_002, 1, plain.live_bytes)


@pytest.mark.parametrize(
    "age",
    [
        timedelta.max,
        timedelta(days=999_999, microseconds=1),
        timedelta(days=300_000, microseconds=999_999),
        timedelta(microseconds=1),
        timedelta(0),
    ],
    ids=str,
)
def test_every_age_is_kept_to_the_microsecond(path: Path, age: timedelta) -> None:
    with cowtree.open(path, history=age) as db:
        db[b"k"] = b"v"
        assert db.settings.history == age
    with cowtree.open(path, history=age) as db:
        db.compact()
        assert db.settings.history == age


def test_ratios_and_sizes_out_of_range_are_value_errors(path: Path) -> None:
    with cowtree.open(path) as db, pytest.raises(ValueError, match="auto_compact"):
        db.configure(auto_compact=10**400)
    for size in (-1, 1 << 70):
        with pytest.raises(ValueError, match="write_memory"):
            cowtree.open(path, write_memory=size)
    with pytest.raises(TypeError):
        cowtree.open(path, write_memory=1.5)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        cowtree.open("")
    with cowtree.open(path) as db, pytest.raises(ValueError, match="surrogates"):
        db.tree("\ud800")
