"""The demo from start to end."""

from __future__ import annotations

import os
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cowtree
from cowtree.demo.crash import kill_writers
from cowtree.demo.files import FILES, Ledger, Source, batches, find_files
from cowtree.demo.loading import Loading, load_with_cowtree, load_with_lmdb
from cowtree.demo.past import Difference, read_by_workers
from cowtree.demo.readers import Readers, verify_snapshot

__all__ = ["run"]

PER_COMMIT = 100
READERS = 4
KILLS = 6
COMMITS_BEFORE_KILL = 30
WORKERS = 4
LOADED = "loaded"


def run(directory: str | None = None) -> int:
    """Run the demo on a directory (default: the standard library); 0, or 1 if anything did not hold.

    Raises NotADirectoryError, and FileNotFoundError if there is no file to store.
    """
    root = directory or sysconfig.get_paths()["stdlib"]
    if not os.path.isdir(root):
        raise NotADirectoryError(f"{root} is not a directory")
    with tempfile.TemporaryDirectory(prefix="cowtree-demo-") as folder:
        path = os.path.join(folder, "demo.cow")
        with cowtree.open(path) as db:
            key_size_max = db.key_size_max
        sources = find_files(root, key_size_max)
        if not sources:
            raise FileNotFoundError(f"no readable file below {root}")
        print(
            f"cowtree {cowtree.__version__}: {len(sources)} files below {_readable(os.fsencode(root))}",
            flush=True,
        )
        story = _Story(path, sources)
        try:
            story.tell()
            story.compare(folder)
        except (AssertionError, cowtree.Error) as error:
            story.problems.append(f"{type(error).__name__}: {error}")
    story.print_table()
    for problem in story.problems:
        print(f"DID NOT HOLD: {problem}")
    print("Something did not hold." if story.problems else "Everything held.")
    return 1 if story.problems else 0


class _Story:
    def __init__(self, path: str, sources: Sequence[Source]) -> None:
        self.path = path
        self.sources = sources
        self.ledger = Ledger()
        self.loaded_bytes = 0
        self.rewritten = self.deleted = 0
        self.rows: list[tuple[str, str, str]] = []
        self.problems: list[str] = []

    def tell(self) -> None:
        """Load, read in threads meanwhile, change, count, look at a large value, crash."""
        with cowtree.open(self.path) as db:
            with Readers(db, READERS) as readers:
                self.load(db)
                db.tag(LOADED)
                self.change(db)
            self.problems += readers.problems
            self.row(
                f"{READERS} reading threads",
                "",
                f"{readers.snapshots} snapshots, each exactly one commit; {readers.deep} read twice whole",
            )
            with db.snapshot() as snapshot:
                self.count_directories(snapshot)
                self.show_largest(snapshot)
                self.look_back(db, snapshot)
            self.check(db)
            self.compact(db)
        self.crash()

    def load(self, db: cowtree.Database) -> None:
        """Store all files."""
        with self.timed("store the files") as notes:
            commits = 0
            for batch in batches(self.sources, PER_COMMIT):
                with db.transaction() as txn:
                    for source in batch:
                        content = source.read()
                        if content is not None:
                            self.ledger.put(txn, source.key, content)
                    self.ledger.stamp(txn)
                commits += 1
            self.loaded_bytes = self.ledger.books.size
            notes.append(f"{_megabytes(self.loaded_bytes)} in {commits} durable commits")

    def change(self, db: cowtree.Database) -> None:
        """Rewrite every sixth file and delete another sixth."""
        third = self.sources[::3]
        rewritten = deleted = 0
        with self.timed("rewrite and delete a third") as notes:
            for batch in batches(third, PER_COMMIT):
                with db.transaction() as txn:
                    for i, source in enumerate(batch):
                        content = txn.get(source.key)
                        if content is None:
                            continue
                        if i % 2:
                            self.ledger.delete(txn, source.key)
                            deleted += 1
                        else:
                            self.ledger.put(txn, source.key, content.upper() + b"\n# rewritten\n")
                            rewritten += 1
                    self.ledger.stamp(txn)
            notes.append(f"{rewritten} rewritten, {deleted} deleted")
        self.rewritten, self.deleted = rewritten, deleted

    def count_directories(self, snapshot: cowtree.Snapshot) -> None:
        """Counts by directory are two descents each, however many files there are."""
        listed: Counter[bytes] = Counter()
        for key in snapshot.keys(prefix=FILES):
            folder, slash, _ = key[len(FILES) :].partition(b"/")
            listed[folder] += bool(slash)
        largest = [(folder, count) for folder, count in listed.most_common(4) if count]
        with self.timed("files by directory") as notes:
            if not largest:
                notes.append("no directories")
            for folder, _ in largest:
                counted = snapshot.count(prefix=FILES + folder + b"/")
                notes.append(f"{_readable(folder)} {counted}")
                self.hold(counted == listed[folder], f"{folder!r}: {counted} counted, not listed")

    def show_largest(self, snapshot: cowtree.Snapshot) -> None:
        """The largest file, without a copy."""
        key = max(snapshot.keys(prefix=FILES), key=lambda key: len(snapshot.buffer(key)))
        with self.timed("largest value, buffer()") as notes, snapshot.buffer(key) as view:
            notes.append(f"{_readable(key[len(FILES) :])}, {_megabytes(len(view))}")
        with snapshot.buffer(key) as view:
            self.hold(view.readonly, "buffer() is writable")
            self.hold(view == snapshot[key], "buffer() and get() differ")

    def look_back(self, db: cowtree.Database, newest: cowtree.Snapshot) -> None:
        """The commit that was tagged is still there: how it differs, and processes that read it."""
        with db.snapshot(LOADED) as loaded:
            with self.timed(f"differences since {LOADED!r}") as notes:
                difference = Difference(loaded, newest)
                notes.append(str(difference))
            self.hold(difference.right, "a difference is not what the two versions say")
            expected = (self.deleted, self.rewritten)
            found = (difference.kinds["removed"], difference.kinds["changed"])
            self.hold(found == expected, f"{found} files differ, {expected} were changed")
            with self.timed(f"{WORKERS} processes read {LOADED!r}") as notes:
                count, right = read_by_workers(loaded, WORKERS)
                notes.append(f"{count} entries of one pickled snapshot")
            self.hold(right and count == len(loaded), "a worker read something else")

    def compact(self, db: cowtree.Database) -> None:
        """Give back what only the past needs; the tagged commit stays."""
        with self.timed("compact") as notes:
            before = db.stats().file_bytes
            db.compact()
            after = db.stats().file_bytes
            notes.append(f"{_megabytes(before)} to {_megabytes(after)}, {LOADED!r} kept")
        self.hold(after <= before, "the file has grown")
        self.hold(db.check().ok, "check() is not ok after compaction")
        with db.snapshot(LOADED) as loaded:
            verify_snapshot(loaded, deep=True)

    def check(self, db: cowtree.Database) -> None:
        """Verify every page."""
        with self.timed("check every page") as notes:
            report = db.check()
            notes.append(f"{report.pages} pages, {report.entries} entries")
        self.problems += report.problems[:3]
        self.hold(report.ok, "check() is not ok")
        stats = db.stats()
        notes.append(
            f"file {_megabytes(stats.file_bytes)}: live {_megabytes(stats.live_bytes)}, "
            f"past {_megabytes(stats.garbage_bytes)}"
        )
        self.row("size now", "", notes[-1])

    def crash(self) -> None:
        """Kill writers; what was stored before is untouched."""
        with self.timed(f"kill {KILLS} writers, reopen, check") as notes:
            kills = kill_writers(self.path, KILLS, COMMITS_BEFORE_KILL)
            notes.append(
                f"{kills.acknowledged} commits acknowledged, all whole; "
                f"{kills.in_commit} killed inside commit ({kills.kept} of these kept, whole)"
            )
        with cowtree.open(self.path, create=False) as db, db.snapshot() as snapshot:
            step = verify_snapshot(snapshot, deep=True)
            self.hold(step == self.ledger.books.step, "the files are not those of the last commit")

    def compare(self, folder: str) -> None:
        """The loading alone, with nobody reading meanwhile."""
        path = os.path.join(folder, "alone.cow")
        self.loading("loading alone: cowtree", load_with_cowtree(path, self.sources, PER_COMMIT))
        os.unlink(path)
        map_size = max(1 << 30, 4 * self.loaded_bytes)
        path = os.path.join(folder, "lmdb")
        loading = load_with_lmdb(path, self.sources, PER_COMMIT, map_size)
        self.loading("loading alone: LMDB", loading)

    def loading(self, what: str, loading: Loading | None) -> None:
        """A row of the comparison."""
        if loading is None:
            self.row(what, "", "not installed here")
            return
        seconds, size = loading
        rate = self.loaded_bytes / 1e6 / seconds
        self.row(what, f"{seconds:.2f} s", f"{rate:.0f} MB/s, {_megabytes(size)} on disk")

    def hold(self, condition: bool, problem: str) -> None:
        """Note what did not hold, and go on."""
        if not condition:
            self.problems.append(problem)

    @contextmanager
    def timed(self, what: str) -> Iterator[list[str]]:
        """Time a chapter; what it appends to the list is told beside the time."""
        notes: list[str] = []
        started = time.perf_counter()
        yield notes
        seconds = time.perf_counter() - started
        duration = f"{seconds:.2f} s" if seconds >= 0.01 else f"{seconds * 1e6:.0f} µs"
        self.row(what, duration, ", ".join(notes))

    def row(self, what: str, duration: str, told: str) -> None:
        """A line of the table."""
        self.rows.append((what, duration, told))

    def print_table(self) -> None:
        """What was done, one line each."""
        width = max((len(what) for what, _, _ in self.rows), default=0)
        for what, duration, told in self.rows:
            print(f"  {what:<{width}}  {duration:>8}  {told}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _readable(path: bytes) -> str:
    """A path for the table: names that are no text must not stop the story."""
    return path.decode("utf-8", "replace")
