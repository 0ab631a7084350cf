"""The command line as a process: pipes, signals, statuses, a terminal. Never a traceback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE_SECONDS, Child

import cowtree

WHERE = str(Path(cowtree.__file__).resolve().parents[1])


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cowtree", *map(str, arguments)]


def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    environment = dict(os.environ, PYTHONPATH=WHERE, LC_ALL="C", PYTHONWARNINGS="error")
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **options}
    return subprocess.Popen(command(*arguments), env=environment, stderr=subprocess.PIPE, **options)


def finish(process: subprocess.Popen[bytes], given: bytes | None = None) -> tuple[int, bytes, str]:
    """(status, standard output, standard error)"""
    out, err = process.communicate(given, timeout=PATIENCE_SECONDS)
    return process.returncode, out, err.decode()


def run(*arguments: object, given: bytes | None = None, **options: Any) -> tuple[int, bytes, str]:
    if given is not None:
        options["stdin"] = subprocess.PIPE
    return finish(start(*arguments, **options), given)


@pytest.fixture
def many(path: Path) -> Path:
    """Far more than a pipe holds."""
    with cowtree.open(path, sync=False) as db:
        db.update({b"%06d" % i: b"v" * 100 for i in range(20_000)})
    return path


def test_statuses_and_streams(path: Path) -> None:
    data = bytes(range(256)) * 300
    assert run("put", path, "é", given=data) == (0, b"", "")
    assert run("get", path, "é") == (0, data, "")
    assert run("scan", path, "--keys-only") == (0, "é\n".encode(), "")
    status, out, err = run("get", path, "no")
    assert (status, out) == (1, b"") and err.startswith("cowtree: ") and err.count("\n") == 1
    for arguments in (("bogus",), (), ("get", path), ("get", path.with_name("x"), "k")):
        status, out, err = run(*arguments)
        assert (status, out) == (2, b"") and err.startswith("cowtree: ") and err.count("\n") == 1
    status, out, err = run("--help")
    assert (status, err) == (0, "") and out.startswith(b"usage: cowtree")


def test_dump_into_load(many: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.cow"
    dump = start("dump", many)
    load = start("load", "--json", copy, stdin=dump.stdout)
    assert dump.stdout is not None
    dump.stdout.close()
    assert finish(load) == (0, b"", "")
    assert dump.wait(PATIENCE_SECONDS) == 0 and dump.stderr is not None
    assert dump.stderr.read() == b""
    dump.stderr.close()
    with cowtree.open(many) as one, cowtree.open(copy) as other:
        assert one == other


@pytest.mark.parametrize("name", ["scan", "dump"])
def test_a_reader_that_goes_away_ends_it_quietly(name: str, many: Path) -> None:
    process = start(name, many)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() != b""
    process.stdout.close()
    assert process.wait(PATIENCE_SECONDS) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error(many: Path) -> None:
    with open("/dev/full", "wb") as full:
        for name in ("scan", "info"):
            status, _, err = run(name, many, stdout=full)
            assert (status, err) == (2, "cowtree: No space left on device\n")


def test_interrupting_a_wait_for_the_lock(
    path: Path, tmp_path: Path, start_child: Callable[..., Child]
) -> None:
    holder = start_child(
        "import sys, cowtree; db = cowtree.open(sys.argv[1]); txn = db.transaction(); "
        "print('ready'); sys.stdin.read(); txn.rollback()",
        path,
    )
    assert holder.read() == "ready"
    lines = tmp_path / "lines"
    os.mkfifo(lines)
    process = start("load", path, lines)
    lines.write_bytes(b"k\tv\n")  # opens when the command does: it runs by now
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, b"", "")
    holder.finish()
    with cowtree.open(path) as db:
        assert not db


def test_on_a_terminal(path: Path) -> None:
    with cowtree.open(path, sync=False) as db:
        db[b"k"] = b"\x1b[2J"
    ours, theirs = pty.openpty()
    try:
        status, _, err = run("get", path, "k", stdout=theirs)
        assert (status, err) == (0, "")
        assert os.read(ours, 100) == b"\\x1b[2J\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_script_is_the_same_command() -> None:
    from cowtree.cli import main as in_package
    from cowtree.cli.parser import main

    assert in_package is main
