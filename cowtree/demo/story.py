"""The demo from start to end."""

from __future__ import annotations

import itertools
import os
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import cowtree
from cowtree.demo.crash import kill_a_writer
from cowtree.demo.files import FILES, Ledger, find_files
from cowtree.demo.lmdb_side import load_with_lmdb
from cowtree.demo.readers import Readers, verify_snapshot

__all__ = ["run"]

PER_COMMIT = 100
KILL_AFTER = 200


def run(directory: str | None = None) -> int:
    """Run the demo on a directory (default: the standard library); 0, or 1 if anything did not hold."""
    source = directory or sysconfig.get_paths()["stdlib"]
    if not os.path.isdir(source):
        raise NotADirectoryError(f"{source} is not a directory")
    print(f"cowtree {cowtree.__version__}: storing the files below {source}")
    files = list(find_files(source))
    if not files:
        raise FileNotFoundError(f"no readable file below {source}")
    with tempfile.TemporaryDirectory(prefix="cowtree-demo-") as folder:
        story = _Story(os.path.join(folder, "demo.cow"), files)
        try:
            story.tell()
            story.compare(load_with_lmdb(os.path.join(folder, "lmdb"), files, PER_COMMIT))
        except AssertionError as error:
            story.problems.append(str(error))
    story.print_table()
    for problem in story.problems:
        print(f"DID NOT HOLD: {problem}")
    if not story.problems:
        print("Everything held.")
    return 1 if story.problems else 0


class _Story:
    def __init__(self, path: str, files: list[tuple[bytes, bytes]]) -> None:
        self.path = path
        self.files = files
        self.bytes = sum(len(content) for _, content in files)
        self.rows: list[tuple[str, str]] = []
        self.problems: list[str] = []

    @contextmanager
    def timed(self, what: str, size: int = 0) -> Iterator[list[str]]:
        """Time a chapter; what it appends to the list is told beside the time."""
        notes: list[str] = []
        started = time.perf_counter()
        yield notes
        seconds = time.perf_counter() - started
        rate = f", {size / seconds / 1e6:.0f} MB/s" if size else ""
        self.rows.append((what, f"{seconds:7.2f} s{rate}" + "".join(f"; {note}" for note in notes)))

    def tell(self) -> None:
        """Load, read in threads meanwhile, change, count, look at a large value, crash."""
        ledger = Ledger()
        with cowtree.open(self.path) as db:
            with Readers(db, 4) as readers:
                with self.timed(f"store {len(self.files)} files", self.bytes) as notes:
                    commits = self.load(db, ledger)
                    notes.append(f"{commits} durable commits of {PER_COMMIT} files")
                loaded = db.stats()
                with self.timed("rewrite and delete a third") as notes:
                    self.change(db, ledger)
                    notes.append(f"{ledger.count} files left")
                with self.timed("check every page") as notes:
                    report = db.check()
                    self.problems += report.problems[:3]
                    notes.append(f"{report.pages} pages, {report.entries} entries")
            self.problems += readers.problems
            self.rows.append(
                (
                    "four reading threads",
                    f"{readers.snapshots} snapshots, each exactly one commit; {readers.deep} read twice whole",
                )
            )
            with db.snapshot() as snapshot:
                verify_snapshot(snapshot, deep=True)
                self.count_directories(snapshot)
                self.show_large(snapshot)
            stats = db.stats()
        self.rows.append(
            (
                "size",
                f"{self.bytes / 1e6:.1f} MB of files: {loaded.live_bytes / 1e6:.1f} MB live after loading; "
                f"now {stats.live_bytes / 1e6:.1f} MB live, {stats.garbage_bytes / 1e6:.1f} MB past",
            )
        )
        with self.timed("kill a writer in mid-commit, reopen, check") as notes:
            acknowledged, found = kill_a_writer(self.path, KILL_AFTER)
            notes.append(f"{acknowledged} commits acknowledged, {found} found, all whole")
        with cowtree.open(self.path) as db, db.snapshot() as snapshot:
            verify_snapshot(snapshot, deep=True)

    def load(self, db: cowtree.Database, ledger: Ledger) -> int:
        """Store all files; the number of commits."""
        source = iter(self.files)
        commits = 0
        while part := list(itertools.islice(source, PER_COMMIT)):
            with db.transaction() as txn:
                for key, content in part:
                    ledger.put(txn, key, content)
                ledger.stamp(txn)
            commits += 1
        return commits

    def change(self, db: cowtree.Database, ledger: Ledger) -> None:
        """Rewrite every sixth file and delete another sixth."""
        third = [entry for i, entry in enumerate(self.files) if i % 3 == 0]
        for start in range(0, len(third), PER_COMMIT):
            with db.transaction() as txn:
                for i, (key, content) in enumerate(third[start : start + PER_COMMIT]):
                    if i % 2:
                        ledger.delete(txn, key)
                    else:
                        ledger.put(txn, key, content.upper() + b"\n# rewritten\n")
                ledger.stamp(txn)

    def count_directories(self, snapshot: cowtree.Snapshot) -> None:
        """Counts by directory are two descents each, however many files there are."""
        listed = Counter(
            key[len(FILES) :].split(b"/")[0]
            for key in snapshot.keys(prefix=FILES)
            if b"/" in key[len(FILES) :]
        )
        largest = listed.most_common(4)
        for name, count in largest:
            counted = snapshot.count(prefix=FILES + name + b"/")
            if counted != count:
                self.problems.append(f"{name!r}: {counted} counted, {count} listed")
        told = ", ".join(f"{os.fsdecode(name)} {count}" for name, count in largest)
        self.rows.append(("files by directory", told or "none"))

    def show_large(self, snapshot: cowtree.Snapshot) -> None:
        """The largest file, without a copy."""
        key = max(snapshot.keys(prefix=FILES), key=lambda key: len(snapshot.buffer(key)))
        view = snapshot.buffer(key)
        if bytes(view) != snapshot[key]:
            self.problems.append("buffer() and get() differ")
        name = os.fsdecode(key[len(FILES) :])
        self.rows.append(
            (
                "largest value through buffer()",
                f"{name}, {len(view)} bytes, read-only: {view.readonly}",
            )
        )

    def compare(self, result: tuple[float, int] | None) -> None:
        """The same loading with LMDB."""
        if result is None:
            self.rows.append(("the same loading with LMDB", "not installed here"))
            return
        seconds, size = result
        self.rows.append(
            (
                "the same loading with LMDB",
                f"{seconds:7.2f} s, {self.bytes / seconds / 1e6:.0f} MB/s; {size / 1e6:.1f} MB on disk "
                "(nobody reading meanwhile)",
            )
        )

    def print_table(self) -> None:
        """What was done, one line each."""
        width = max((len(what) for what, _ in self.rows), default=0)
        for what, told in self.rows:
            print(f"  {what:<{width}}  {told}")
