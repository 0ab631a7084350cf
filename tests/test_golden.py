"""Files written by earlier releases stay readable for ever: one file of each format version, and what is in it.

`python tests/test_golden.py` writes the file anew; do that only for a format version that has none yet.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cowtree

GOLDEN = Path(__file__).resolve().parent / "golden" / "format1.cow"


def default_entries() -> dict[bytes, bytes]:
    entries = {b"user/%05d" % i: b"%d," % i * (i % 30) for i in range(600) if i % 3}
    entries |= {b"": b"the empty key", b"empty value": b"", b"k" * 1008: b"the longest key"}
    entries[b"large"] = bytes(range(256)) * 100
    return entries


def city_entries() -> dict[bytes, bytes]:
    return {b"london": b"GB", b"paris": b"FR", b"\xff\xff": b"high"}


def write(path: Path) -> None:
    with cowtree.open(path) as db:
        db.update({b"user/%05d" % i: b"%d," % i * (i % 30) for i in range(600)})
        with db.transaction(note=b"the second commit") as txn:
            for i in range(0, 600, 3):
                del txn[b"user/%05d" % i]
            txn.update(default_entries())
            txn.tree("cities").update(city_entries())
            txn.tree("emptied")[b"k"] = b"v"
            del txn.tree("emptied")[b"k"]


def test_format_1_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "golden.cow"
    shutil.copy(GOLDEN, path)
    with cowtree.open(path, readonly=True) as db:
        assert dict(db) == default_entries()
        assert db.trees() == ["cities", "emptied"]
        assert dict(db.tree("cities")) == city_entries()
        assert dict(db.tree("emptied")) == {}
        assert db.commit_id == 2
        assert db.check().ok
    assert path.read_bytes() == GOLDEN.read_bytes()


def test_format_1_can_be_written_on(tmp_path: Path) -> None:
    path = tmp_path / "golden.cow"
    shutil.copy(GOLDEN, path)
    with cowtree.open(path) as db:
        db[b"new"] = b"entry"
        assert db.commit_id == 3
    with cowtree.open(path) as db:
        assert dict(db) == default_entries() | {b"new": b"entry"}
        assert db.check().ok


if __name__ == "__main__":
    write(GOLDEN)
