"""Fixtures: paths, fresh databases, page sizes, child processes, threads that report failures."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import cowtree

PAGE_SIZES = (4096, 8192, 65536)
PATIENCE_SECONDS = 120.0  # how long anything may hang before the test fails instead

settings.register_profile(
    "ci",
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "thorough", parent=settings.get_profile("ci"), max_examples=500, stateful_step_count=120
)
settings.load_profile(os.environ.get("COWTREE_HYPOTHESIS", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "durable: the `db` fixture opens with sync=True")
    config.addinivalue_line("markers", "slow: takes more than a few seconds or much memory")
    # A shell lets what it runs in the background ignore Ctrl-C, and so would every process that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `page_size` runs once for each of PAGE_SIZES."""
    if "page_size" in metafunc.fixturenames:
        metafunc.parametrize("page_size", PAGE_SIZES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be created."""
    return tmp_path / "test.cow"


@pytest.fixture
def db(path: Path, request: pytest.FixtureRequest) -> Iterator[cowtree.Database]:
    """A fresh database, checked at the end; synced only if the test is marked `durable`."""
    durable = request.node.get_closest_marker("durable") is not None
    database = cowtree.open(path, sync=durable)
    yield database
    if not database.closed:
        report = database.check()
        assert report.ok, report.problems
        database.close()


@pytest.fixture
def people(path: Path) -> Path:
    """Three entries in commit 1; commit 2 changes one, adds one, takes one out and makes a tree."""
    with cowtree.open(path) as db:
        db.update({b"ada": b"1815", b"alan": b"1912", b"grace": b"1906"})
        with db.transaction(note=b"second") as txn:
            txn[b"alan"] = b"1911"
            txn[b"barbara"] = b"1939"
            del txn[b"grace"]
            txn.tree("cities")[b"london"] = b"GB"
        db.tag("first", 1)
    return path


class Child:
    """A Python process that talks in lines: `tell` sends one to it, `read` gives one it printed."""

    def __init__(self, code: str, *args: object) -> None:
        where = str(Path(cowtree.__file__).resolve().parents[1])
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            [where, *filter(None, [environment.get("PYTHONPATH")])]
        )
        environment["PYTHONUNBUFFERED"] = "1"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
        )
        self._pending = b""

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def read(self) -> str:
        """The next line; fails when the child ends or says nothing for PATIENCE_SECONDS."""
        line = self.read_or_end()
        if line is None:
            pytest.fail(f"the child process ended with status {self.process.wait()}")
        return line

    def read_or_end(self) -> str | None:
        """The next line, or None at the end of the child's output."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._pending:
            ready, _, _ = select.select([descriptor], [], [], PATIENCE_SECONDS)
            if not ready:
                self.process.kill()
                pytest.fail("the child process hangs")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return None
            self._pending += chunk
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.read()

    def kill(self) -> None:
        """SIGKILL, and wait until it is dead."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def finish(self) -> int:
        """Close its input, wait for its end and return its status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def start_child() -> Iterator[Callable[..., Child]]:
    """Starts children (`start_child(code, *args)`); those still alive at the end are killed."""
    children: list[Child] = []

    def start(code: str, *args: object) -> Child:
        child = Child(code, *args)
        children.append(child)
        return child

    yield start
    for child in children:
        if child.process.poll() is None:
            child.kill()
        for stream in (child.process.stdin, child.process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def run_threads() -> Callable[..., list[object]]:
    """Runs functions in a thread each; gives their results or raises the first exception."""

    def run(*functions: Callable[[], object]) -> list[object]:
        results: list[object] = [None] * len(functions)
        failures: list[BaseException] = []

        def call(index: int, function: Callable[[], object]) -> None:
            try:
                results[index] = function()
            except BaseException as error:  # handed to the test's thread below
                failures.append(error)

        threads = [
            threading.Thread(target=call, args=(index, function), daemon=True)
            for index, function in enumerate(functions)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if failures:
            raise failures[0]
        assert not any(thread.is_alive() for thread in threads), "a thread hangs"
        return results

    return run


@pytest.fixture
def in_fork() -> Callable[[Callable[[], str]], str]:
    """Runs a function in a forked child; gives its text, or fails if the child raised or died."""

    def run(function: Callable[[], str]) -> str:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(reading)
                try:
                    text = function()
                    status = 0
                except BaseException as error:
                    text = f"{type(error).__name__}: {error}"
                os.write(writing, text.encode())
            finally:
                os._exit(status)
        os.close(writing)
        try:
            output = b""
            while True:
                ready, _, _ = select.select([reading], [], [], PATIENCE_SECONDS)
                if not ready:
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                    pytest.fail("the forked child hangs")
                chunk = os.read(reading, 65536)
                if not chunk:
                    break
                output += chunk
        finally:
            os.close(reading)
        _, wait_status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(wait_status) == 0, output.decode()
        return output.decode()

    return run


@pytest.fixture
def left_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is compacted by itself: for tests that fill one and expect its past, or its layout, to stay."""
    monkeypatch.setattr("cowtree.auto_compaction.GROWN_BYTES", 1 << 60)
