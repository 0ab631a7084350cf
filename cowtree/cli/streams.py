"""Bytes in and out: standard input and output, and files given by name. "-" and no name at all mean the standard ones.

Everything that a command prints is UTF-8, whatever the locale says.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from cowtree.cli.failures import CommandError

__all__ = [
    "Output",
    "complain",
    "discard_output",
    "flush_output",
    "input_stream",
    "is_terminal",
    "output_stream",
    "print_line",
    "write",
]


def write(data: bytes) -> None:
    """Write to standard output."""
    if sys.stdout is None:
        raise CommandError("standard output is closed")
    binary = getattr(sys.stdout, "buffer", None)
    if binary is not None:
        binary.write(data)
    else:  # a program that captures text
        sys.stdout.write(data.decode("utf-8", "backslashreplace"))


def print_line(text: str) -> None:
    """Write a line to standard output."""
    write(text.encode("utf-8", "backslashreplace") + b"\n")


def flush_output() -> None:
    """Hand on what was written. OSError, BrokenPipeError."""
    if sys.stdout is not None:
        sys.stdout.flush()


def discard_output() -> None:
    """Let what is still unwritten go nowhere: the interpreter flushes once more when it ends."""
    with contextlib.suppress(Exception):
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, sys.stdout.fileno())
        finally:
            os.close(null)


def complain(text: str) -> None:
    """One line on standard error."""
    with contextlib.suppress(Exception):  # nobody can be told that nobody can be told
        print(f"cowtree: {text}", file=sys.stderr, flush=True)


def is_terminal(stream: object) -> bool:
    """Does a person look at `sys.stdout`, `sys.stderr`?"""
    isatty = getattr(stream, "isatty", None)
    try:
        return bool(isatty is not None and isatty())
    except ValueError:  # closed
        return False


@contextlib.contextmanager
def input_stream(name: str | None) -> Iterator[BinaryIO]:
    """Standard input (None or "-") or a file. OSError; CommandError if standard input is closed."""
    if name is not None and name != "-":
        with open(name, "rb") as file:
            yield file
        return
    if sys.stdin is None:
        raise CommandError("standard input is closed")
    yield sys.stdin.buffer


@contextlib.contextmanager
def output_stream(name: str | None) -> Iterator[Output]:
    """Standard output (None or "-") or a new file, which goes away again if the block fails.

    A file that exists is not replaced: it may be somebody's database. Devices and pipes are written to.
    """
    if name is None or name == "-":
        yield _StandardOutput()
        return
    new = not os.path.exists(name)
    if not new and stat.S_ISREG(os.stat(name).st_mode):
        raise CommandError(f"{name}: exists already: remove it first, or choose another name")
    with open(name, "xb" if new else "wb") as file:
        try:
            yield file
            file.flush()
        except BaseException:
            if new:
                os.unlink(name)
            raise


class Output(Protocol):
    """What bytes can be written to."""

    def write(self, data: bytes, /) -> object: ...


class _StandardOutput:
    def write(self, data: bytes, /) -> None:
        write(data)
