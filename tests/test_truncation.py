"""Another program cuts the file under its mapping: every call ends in an exception, and the process lives.

Each case runs in a child, which a SIGBUS would kill. What was read before the cut has been verified and is read again,
or has never been looked at; the file keeps nothing or its first pages.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cowtree

KEYS = 3000
PRELUDE = """
import gc, os, sys, threading
import cowtree
path, warm, size = sys.argv[1], sys.argv[2] == "warm", int(sys.argv[3])
PROMISED = (cowtree.Error, OSError)

def cut():
    os.truncate(path, size)

def outcome(call):
    # The name of what a call raises; what is no error is the caller's to judge.
    try:
        call()
    except PROMISED as error:
        os.write(1, b"raised %s\\n" % type(error).__name__.encode())
    else:
        os.write(1, b"answered\\n")

def drain(iterator):
    for _ in iterator:
        pass

db = cowtree.open(path, sync=False)
keys = [b"%06d" % (i * 7) for i in range(3000)]
if warm:
    drain(db.items())
    db.get_many(keys)
    drain(db.diff(1))
    assert db.check().ok
"""

CASES = {
    "get": "cut(); outcome(lambda: [db[key] for key in keys])",
    "get_many": "cut(); outcome(lambda: db.get_many(keys))",
    "get_many of a snapshot": "s = db.snapshot(); cut(); outcome(lambda: s.get_many(keys[::-1]))",
    "scan": "cut(); outcome(lambda: drain(db.items()))",
    "inside a scan": "i = iter(db.items()); [next(i) for _ in range(99)]; cut(); outcome(lambda: drain(i))",
    "inside a backward scan": """
i = iter(db.values(reverse=True)); [next(i) for _ in range(9)]
cut(); outcome(lambda: drain(i))
""",
    "cursor": """
c = db.cursor(); c.seek(keys[5]); cut()
def walk():
    while c.next():
        c.item
outcome(walk)
""",
    "cursor of a snapshot, backwards": """
c = db.snapshot().cursor(); c.last(); cut()
def walk():
    while c.prev():
        c.value
outcome(walk)
""",
    "nth and rank": "cut(); outcome(lambda: [(db.nth(i), db.rank(keys[i])) for i in range(3000)])",
    "split": "cut(); outcome(lambda: (db.split(2000), drain(db.items())))",
    "large value": "cut(); outcome(lambda: (db.tree('large')[b'1'], db.tree('large')[b'0']))",
    "buffer": "cut(); outcome(lambda: (db.tree('large').buffer(b'1'), db.tree('large').buffer(b'0')))",
    "named tree": "cut(); outcome(lambda: drain(db.tree('t').items()))",
    "diff": "cut(); outcome(lambda: drain(db.diff(1)))",
    "inside a diff": "i = iter(db.diff(0)); [next(i) for _ in range(50)]; cut(); outcome(lambda: drain(i))",
    "history": "cut(); outcome(lambda: (drain(db.history()), drain(db.snapshot(1).items())))",
    "an old snapshot": "s = db.snapshot(1); cut(); outcome(lambda: drain(s.items()))",
    "check": """
cut()
def look():
    report = db.check()
    if not report.ok:
        raise cowtree.CorruptionError("reported")
outcome(look)
""",
    "deep stats": "cut(); outcome(lambda: (db.stats(deep=True), drain(db.items())))",
    "backup": "cut(); outcome(lambda: db.backup(path + '-backup'))",
    "compact": "cut(); outcome(db.compact)",
    "compact while readers look": "s = db.snapshot(); cut(); outcome(db.compact); outcome(lambda: drain(s.items()))",
    "commit": "cut(); outcome(lambda: db.update({key: b'new' * 40 for key in keys[::9]}))",
    "inside a transaction": """
txn = db.transaction(); txn.update({key: b"new" * 40 for key in keys[:1500:9]}); cut()
outcome(lambda: (txn.update({key: b"new" * 40 for key in keys[1500::9]}), txn.commit()))
""",
    "deleting": "cut(); outcome(lambda: (db.delete_range(keys[9], keys[-9]), [db.delete(k) for k in keys]))",
    "in threads": """
cut()
threads = [threading.Thread(target=outcome, args=(lambda: [drain(db.items()) for _ in range(3)],)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
""",
    "in a thread, inside a scan": """
begun, go = threading.Event(), threading.Event()
def scan():
    i = iter(db.items()); next(i); begun.set(); go.wait(60); outcome(lambda: drain(i))
thread = threading.Thread(target=scan); thread.start(); begun.wait(60)
cut(); go.set(); thread.join(60)
""",
    "in a forked child": """
s = db.snapshot(); i = iter(s.items()); next(i)
pid = os.fork()
if pid == 0:
    cut(); outcome(lambda: drain(i)); outcome(lambda: s.get_many(keys)); os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
outcome(lambda: drain(i))
""",
    "opening again": """
cut(); outcome(lambda: db[keys[-1]])
db.close()
def again():
    with cowtree.open(path, create=False, readonly=True) as other:
        drain(other.items())
outcome(again)
""",
}  # fmt: skip
ARROW = {
    "to_arrow": "cut(); outcome(lambda: db.items().to_arrow())",
    "inside arrow batches": "i = db.items().arrow_batches(100); next(i); cut(); outcome(lambda: drain(i))",
    "get_column": "cut(); outcome(lambda: db.get_column(keys))",
}  # fmt: skip


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two commits of several levels, a named tree, large values."""
    path = tmp_path_factory.mktemp("truncated") / "sound.cow"
    with cowtree.open(path, sync=False) as db:
        with db.transaction() as txn:
            txn.update({b"%06d" % (i * 7): b"v" * 120 for i in range(KEYS)})
            txn.tree("large").update({b"%d" % i: b"L" * 30_000 for i in range(3)})
            txn.tree("t").update({b"%d" % i: b"t" * 100 for i in range(500)})
        db.update({b"%06d" % (i * 7): b"w" * 100 for i in range(0, KEYS, 10)})
    return path.read_bytes()


def run_case(path: Path, content: bytes, case: str, state: str, kept: int) -> list[str]:
    """What the calls of a case came to, in a child that must live."""
    path.write_bytes(content)
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + case, str(path), state, str(kept)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("name", CASES)
def test_every_call_raises_after_the_file_was_cut(path: Path, content: bytes, name: str) -> None:
    for state, kept in (("cold", 8192), ("warm", 5 * 4096 + 100), ("warm", 0)):
        said = run_case(path, content, CASES[name], state, kept)
        assert said, f"{state}, {kept} bytes kept"
        assert all(line.startswith("raised") for line in said), f"{state}, {kept}: {said}"


@pytest.mark.parametrize("name", ARROW)
def test_every_column_raises_after_the_file_was_cut(path: Path, content: bytes, name: str) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    for state, kept in (("cold", 8192), ("warm", len(content) // 2 + 100)):
        said = run_case(path, content, ARROW[name], state, kept)
        assert said == [line for line in said if line.startswith("raised")] != [], said


def test_without_a_cut_every_case_answers(path: Path, content: bytes) -> None:
    for name, case in CASES.items():
        said = run_case(path, content, case, "warm", len(content))
        assert said, name
        assert set(said) == {"answered"}, f"{name}: {said}"
