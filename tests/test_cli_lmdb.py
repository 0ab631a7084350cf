"""The command line: databases from LMDB and to it, and the text that its tools and Berkeley DB's exchange."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import contents, fails, ok

import cowtree
from cowtree.codecs import Tuple

lmdb = pytest.importorskip("lmdb", reason="the package lmdb is not here")

Model = dict[str | None, dict[bytes, bytes]]

MODEL: Model = {
    None: {b"plain": b"v\x00\xff\\ \n", b"like a record": b"x" * 48, b"a\tb": b""},
    "named": {b"%05d" % i: b"value %d" % i for i in range(3000)},
    "größe": {b"\x00": b"\x80", b"\xff" * 511: b"y" * 9000},
    "empty": {},
}


def make_environment(path: Path, model: Model, **options: Any) -> None:
    with lmdb.open(str(path), max_dbs=len(model), map_size=1 << 26, **options) as environment:
        for name, entries in model.items():
            handle = None if name is None else environment.open_db(name.encode())
            with environment.begin(write=True, db=handle) as txn:
                for key, value in entries.items():
                    txn.put(key, value)


def environment_contents(path: Path, names: list[str]) -> Model:
    found: Model = {}
    with lmdb.open(str(path), max_dbs=len(names) + 1, readonly=True) as environment:
        for name in names:
            handle = environment.open_db(name.encode(), create=False)
            with environment.begin(db=handle) as txn:
                found[name] = dict(txn.cursor())
        with environment.begin() as txn:
            found[None] = {k: v for k, v in txn.cursor() if k not in {n.encode() for n in names}}
    return found


@pytest.mark.parametrize("subdir", [True, False], ids=["folder", "file"])
@pytest.mark.parametrize("batch", [None, 100])
def test_import_takes_every_database(tmp_path: Path, subdir: bool, batch: int | None) -> None:
    source, path = tmp_path / "source", tmp_path / "copy.cow"
    make_environment(source, MODEL, subdir=subdir)
    before = sorted(os.listdir(tmp_path))
    ok("import-lmdb", source, path, *([] if batch is None else ["--batch", batch]))
    assert contents(path) == MODEL
    with cowtree.open(path) as db:
        assert db.check().ok
        assert db.commit_id == (1 if batch is None else db.commit_id)
    assert sorted({*os.listdir(tmp_path)} - {*before}) == ["copy.cow"]


def test_import_makes_tuples_of_duplicates(tmp_path: Path) -> None:
    source, path = tmp_path / "source", tmp_path / "copy.cow"
    with lmdb.open(str(source), max_dbs=2) as environment:
        several = environment.open_db(b"several", dupsort=True)
        integers = environment.open_db(b"integers", integerkey=True)
        with environment.begin(write=True) as txn:
            for key in (b"a", b"b\x00"):
                for value in (b"1", b"2", b"\x00"):
                    txn.put(key, value, db=several)
            for number in (1, 256, 2):
                txn.put(number.to_bytes(8, "little"), b"%d" % number, db=integers)
    ok("import-lmdb", source, path)
    with cowtree.open(path) as db:
        tree = db.tree("several", key=Tuple)
        assert list(tree.keys()) == [
            (key, value) for key in (b"a", b"b\x00") for value in (b"\x00", b"1", b"2")
        ]
        assert list(tree.keys(prefix=(b"a",))) == [(b"a", b"\x00"), (b"a", b"1"), (b"a", b"2")]
        assert dict(db.tree("integers")) == {
            number.to_bytes(8, "little"): b"%d" % number for number in (1, 2, 256)
        }


def test_import_adds_to_what_is_there(tmp_path: Path) -> None:
    source, path = tmp_path / "source", tmp_path / "copy.cow"
    make_environment(source, {None: {b"a": b"new"}, "t": {b"b": b"2"}})
    with cowtree.open(path) as db:
        db.update({b"a": b"old", b"z": b"kept"})
    ok("import-lmdb", source, path)
    assert contents(path) == {None: {b"a": b"new", b"z": b"kept"}, "t": {b"b": b"2"}}


def test_what_is_no_environment_creates_nothing(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no database" * 1000)
    (tmp_path / "folder").mkdir()
    for source in ("absent", "folder"):
        assert "there is no LMDB environment" in fails(
            "import-lmdb", tmp_path / source, tmp_path / "x.cow"
        )
    assert "LMDB cannot open it" in fails("import-lmdb", tmp_path / "text", tmp_path / "x.cow")
    assert not (tmp_path / "x.cow").exists()


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    for command in ("import-lmdb", "export-lmdb"):
        assert "pip install lmdb" in fails(command, tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == []


def test_a_name_that_no_tree_can_have_is_told(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "source"), max_dbs=1) as environment:
        environment.open_db(b"\xff")
    message = fails("import-lmdb", tmp_path / "source", tmp_path / "x.cow")
    assert r"b'\xff'" in message and "not UTF-8" in message
    assert contents(tmp_path / "x.cow") == {None: {}}


def test_export_writes_every_tree(tmp_path: Path) -> None:
    path, target = tmp_path / "first.cow", tmp_path / "target"
    with cowtree.open(path) as db:
        for name, entries in MODEL.items():
            db.tree(name).update(entries)
        with db.transaction() as txn:
            txn.tree("typed", key=Tuple)[(1,)] = b"1"
            txn.tag("then")
        db.clear()
    ok("export-lmdb", path, target, "--at", "then")
    names = sorted(name for name in [*MODEL, "typed"] if name is not None and name != "empty")
    assert environment_contents(target, names) == {
        **{name: entries for name, entries in MODEL.items() if name != "empty"},
        "typed": {Tuple.encode((1,)): b"1"},
    }
    back = tmp_path / "back.cow"
    ok("import-lmdb", target, back)
    assert contents(back)["named"] == MODEL["named"]
    assert "exists already" in fails("export-lmdb", path, target)


@pytest.mark.parametrize(
    ("tree", "key", "says"),
    [
        (None, b"k" * 512, "the default tree has a key of 512 bytes"),
        ("t", b"", "the tree 't' has a key of 0 bytes"),
        (None, b"t", "has the key 't', which is to name a database"),
    ],
)
def test_what_lmdb_cannot_hold_leaves_nothing_behind(
    tmp_path: Path, tree: str | None, key: bytes, says: str
) -> None:
    path = tmp_path / "first.cow"
    with cowtree.open(path) as db:
        db.tree("t")[b"a"] = b"1"
        db.tree(tree)[key] = b"1"
    assert says in fails("export-lmdb", path, tmp_path / "target")
    assert os.listdir(tmp_path) == ["first.cow"]


def test_an_export_larger_than_its_map_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = tmp_path / "first.cow", tmp_path / "target"
    opened: list[int] = []
    real = lmdb.open

    def small(name: str, *, map_size: int, **options: Any) -> Any:
        opened.append(map_size)
        return real(name, map_size=map_size // 1000, **options)

    with cowtree.open(path, sync=False) as db:
        db.load((b"%06d" % i, b"v" * 100) for i in range(5000))
    monkeypatch.setattr(lmdb, "open", small)
    ok("export-lmdb", path, target)
    assert len(opened) > 1
    monkeypatch.undo()
    assert len(environment_contents(target, [])[None]) == 5000


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here (lmdb-utils, db-util)")
    return found


@pytest.mark.parametrize("printed", [[], ["-p"]], ids=["bytevalue", "print"])
def test_what_mdb_dump_writes_is_loaded(tmp_path: Path, printed: list[str]) -> None:
    dump = tool("mdb_dump")
    source, path = tmp_path / "source", tmp_path / "copy.cow"
    make_environment(source, {name: entries for name, entries in MODEL.items() if name})
    with lmdb.open(str(source), max_dbs=5) as environment:
        several = environment.open_db(b"several", dupsort=True)
        with environment.begin(write=True, db=several) as txn:
            txn.put(b"a", b"1")
            txn.put(b"a", b"2")
    text = subprocess.run([dump, "-a", *printed, source], check=True, capture_output=True).stdout
    ok("load", path, "--format", "mdb-dump", stdin=text)
    found = contents(path)
    assert list(found.pop("several")) == [Tuple.encode((b"a", b"1")), Tuple.encode((b"a", b"2"))]
    assert found == {**MODEL, None: {}}


def test_what_is_dumped_mdb_load_loads(tmp_path: Path) -> None:
    load = tool("mdb_load")
    path, target = tmp_path / "first.cow", tmp_path / "target"
    target.mkdir()
    entries = {b"%06d" % i: b"v" * 100 for i in range(50_000)}
    with cowtree.open(path, sync=False) as db:
        db.load(entries)
        db.tree("t").update(MODEL["größe"])
    text = ok("dump", path, "--format", "mdb-dump").out
    subprocess.run([load, target], input=text, check=True)
    assert environment_contents(target, ["t"]) == {None: entries, "t": MODEL["größe"]}


def test_what_is_dumped_db_load_loads_and_what_db_dump_writes_is_loaded(tmp_path: Path) -> None:
    load, dump = tool("db_load"), tool("db_dump")
    path, other = tmp_path / "first.cow", tmp_path / "other.db"
    with cowtree.open(path) as db:
        db.tree("one").update({k: v for k, v in MODEL["größe"].items() if v})
        db.tree("two").update(MODEL["named"])
    subprocess.run([load, other], input=ok("dump", path, "--format", "db-dump").out, check=True)
    text = subprocess.run([dump, "-p", other], check=True, capture_output=True).stdout
    ok("load", tmp_path / "back.cow", "--format", "db-dump", stdin=text)
    assert contents(tmp_path / "back.cow") == contents(path)
