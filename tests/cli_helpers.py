"""Runs the command line inside this process, with what it reads and writes as bytes."""

from __future__ import annotations

import io
import json
import sys
from typing import Any, NamedTuple

import cowtree
from cowtree.cli import main


class Result(NamedTuple):
    """What a command did."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.out.split(b"\n") if line]


class _Stream(io.TextIOWrapper):
    """A standard stream that keeps its bytes; `terminal`: what `isatty` says."""

    def __init__(self, data: bytes = b"", terminal: bool = False) -> None:
        self.bytes = io.BytesIO(data)
        self._terminal = terminal
        super().__init__(self.bytes, encoding="ascii", errors="strict", newline="\n")

    def isatty(self) -> bool:
        return self._terminal


def run(*arguments: object, stdin: bytes = b"", terminal: bool = False) -> Result:
    """Run `cowtree ARGUMENTS`; its locale is as poor as can be."""
    streams = sys.stdin, sys.stdout, sys.stderr
    out, err = _Stream(terminal=terminal), io.StringIO()
    try:
        sys.stdin, sys.stdout, sys.stderr = _Stream(stdin), out, err
        status = main([str(argument) for argument in arguments])
        out.flush()
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
    return Result(status, out.bytes.getvalue(), err.getvalue())


def ok(*arguments: object, stdin: bytes = b"", terminal: bool = False) -> Result:
    """Run it; it succeeds and complains of nothing."""
    result = run(*arguments, stdin=stdin, terminal=terminal)
    assert (result.status, result.err) == (0, ""), result
    return result


def no(*arguments: object, stdin: bytes = b"") -> Result:
    """Run it; status 1."""
    result = run(*arguments, stdin=stdin)
    assert result.status == 1, result
    assert "Traceback" not in result.err
    return result


def fails(*arguments: object, stdin: bytes = b"") -> str:
    """Run it; status 2, nothing written, and one line that says why, which is returned."""
    result = run(*arguments, stdin=stdin)
    assert (result.status, result.out) == (2, b""), result
    assert result.err.startswith("cowtree: ") and result.err.endswith("\n"), result
    assert result.err.count("\n") == 1, result
    assert "unexpected" not in result.err, result
    return result.err


def contents(path: object) -> dict[str | None, dict[bytes, bytes]]:
    """Every tree of a database by name, and what is in it."""
    with cowtree.open(str(path), readonly=True) as db:
        return {name: dict(db.tree(name)) for name in (None, *db.trees())}
