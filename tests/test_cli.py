"""The command line: every command, every notation, statuses, and errors in one line."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cowtree
from cowtree.cli import main
from cowtree.codecs import Float, Int, Json, MsgPack, Pickle, Text, Tuple

COMMANDS = (
    *("info", "get", "put", "del", "scan", "count", "load", "dump"),
    *("check", "backup", "history", "tag", "diff"),
)


class Result(NamedTuple):
    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, with bytes in and out."""

    def run(*words: object, stdin: bytes = b"") -> Result:
        out, err = io.BytesIO(), io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
            patch.setattr(sys, "stderr", io.TextIOWrapper(err, write_through=True))
            status = main([str(word) for word in words])
            sys.stdout.flush()
            sys.stderr.flush()
            return Result(status, out.getvalue(), err.getvalue().decode())

    return run


def failed(result: Result, *told: str) -> bool:
    """Status 2, nothing written, one line that tells."""
    assert result.status == 2 and result.out == b"", result
    assert result.err.startswith("cowtree: ") and result.err.count("\n") == 1, result.err
    assert "Traceback" not in result.err
    for part in told:
        assert part in result.err, result.err
    return True


def test_put_get_del(run: Run, path: Path) -> None:
    assert run("put", path, "ada", "1815") == Result(0, b"", "")
    assert run("put", path, "bin", stdin=b"\0\xff\n") == Result(0, b"", "")
    assert run("put", path, "dash", "-", stdin=b"from stdin") == Result(0, b"", "")
    assert run("get", path, "ada") == Result(0, b"1815", "")
    assert run("get", path, "bin").out == b"\0\xff\n", (
        "to a pipe the value's bytes and nothing else"
    )
    assert run("get", path, "bin", "--json").objects == [{"key": "bin", "value_base64": "AP8K"}]
    assert run("put", path, "ada", "no", "--no-overwrite").status == 1
    assert run("put", path, "--tree", "t", "k", "v").status == 0
    assert run("get", path, "k", "--tree", "t").out == b"v" and run("get", path, "k").status == 1
    assert run("put", path, "--", "-k", "-v").status == 0
    assert run("get", path, "--", "-k").out == b"-v"
    missing = run("get", path, "nobody")
    assert missing.status == 1 and missing.out == b"" and "no such key" in missing.err
    assert run("del", path, "ada").status == 0 and run("del", path, "ada").status == 1
    assert run("get", path, "ada", "--at", 1).out == b"1815"
    with cowtree.open(path) as db:
        assert dict(db) == {b"bin": b"\0\xff\n", b"dash": b"from stdin", b"-k": b"-v"}


@pytest.mark.parametrize(
    ("notation", "written", "stored"),
    [
        ("text", "ä", "ä".encode()),
        ("hex", "00ff", b"\0\xff"),
        ("base64", "AP8=", b"\0\xff"),
        ("tuple", '["a",5]', Tuple.encode(("a", 5))),
    ],
)
def test_notations_of_keys(
    run: Run, path: Path, notation: str, written: str, stored: bytes
) -> None:
    assert run("put", path, written, "v", "--key-as", notation).status == 0
    with cowtree.open(path) as db:
        assert list(db) == [stored]
    assert run("get", path, written, "--key-as", notation).out == b"v"
    assert run("scan", path, "--key-as", notation).lines == [f"{written}\tv"]
    assert run("count", path, "--start", written, "--key-as", notation).out == b"1\n"
    assert run("del", path, written, "--key-as", notation).status == 0


@pytest.mark.parametrize(
    ("notation", "written", "stored"),
    [
        ("hex", "00FF", b"\0\xff"),
        ("base64", "AP8=", b"\0\xff"),
        ("json", '{"a": [1, null]}', b'{"a":[1,null]}'),
        ("msgpack", '{"a":[1,null]}', MsgPack.encode({"a": [1, None]})),
        ("tuple", '["a",5]', Tuple.encode(("a", 5))),
    ],
)
def test_notations_of_values(
    run: Run, path: Path, notation: str, written: str, stored: bytes
) -> None:
    assert run("put", path, "k", written, "--value-as", notation).status == 0
    assert run("get", path, "k").out == stored
    shown = run("get", path, "k", "--value-as", notation).lines
    assert shown[0].lower().replace(" ", "") == written.lower().replace(" ", "")


def test_typed_trees_are_shown_by_their_codecs(run: Run, path: Path) -> None:
    with cowtree.open(path) as db:
        db.tree("n", key=Int, value=Float)[-5] = 0.5
        db.tree("s", key=Tuple, value=MsgPack)["a", 1] = {"x": [1, None]}
        db.tree("j", key=Text, value=Json)["k"] = {"ä": 1}
        db.tree("p", key=Text, value=Pickle)["k"] = {"never": "loaded"}
    assert run("scan", path, "--tree", "n").lines == ["-5\t0.5"]
    assert run("get", path, "-5", "--tree", "n").status == 0
    assert run("scan", path, "--tree", "s").lines == ['["a",1]\t{"x":[1,null]}']
    assert run("scan", path, "--tree", "s", "--prefix", '["a"]', "--keys-only").lines == ['["a",1]']
    assert run("get", path, '["a",1]', "--tree", "s", "--json").objects[0]["value_object"] == {
        "x": [1, None]
    }
    assert run("scan", path, "--tree", "j").lines == ['k\t{"ä":1}']
    raw = run("scan", path, "--tree", "p").lines[0]
    assert "\\x80" in raw, "pickles are not loaded: that runs code"
    assert run("put", path, "--tree", "n", "7", "1.25").status == 0
    assert run("put", path, "--tree", "s", '["b"]', '{"y":2}').status == 0
    with cowtree.open(path) as db:
        assert dict(db.tree("n", key=Int, value=Float)) == {-5: 0.5, 7: 1.25}
        assert db.tree("s", key=Tuple, value=MsgPack)[("b",)] == {"y": 2}
    assert failed(run("put", path, "--tree", "n", "seven", "1"))
    assert failed(run("get", path, "x", "--tree", "s"))


def test_scan_and_count(run: Run, path: Path) -> None:
    with cowtree.open(path) as db:
        db.update({b"%02d" % i: b"v%d" % i for i in range(20)})
        db[b"tab\tnew\nline"] = b"\xff\\"
    assert len(run("scan", path).lines) == 21
    assert run("scan", path, "--limit", 2).lines == ["00\tv0", "01\tv1"]
    assert run("scan", path, "--reverse", "--limit", 2, "--start", "05", "--stop", "08").lines == [
        "07\tv7",
        "06\tv6",
    ]
    assert run("scan", path, "--prefix", "1", "--keys-only").lines == [
        str(i) for i in range(10, 20)
    ]
    assert run("scan", path, "--prefix", "19", "--values-only").lines == ["v19"]
    assert run("scan", path, "--prefix", "tab").lines == ["tab\\tnew\\nline\t\\xff\\\\"]
    assert run("scan", path, "--prefix", "tab", "--json").objects == [
        {"key": "tab\tnew\nline", "value_base64": base64.b64encode(b"\xff\\").decode()}
    ]
    assert run("count", path).out == b"21\n"
    assert run("count", path, "--prefix", "1", "--json").objects == [{"count": 10}]
    assert failed(run("scan", path, "--keys-only", "--values-only"), "choose one")
    no_tree = run("scan", path, "--tree", "nothing")
    assert no_tree.status == 1 and "no tree" in no_tree.err


def test_history_tags_and_diff(run: Run, path: Path) -> None:
    with cowtree.open(path) as db:
        for i in range(1, 4):
            with db.transaction(note=b"note %d" % i) as txn:
                txn[b"k"] = b"%d" % i
                txn.tree("t")[b"%d" % i] = b"x"
        time = db.snapshot(2).time.isoformat()
    assert [o["id"] for o in run("history", path, "--json").objects] == [3, 2, 1]
    forward = run("history", path, "--json", "--forward", "--limit", 2).objects
    assert [o["note"] for o in forward] == ["note 1", "note 2"]
    assert datetime.fromisoformat(forward[1]["time"]).isoformat() == time
    assert run("history", path).lines[0].startswith("3\t")
    assert run("tag", path, "second", 2).status == 0 and run("tag", path, "newest").status == 0
    assert run("tag", path).lines == ["newest\t3", "second\t2"]
    assert run("tag", path, "--json").objects[1] == {"tag": "second", "commit_id": 2}
    assert failed(run("tag", path, "second", 3), "already")
    assert run("tag", path, "second", time, "--move").status == 0
    assert run("tag", path, "--delete", "newest").status == 0
    assert run("tag", path, "--delete", "newest").status == 1
    assert failed(run("tag", path, "not a name"))
    assert failed(run("tag", path, "--delete"), "NAME")
    assert run("diff", path, "second").lines == ["~ k\t2\t3", "+ [t] 3\tx"]
    assert run("diff", path, 3, 2, "--keys-only").lines == ["~ k", "- [t] 3"]
    assert run("diff", path, 1, "--tree", "t", "--json").objects == [
        {"kind": "added", "tree": "t", "key": "2", "new": "x"},
        {"kind": "added", "tree": "t", "key": "3", "new": "x"},
    ]
    assert run("diff", path, 1).status == 1
    assert run("diff", path, 2, time) == Result(0, b"", "")
    for at in ("99", "no-tag", "2020-01-01T00:00:00+00:00"):
        assert failed(run("get", path, "k", "--at", at))
    for at in ("2026-01-01", "2026-01-01T00:00:00", "-1", "?"):
        assert failed(run("diff", path, at))


def test_info_and_check(run: Run, path: Path) -> None:
    with cowtree.open(path) as db:
        db.tree("t", key=Text, value=Json)["k"] = [1]
        db.tag("here")
    told = run("info", path)
    assert told.status == 0 and "t: 1 entries, keys text, values json" in told.out.decode()
    (info,) = run("info", path, "--json").objects
    assert info["commit_id"] == 1 and info["tags"] == {"here": 1}
    assert {"name": "t", "entries": 1, "codecs": ["text", "json"]} in info["tree_details"]
    assert run("check", path).out.startswith(b"sound: commit 1")
    data = bytearray(path.read_bytes())
    data[3 * 4096 + 100] ^= 1
    path.write_bytes(data)
    damaged = run("check", path)
    assert damaged.status == 1 and b"DAMAGED" in damaged.out
    assert run("check", path, "--json").objects[0]["ok"] is False


def test_backup(run: Run, path: Path) -> None:
    run("put", path, "k", "1")
    run("put", path, "k", "2")
    target = path.with_name("backup.cow")
    assert run("backup", path, target, "--at", 1) == Result(0, b"", "")
    assert run("get", target, "k").out == b"1"
    assert failed(run("backup", path, target), "exists already")


@given(
    st.dictionaries(st.binary(max_size=20), st.binary(max_size=40), max_size=8),
    st.dictionaries(st.binary(max_size=5), st.binary(max_size=5), min_size=1, max_size=4),
)
def test_dump_and_load_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    default: dict[bytes, bytes],
    named: dict[bytes, bytes],
) -> None:
    folder = tmp_path_factory.mktemp("round")
    with cowtree.open(folder / "a.cow", sync=False) as db:
        db.update(default)
        db.tree("tree ü").update(named)
        db.tree("typed", key=Text, value=MsgPack)["k"] = {"a": 1}
    assert main(["dump", str(folder / "a.cow"), str(folder / "dump.jsonl")]) == 0
    assert main(["load", "--json", str(folder / "b.cow"), str(folder / "dump.jsonl")]) == 0
    with cowtree.open(folder / "a.cow") as a, cowtree.open(folder / "b.cow") as b:
        assert a == b and a.trees() == b.trees()
        for name in a.trees():
            assert a.tree(name) == b.tree(name) and a.tree_codecs(name) == b.tree_codecs(name)


def test_load_of_text_and_in_batches(run: Run, path: Path) -> None:
    assert run("load", path, stdin=b"ada\t1815\ngrace\t1906\twith a tab\n").status == 0
    assert run("get", path, "grace").out == b"1906\twith a tab"
    lines = b"".join(b'{"key":"%d","value":"x"}\n' % i for i in range(10))
    assert run("load", "--json", path, "--batch", 3, "--tree", "t", stdin=lines).status == 0
    with cowtree.open(path) as db:
        assert len(db.tree("t")) == 10 and db.commit_id == 5
    before = path.read_bytes()
    assert failed(run("load", path, stdin=b"ok\t1\nno tab\n"), "line 2", "tab")
    assert failed(
        run("load", "--json", path, stdin=b'{"key":"a","value":"b"}\n{"key":1}\n'), "line 2"
    )
    with cowtree.open(path) as db:
        assert b"ok" not in db and b"a" not in db
    assert path.read_bytes()[: len(before) - 4096] == before[:-4096]
    other = path.with_name("other.cow")
    assert failed(run("load", "--json", other, stdin=b"nonsense\n"))
    assert not other.exists()


def test_reading_commands_neither_create_nor_write(run: Run, path: Path) -> None:
    for words in (
        ("get", path, "k"),
        ("scan", path),
        ("count", path),
        ("info", path),
        ("dump", path),
        ("check", path),
        ("history", path),
        ("tag", path),
        ("diff", path, "1"),
        ("backup", path, path.with_name("b")),
        ("del", path, "k"),
    ):
        assert failed(run(*words), "no such file")
    assert not path.exists()
    run("put", path, "k", "v")
    before, status = path.read_bytes(), path.stat()
    for words in (
        ("get", path, "k"),
        ("scan", path),
        ("info", path),
        ("check", path),
        ("dump", path),
    ):
        assert run(*words).status == 0
    assert path.read_bytes() == before and path.stat().st_mtime_ns == status.st_mtime_ns


def test_errors_are_one_line(run: Run, path: Path) -> None:
    assert failed(run("nonsense"))
    assert failed(run("get", path))
    assert failed(run("get", path.parent, "k"), "directory")
    text = path.with_name("text.txt")
    text.write_text("not a database")
    assert failed(run("get", text, "k"), "not a cowtree database")
    assert failed(run("put", text, "k", "v"), "not a cowtree database")
    assert text.read_text() == "not a database"
    assert failed(run("put", path.with_name("no") / "x.cow", "k", "v"), "directory")
    assert failed(run("put", path, "zz", "v", "--key-as", "hex"))
    assert not path.exists(), "what cannot be stored creates no file"
    assert failed(run("get", ":memory:", "k"), "memory")
    run("put", path, "k", "v")
    assert failed(run("put", path, "k" * 2000, "v"), "1008 bytes")
    with cowtree.open(path) as db, db.transaction():
        waiting = subprocess.run(
            [sys.executable, "-m", "cowtree", "put", path, "k", "w", "--timeout", "0"],
            capture_output=True,
            text=True,
        )
        assert waiting.returncode == 2 and "another writer" in waiting.stderr
    assert run("--version").out.decode().strip() == f"cowtree {cowtree.__version__}"
    for command in COMMANDS:
        helped = run(command, "--help")
        assert helped.status == 0 and b"example" in helped.out


def test_a_pipe_that_closes_early_is_no_error(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db.load((b"%06d" % i, b"x" * 100) for i in range(50_000))
    command = [sys.executable, "-m", "cowtree", "scan", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"000000\t" + b"x" * 100 + b"\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
