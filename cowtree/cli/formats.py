"""The formats that entries leave and enter in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cowtree.cli import csv_lines, db_dump
from cowtree.cli.json_lines import entry_line, read_lines
from cowtree.cli.loading import Step, steps_of
from cowtree.cli.opening import Source

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """How trees become lines, and lines steps."""

    write: Callable[[list[Source], int], Iterator[bytes]]
    """(trees, bytes of their file) -> lines with their ends, about one for each entry."""
    read: Callable[[Iterable[bytes]], Iterator[Step]]
    """Of lines without their ends. CommandError: a line that is none; the message lacks its number."""


def _json_lines(sources: list[Source], _file_bytes: int) -> Iterator[bytes]:
    return map(entry_line, steps_of(sources))


FORMATS = {
    "json": Format(_json_lines, read_lines),
    "csv": Format(csv_lines.write, csv_lines.read),
    "db-dump": Format(db_dump.write, db_dump.read),
    "mdb-dump": Format(db_dump.write_with_map_size, db_dump.read),
}
"""By what --format says."""
