"""Handles that end in any order, in any thread, or not at all: exceptions, and an exit that neither hangs nor crashes.

Each case is a program of its own. `make sanitize` and `make sanitize-thread` run them over builds that see more.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import gc, os, sys, threading, time, weakref
import cowtree
path = sys.argv[1]
ENDED = (cowtree.ClosedError, cowtree.TransactionError)
db = cowtree.open(path, sync=False)
db.update({b"%05d" % i: b"v" * 300 for i in range(2000)})
db.tree("t").update({b"%05d" % i: b"w" * 5000 for i in range(40)})

def until_ended(call, begun):
    try:
        while True:
            call()
            begun.set()
    except ENDED:
        pass

def start(*calls):
    # Threads that repeat their calls until these raise; returns when each has been made once.
    threads = []
    for call in calls:
        begun = threading.Event()
        threads.append(threading.Thread(target=until_ended, args=(call, begun), daemon=True))
        threads[-1].start()
        assert begun.wait(60)
    return threads

def join(threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()

def scan(reader):
    return lambda: sum(len(value) for value in reader.values())

def transact():
    with db.transaction() as txn:
        txn[b"00007"] = b"x" * 100
"""

CASES = {
    "closing while others iterate": """
threads = start(scan(db), scan(db.tree("t")), lambda: list(db.items(reverse=True)), lambda: db.get_many([b"00001"]))
db.close()
join(threads)
""",
    "closing while others write and take snapshots": """
threads = start(transact, lambda: db.put(b"00001", b"y"), lambda: db.snapshot().close(), lambda: db.check())
db.close()
join(threads)
""",
    "closing while a compaction runs": """
def compact():
    try:
        db.compact()
    except ENDED:
        raise
    except cowtree.Error:
        pass
threads = start(transact, compact)
db.close()
join(threads)
""",
    "closing while others refresh by another handle's commits": """
other = cowtree.open(path, sync=False)
def write():
    other[b"00009"] = b"z" * 50
threads = start(lambda: db.snapshot().get(b"00009"), lambda: db.commit_id, scan(db), write)
db.close()
other.close()
join(threads)
""",
    "closing a snapshot while others read it": """
snapshot = db.snapshot()
threads = start(scan(snapshot), lambda: snapshot.buffer(b"00003"), lambda: snapshot.cursor().seek(b"00100"))
snapshot.close()
join(threads)
db.close()
""",
    "a snapshot collected in another thread": """
box = [db.snapshot()]
items = iter(box[0].items())
views = [box[0].buffer(b"00004"), box[0].tree("t").buffer(b"00004")]
def drop():
    box.clear()
    gc.collect()
thread = threading.Thread(target=drop); thread.start(); thread.join(60)
db.compact()
assert sum(1 for _ in items) == 2000
db.close()
assert bytes(views[0]) == b"v" * 300 and bytes(views[1]) == b"w" * 5000
""",
    "everything collected at once, in a cycle": """
class Knot: pass
knot = Knot()
knot.self, knot.db, knot.snapshot = knot, db, db.snapshot()
knot.iterator, knot.cursor = iter(knot.snapshot.items()), knot.snapshot.cursor()
knot.tree, knot.view, knot.diff = db.tree("t"), knot.snapshot.buffer(b"00001"), db.diff(0)
next(knot.iterator), next(knot.diff), knot.cursor.first()
gone = weakref.ref(knot)
del knot, db
gc.collect()
assert gone() is None
""",
    "a transaction collected in another thread": """
import warnings
warnings.simplefilter("ignore", ResourceWarning)
box = [db.transaction()]
box[0][b"00001"] = b"never"
def drop():
    box.clear()
    gc.collect()
thread = threading.Thread(target=drop); thread.start(); thread.join(60)
assert db[b"00001"] == b"v" * 300
db[b"00001"] = b"now"
db.close()
""",
    "exit with an open transaction": """
txn = db.transaction()
txn[b"00001"] = b"never"
savepoint = txn.savepoint()
items = iter(txn.items()); next(items)
""",
    "exit with iterators, cursors, views and a diff": """
items, cursor, changes = iter(db.items()), db.cursor(), db.diff(0)
next(items), next(changes), cursor.first()
view = db.buffer(b"00001")
history = db.history(); next(history)
""",
    "exit while daemon threads read and write": """
threads = start(scan(db), transact, lambda: db.snapshot().close(), lambda: list(db.diff(0)), lambda: db.wait(0))
""",
    "exit while a daemon thread waits for the lock and another for a commit": """
txn = db.transaction()
threading.Thread(target=lambda: db.put(b"k", b"v"), daemon=True).start()
threading.Thread(target=lambda: db.wait(db.commit_id), daemon=True).start()
time.sleep(0.05)  # no matter how far they have come
""",
    "exit while a daemon thread compacts": """
def compact():
    while True:
        db.compact()
begun = threading.Event()
threads = start(db.compact)
""",
    "a handle used in atexit, and one closed by it": """
import atexit
other = cowtree.open(path)
atexit.register(lambda: db.close())
atexit.register(lambda: [other.get(b"00001"), other.close(), db.put(b"00002", b"last")])
""",
    "forked children that exit in every way": """
snapshot, items = db.snapshot(), iter(db.items())
next(items)
for way in (os._exit, sys.exit, None):
    pid = os.fork()
    if pid == 0:
        assert snapshot[b"00001"] == b"v" * 300
        next(items)
        if way is None:
            gc.collect()
            db.close()
            os._exit(0)
        way(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
db[b"00001"] = b"parent"
db.close()
""",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_program_ends_well(path: Path, name: str) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + CASES[name], str(path)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert "Error" not in result.stderr.replace("ResourceWarning", ""), result.stderr
    again = "import sys, cowtree; db = cowtree.open(sys.argv[1], timeout=20); db[b'k'] = b'v'; assert db.check().ok"
    subprocess.run([sys.executable, "-c", again, str(path)], check=True, timeout=120)
