"""What goes wrong, in one line that says what to do. Statuses."""

from __future__ import annotations

import os

__all__ = ["DONE", "FAILED", "INTERRUPTED", "NOT_HELD", "PIPE_CLOSED", "CommandError", "one_line"]

DONE, NOT_HELD, FAILED = 0, 1, 2
# As a shell tells of a program that such a signal ended: 128 + SIGINT, 128 + SIGPIPE.
INTERRUPTED, PIPE_CLOSED = 130, 141


class CommandError(Exception):
    """A command cannot do what was asked; the text is what the user reads."""


def one_line(error: BaseException) -> str:
    """What went wrong, without line breaks; the path first where the system names one."""
    from cowtree.errors import CorruptionError, Error, LockTimeoutError

    if isinstance(error, CorruptionError):
        text = f"{error} (`cowtree check` tells more)"
    elif isinstance(error, LockTimeoutError):
        text = f"{error} (try again, or wait longer with --timeout)"
    elif isinstance(error, CommandError | Error):
        text = str(error)
    elif isinstance(error, OSError):
        text = error.strerror or str(error)
        if error.filename is not None:
            text = f"{_name(error.filename)}: {text}"
    elif isinstance(error, MemoryError):
        text = "out of memory"
    else:
        text = f"unexpected {type(error).__name__}: {error}"
    # Names of files and trees may hold anything: what a terminal would obey is shown, not sent.
    return "".join(
        char if char.isprintable() else ascii(char)[1:-1] for char in " ".join(text.split())
    )


def _name(filename: object) -> str:
    return os.fsdecode(filename) if isinstance(filename, str | bytes) else str(filename)
