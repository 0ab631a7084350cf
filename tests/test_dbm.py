"""`shelve.Shelf` over a database, and `cowtree.dbm`: CPython's own tests of both, and more."""

from __future__ import annotations

import dbm
import io
import os
import shelve
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cowtree
import cowtree.dbm

try:
    from test import mapping_tests, test_dbm, test_shelve  # type: ignore[attr-defined]
except ImportError:
    mapping_tests = None
needs_tests_of_python = pytest.mark.skipif(
    mapping_tests is None, reason="this Python comes without its own tests"
)


def run(cases: type[unittest.TestCase]) -> None:
    """Run CPython's tests of a class; all of them pass, and there are some."""
    output = io.StringIO()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(cases)
    result = unittest.TextTestRunner(output, verbosity=0).run(suite)
    assert result.wasSuccessful(), output.getvalue()
    assert result.testsRun > len(result.skipped)


def shelf_tests(make: Callable[[], Any]) -> type[unittest.TestCase]:
    """CPython's tests of a mapping, for shelves that `make` gives."""

    class Shelves(mapping_tests.BasicTestMappingProtocol):  # type: ignore[misc,name-defined]
        type2test = shelve.Shelf

        def _reference(self) -> dict[str, Any]:
            return {"key1": "value1", "key2": 2, "key3": (1, 2, 3)}

        def _empty_mapping(self) -> Any:
            shelf = make()
            self.addCleanup(shelf.close)
            return shelf

    return Shelves


@needs_tests_of_python
@pytest.mark.parametrize("options", [{}, {"protocol": 0}, {"writeback": True}])
def test_tests_of_mappings_pass_on_a_shelf(tmp_path: Path, options: dict[str, Any]) -> None:
    count = iter(range(10**6))

    def in_file() -> Any:
        database = cowtree.open(tmp_path / f"{next(count)}.cow", sync=False)
        return shelve.Shelf(database, **options)

    run(shelf_tests(in_file))
    run(shelf_tests(lambda: shelve.Shelf(cowtree.open(":memory:"), **options)))


@needs_tests_of_python
def test_tests_of_shelve_pass_on_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A tree, as the tests look at what a shelf left after it was closed.
    monkeypatch.setattr(test_shelve, "byteskeydict", lambda: cowtree.open(":memory:").tree("shelf"))
    monkeypatch.setattr(
        shelve,
        "open",
        lambda filename, flag="c", protocol=None, writeback=False: shelve.Shelf(
            cowtree.dbm.open(filename, flag), protocol, writeback
        ),
    )
    run(test_shelve.TestCase)


@needs_tests_of_python
def test_tests_of_dbm_pass_on_this_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dbm, "_defaultmod", cowtree.dbm)
    monkeypatch.setattr(dbm, "_modules", {"cowtree.dbm": cowtree.dbm})
    monkeypatch.setattr(dbm, "error", (dbm.error[0], cowtree.dbm.error))
    kind = {True: "cowtree.dbm", False: None}
    monkeypatch.setattr(dbm, "whichdb", lambda path: kind[os.path.exists(path)])

    class Tests(test_dbm.AnyDBMTestCase, unittest.TestCase):  # type: ignore[misc,name-defined]
        module = cowtree.dbm

    run(Tests)


def test_shelf_keeps_its_objects(path: Path) -> None:
    with shelve.Shelf(cowtree.open(path)) as shelf:
        shelf["a"] = {"list": [1, 2]}
    with shelve.Shelf(cowtree.open(path), writeback=True) as shelf:
        shelf["a"]["list"].append(3)
    with cowtree.open(path) as db:
        assert shelve.Shelf(db)["a"] == {"list": [1, 2, 3]}


def test_keys_and_values_are_text_or_bytes_and_come_out_as_bytes(path: Path) -> None:
    with cowtree.dbm.open(path, "c") as db:
        db["a"] = "ä"
        db[b"b"] = b"\xff"
        assert db[b"a"] == db["a"] == "ä".encode() and db["b"] == b"\xff"
        assert db.keys() == [b"a", b"b"] and list(db.items())[1] == (b"b", b"\xff")
        assert "a" in db and b"c" not in db and len(db) == 2
        assert db.get("c") is None and db.get("c", 5) == 5 and db.get("a") == "ä".encode()
        assert db.setdefault("c") == b"" and db.setdefault("d", "x") == db["d"] == b"x"
        assert db.pop("d") == b"x" and db.pop("d", None) is None
        for use in (lambda: db["z"], lambda: db.pop("z"), lambda: db.__delitem__("z")):
            with pytest.raises(KeyError):
                use()
        for wrong in (5, None, [b"a"]):
            with pytest.raises(TypeError, match="str or bytes"):
                db["a"] = wrong  # type: ignore[assignment]
            with pytest.raises(TypeError):
                db.__contains__(wrong)
        db.update({"e": "1"}, f=b"2")
        del db["e"]
        assert db.keys() == [b"a", b"b", b"c", b"f"]


def test_first_and_next_keys_walk_in_order(path: Path) -> None:
    with cowtree.dbm.open(path, "cf") as db:
        assert db.firstkey() is None and db.nextkey("a") is None
        db.update({"b": "", "a": "", "c": ""})
        walked = []
        key = db.firstkey()
        while key is not None:
            walked.append(key)
            key = db.nextkey(key)
        assert walked == [b"a", b"b", b"c"] and db.nextkey("aa") == b"b"
        db.sync()
        db.reorganize()
        assert db.keys() == walked


def test_flags(path: Path) -> None:
    for flag in ("r", "w"):
        with pytest.raises(cowtree.dbm.error) as caught:
            cowtree.dbm.open(path, flag)
        assert isinstance(caught.value.__cause__, FileNotFoundError) and not path.exists()
    with cowtree.dbm.open(path, "n", 0o600) as db:
        db["a"] = "1"
    assert path.stat().st_mode & 0o777 == 0o600
    with cowtree.dbm.open(os.fsencode(path)) as db:
        assert db["a"] == b"1"
        with pytest.raises(cowtree.dbm.error):
            db["a"] = "2"
    with cowtree.dbm.open(path, "w") as db:
        db["a"] = "2"
    with cowtree.dbm.open(path, "c") as db:
        assert db["a"] == b"2"
    with cowtree.dbm.open(path, "n") as db:
        assert not db and db.database.commit_id == 3
    for wrong in ("", "x", "rx", "cff", "R"):
        with pytest.raises(ValueError, match="flag"):
            cowtree.dbm.open(path, wrong)
    with pytest.raises(TypeError):
        cowtree.dbm.open(path, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("flag", ["r", "w", "c", "n"])
def test_a_file_of_something_else_is_an_error_and_stays(path: Path, flag: str) -> None:
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(cowtree.dbm.error):
        cowtree.dbm.open(path, flag)
    assert path.read_bytes() == b"something else" * 1000


def test_closed_is_an_error_in_every_method(path: Path) -> None:
    db = cowtree.dbm.open(path, "c")
    db["a"] = "1"
    iterator = iter(db)
    next(iterator)
    db.close()
    db.close()
    for use in (
        lambda: db["a"],
        lambda: db.__setitem__("a", "2"),
        lambda: "a" in db,
        lambda: len(db),
        lambda: db.keys(),
        lambda: db.firstkey(),
        lambda: db.get("a"),
        lambda: db.sync(),
    ):
        with pytest.raises(cowtree.dbm.error):
            use()
    assert issubclass(cowtree.dbm.error, OSError) and cowtree.dbm.library == "cowtree.dbm"
