"""A page map says of each page what it is and who needs it; `cowtree map` makes one self-contained page of that."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import fails, ok, run
from model import pattern

import cowtree
from cowtree.cli.picture import page_map_html
from cowtree.page_map import PageMap, page_map

PAGE = 4096
LEAF, BRANCH, RUN = 3, 4, 5  # FORMAT §2.0


@pytest.fixture
def varied(path: Path) -> Path:
    """Every kind of page, several trees, two tags, garbage that a rolled back savepoint left."""
    with cowtree.open(path, sync=False, write_memory=1 << 16) as db:
        db.update((b"%05d" % i, pattern(i, 60)) for i in range(3000))
        db.tag("early")
        with db.transaction() as txn:
            txn.tree("large")[b"one"] = pattern(1, 100_000)
            with txn.savepoint() as savepoint:
                txn.update((b"%05d" % i, pattern(i, 90)) for i in range(2000))
                savepoint.rollback()
        for i in range(40):
            db[b"%05d" % (i * 71)] = b"changed"
        db.tree("wide").update((b"%05d" % i, pattern(i, 1500)) for i in range(1400))
        db.tree("wide").update((b"%05d" % i, pattern(i, 1400)) for i in range(0, 1400, 4))
        db.tag("late")
        db.delete_range(b"00500", b"02500")
    return path


def headers(path: Path, found: PageMap) -> list[int]:
    """The kinds of the pages that are no inner pages of runs, from the bytes."""
    content = path.read_bytes()
    return [content[number * PAGE + 24] for number in range(len(found.kinds))]


def test_kinds_are_those_of_the_bytes(varied: Path) -> None:
    with cowtree.open(varied, readonly=True) as db:
        found = page_map(db)
        actual = headers(varied, found)
        number = 0
        while number < len(found.kinds):
            if number != 1:
                assert found.kinds[number] == actual[number], number
            size = 1
            if found.kinds[number] == RUN:
                header = varied.read_bytes()[number * PAGE : number * PAGE + 64]
                size = int.from_bytes(header[32:40], "little")
                assert set(found.kinds[number : number + size]) == {RUN}
            number += size
        assert set(found.kinds) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("at", [0, 1, "early", "late", None])
def test_what_a_commit_needs_is_what_it_accounts_for(varied: Path, at: Any) -> None:
    with cowtree.open(varied, readonly=True) as db:
        found = page_map(db, at)
        with db.snapshot(at) as snapshot:
            entries = sum(len(snapshot.tree(name)) for name in (None, *snapshot.trees()))
        assert sum(tree["entries"] for tree in found.trees[1:]) == entries
        if at is None:
            stats = db.stats(deep=True)
            assert sum(mark & 1 for mark in found.marks) * PAGE == stats.live_bytes
            owned = [kind for kind, owner in zip(found.kinds, found.owners, strict=True) if owner]
            assert owned.count(RUN) == stats.run_pages
            assert (
                abs(owned.count(LEAF) + owned.count(BRANCH) - stats.leaf_pages - stats.branch_pages)
                <= 1
            )
        for i, tree in enumerate(found.trees):
            assert found.owners.count(i + 1) == tree["pages"]


def test_two_commits_share_what_neither_changed(varied: Path) -> None:
    with cowtree.open(varied, readonly=True) as db:
        found = page_map(db, "late", "early")
        alone = page_map(db, "late"), page_map(db, "early")
        for mark, late, early in zip(found.marks, *(one.marks for one in alone), strict=True):
            assert mark == late | early << 1
        assert found.marks.count(3) > 10 and found.marks.count(1) > 20 and found.marks.count(2) > 20


def test_records_tile_the_file(varied: Path) -> None:
    with cowtree.open(varied, readonly=True) as db:
        found = page_map(db)
        page = 2
        for first, count, *_ in found.records:
            assert first == page
            page += count
        assert page == len(found.kinds)
        assert {commit_id for _, _, commit_id, _, _ in found.records} == set(
            range(db.commit_id + 1)
        )


def test_a_damaged_page_is_named(varied: Path) -> None:
    with cowtree.open(varied, readonly=True) as db:
        found = page_map(db)
        damaged = max(n for n, owner in enumerate(found.owners) if owner and found.kinds[n] == LEAF)
    with open(varied, "r+b") as file:
        file.seek(damaged * PAGE + 2000)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    with cowtree.open(varied, readonly=True) as db:
        with pytest.raises(cowtree.CorruptionError) as caught:
            page_map(db)
        assert caught.value.page == damaged
    assert str(damaged) in run("map", varied).err


def data_of(html: str) -> dict[str, Any]:
    text = re.search(r'type="application/json">(.*?)</script>', html)
    assert text is not None
    data: dict[str, Any] = json.loads(text[1])
    return data


def test_the_page_holds_the_map_and_needs_nothing_else(varied: Path) -> None:
    html = ok("map", varied, "--with", "early").text
    data = data_of(html)
    with cowtree.open(varied, readonly=True) as db:
        found = page_map(db, None, "early")
        what = zlib.decompress(base64.b64decode(data["what"]))
        assert [byte & 7 for byte in what] == list(found.kinds)
        assert [byte >> 6 for byte in what] == list(found.marks)
        assert zlib.decompress(base64.b64decode(data["owners"])) == bytes(found.owners)
        assert (data["first"], data["second"]) == (db.commit_id, db.tags()["early"])
    assert sum(pages for _, pages in data["space"]) == data["pages"] == len(what)
    assert not re.search(r"""(src|href)=|url\(|import\b.*from|https?:""", html)


def test_names_cannot_end_the_script(path: Path, tmp_path: Path) -> None:
    with cowtree.open(path) as db:
        db.tree("</script><b>")[b"k"] = b"v"
        html = page_map_html(db, db.snapshot())
    assert html.count("</script>") == 2
    assert [tree["name"] for tree in data_of(html)["trees"]] == [
        "the catalogue",
        None,
        "</script><b>",
    ]
    ok("map", path, "-o", tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    assert "exists" in fails("map", path, "-o", tmp_path / "out.html")


def test_an_empty_database_has_a_map(path: Path) -> None:
    with cowtree.open(path):
        pass
    data = data_of(ok("map", path).text)
    assert data["pages"] == 3 and data["entries"] == 0
