"""Salvage: what verifies comes back as it was, what does not is told."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from cli_helpers import fails, no, ok

import cowtree
from cowtree.checksum import checksum
from cowtree.codecs import Int, Json, Text
from cowtree.rescue import Loss, SalvageReport, salvage
from cowtree.rescue.salvage import LOST_AND_FOUND

PAGE = 4096
Contents = dict[str | None, dict[bytes, bytes]]


def make(path: Path, seed: int = 1) -> tuple[Contents, list[Contents]]:
    """A file with trees, a past and large values: what it holds, and what each commit held."""
    rng = random.Random(seed)
    model: Contents = {None: {}, "t": {}, "großer Baum": {}}
    past: list[Contents] = []
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        for turn in range(8):
            with db.transaction() as txn:
                for name, entries in model.items():
                    for _ in range(2000 if turn == 0 else 40):
                        key = b"%05d" % rng.randrange(4000)
                        size = rng.choice(
                            [5, 60, 60, 60, 200, 5000, 20_000] if name == "t" else [60]
                        )
                        txn.tree(name)[key] = entries[key] = rng.randbytes(1) * size
            past.append({name: dict(entries) for name, entries in model.items()})
        with db.transaction() as txn:
            txn.tree("typed", key=Text, value=Json).update({"a": [1], "b": 2})
            txn.tree("empty", key=Int)
            txn.tag("tagged")
    model["typed"] = {b"a": b"[1]", b"b": b"2"}
    past.append({name: dict(entries) for name, entries in model.items()})
    return model, past


def read(path: Path) -> Contents:
    with cowtree.open(path, readonly=True) as db:
        report = db.check()
        assert report.ok, report.problems
        return {name: dict(db.tree(name)) for name in (None, *db.trees())}


def damage(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE + 100)
        old = file.read(1)
        file.seek(page * PAGE + 100)
        file.write(bytes([old[0] ^ 0x55]))


def covered(
    losses: tuple[Loss, ...], tree: str | None, key: bytes, *, catalogue: bool = False
) -> bool:
    return any(
        (loss.tree, loss.catalogue) == (tree, catalogue)
        and (loss.start is None or key >= loss.start)
        and (loss.stop is None or key < loss.stop)
        for loss in losses
    )


def test_a_sound_file_comes_back_whole(path: Path, tmp_path: Path) -> None:
    model, _ = make(path)
    before = path.read_bytes()
    seen: list[tuple[int, int]] = []
    report = salvage(path, tmp_path / "out", progress=lambda *at: seen.append(at))
    assert report == SalvageReport(9, sum(map(len, model.values())), (), False, 0)
    assert report.whole and seen
    assert path.read_bytes() == before
    assert read(tmp_path / "out") == model
    with cowtree.open(tmp_path / "out") as db:
        assert db.tree_codecs("typed") == ("text", "json")
        assert dict(db.tree("typed", key=Text, value=Json)) == {"a": [1], "b": 2}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_damaged_the_rest_is_right_and_what_is_missing_is_told(
    path: Path, tmp_path: Path, seed: int
) -> None:
    model, past = make(path)
    rng = random.Random(seed)
    pages = path.stat().st_size // PAGE
    for page in rng.sample(range(pages), rng.choice([1, 3, 20])):
        damage(path, page)
    report = salvage(path, tmp_path / "out")
    found = read(tmp_path / "out")
    if report.newer_lost:
        model = next(state for i, state in enumerate(past) if i + 1 == report.commit_id)
    else:
        assert report.commit_id == len(past)
    told = 0
    for name, entries in model.items():
        got = found.get(name, {})
        for key in entries.keys() | got.keys():
            if covered(report.losses, name, key) or covered(
                report.losses, None, b"\x01", catalogue=True
            ):
                told += 1
                # What is there all the same was there in some commit.
                if key in got:
                    assert any(state.get(name, {}).get(key) == got[key] for state in past)
            else:
                assert got.get(key) == entries.get(key), (name, key)
    assert report.whole == (not report.losses and not report.newer_lost)
    assert told < 0.5 * sum(map(len, model.values()))


def test_a_damaged_leaf_is_filled_from_the_past(path: Path, tmp_path: Path) -> None:
    with cowtree.open(path, auto_compact=None) as db:
        db.load((b"%04d" % i, b"old" * 20) for i in range(2000))
        db[b"1000"] = b"new"
    end = path.stat().st_size // PAGE
    for page in range(end - 6, end):  # the second commit's leaf, not its commit page
        trial = tmp_path / f"damaged-{page}"
        trial.write_bytes(path.read_bytes())
        damage(trial, page)
        report = salvage(trial, tmp_path / f"out-{page}")
        if len(report.losses) == 1 and covered(report.losses, None, b"1000"):
            break
    else:
        raise AssertionError("no page was the leaf")
    (loss,) = report.losses
    assert loss.page == page and loss.entries < 100
    assert (loss.found, loss.commit_id) == (loss.entries, 1)
    assert read(tmp_path / f"out-{page}")[None] == {b"%04d" % i: b"old" * 20 for i in range(2000)}


def test_entries_that_nothing_leads_to_are_kept_apart(path: Path, tmp_path: Path) -> None:
    """A commit page is damaged, and there is no older commit with that tree."""
    with cowtree.open(path, auto_compact=None) as db:
        db.load((b"%04d" % i, b"v" * 100) for i in range(2000))
    with path.open("rb") as file:
        pages = {n: file.read(PAGE) for n in range(path.stat().st_size // PAGE)}
    commits = [n for n, image in pages.items() if image[32:40] == b"cow-cmt1"]
    damage(path, commits[-1])
    with pytest.raises(cowtree.CorruptionError):
        cowtree.open(path)
    report = salvage(path, tmp_path / "out")
    assert (report.commit_id, report.newer_lost, report.whole) == (0, True, False)
    assert report.lost_and_found == 2000
    assert read(tmp_path / "out") == {
        None: {},
        LOST_AND_FOUND: {b"%04d" % i: b"v" * 100 for i in range(2000)},
    }


@pytest.mark.parametrize("size", [4096, 16384, 65536])
def test_the_first_pages_may_be_gone(path: Path, tmp_path: Path, size: int) -> None:
    with cowtree.open(path, page_size=size) as db:
        db.update((b"%04d" % i, b"v" * 100) for i in range(2000))
    with path.open("r+b") as file:
        file.write(bytes(3 * size))
    report = salvage(path, tmp_path / "out")
    assert report.whole and report.entries == 2000
    assert len(read(tmp_path / "out")[None]) == 2000


def test_a_file_that_was_cut_gives_what_is_left(path: Path, tmp_path: Path) -> None:
    _, past = make(path)
    os.truncate(path, path.stat().st_size // 2)
    report = salvage(path, tmp_path / "out")
    found = read(tmp_path / "out")
    assert report.commit_id is not None
    assert sum(map(len, found.values())) > 1000
    for name, entries in found.items():
        for key, value in entries.items():
            assert any(
                value == state[n].get(key)
                for state in past
                for n in state
                if name in (n, LOST_AND_FOUND)
            )


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no database" * 5000)
    (tmp_path / "nothing").touch()
    for name in ("text", "nothing"):
        with pytest.raises(cowtree.FormatError):
            salvage(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(path: Path, tmp_path: Path) -> None:
    model, _ = make(path)
    assert ok("salvage", path, tmp_path / "out").lines[-1].startswith("commit 9: ")
    assert "exists already" in fails("salvage", path, tmp_path / "out")
    pages = path.stat().st_size // PAGE
    rng = random.Random(3)
    for page in rng.sample(range(3, pages), 10):
        damage(path, page)
    told = no("salvage", path, tmp_path / "out2").lines
    assert any(line.startswith("page ") and " lost, " in line for line in told)
    members = no("salvage", path, tmp_path / "out3", "--json").objects[0]
    assert len(members["losses"]) == sum(line.startswith("page ") for line in told)
    assert members["entries"] <= sum(map(len, model.values()))


@pytest.mark.parametrize("offset", [136, 224, 256])
def test_a_commit_page_that_leads_beyond_any_file_is_survived(tmp_path: Path, offset: int) -> None:
    """Its checksum is right; its range, default tree or catalogue is at a page that no file has."""
    path, target = tmp_path / "damaged.cow", tmp_path / "rescued.cow"
    with cowtree.open(path) as db:
        db.update({b"%04d" % i: bytes(100) for i in range(500)})
        db.tree("n")[b"k"] = b"v"
        page = db.stats().page_size
    data = bytearray(path.read_bytes())
    commits = [
        at for at in range(2 * page, len(data), page) if data[at + 32 : at + 40] == b"cow-cmt1"
    ]
    at = commits[-1]
    data[at + offset : at + offset + 8] = b"\xff" * 8
    generation = int.from_bytes(data[72:80], "little")
    data[at : at + 8] = checksum(bytes(data[at + 8 : at + page]), generation).to_bytes(8, "little")
    path.write_bytes(data)
    assert not salvage(path, target).whole or offset == 136
    with cowtree.open(target, readonly=True) as db:
        assert db.check().ok
