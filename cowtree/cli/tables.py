"""Rows for people: a table with rich (the extra `cli`) on a terminal, else a line of text each."""

from __future__ import annotations

import importlib
import io
import itertools
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cowtree.cli.streams import is_terminal, print_line, write

__all__ = ["print_rows", "rich_module"]

# More rows than a person reads are not held until all their widths are known.
_ROWS_MAX = 500

Row = Sequence[str]


def rich_module(name: str) -> Any | None:
    """`rich.NAME`, or None where the package is not here."""
    try:
        return importlib.import_module(f"rich.{name}")
    except ImportError:
        return None


def print_rows(
    head: Sequence[str], rows: Iterable[Row], plain: Callable[[Row], str] = "\t".join
) -> None:
    """Print rows of printable text. `plain` makes a line of one, for pipes, many rows, and where rich is missing."""
    rest = iter(rows)
    if is_terminal(sys.stdout) and rich_module("table") is not None:
        first = list(itertools.islice(rest, _ROWS_MAX + 1))
        if 0 < len(first) <= _ROWS_MAX:
            _print_table(head, first)
            return
        rest = itertools.chain(first, rest)
    for row in rest:
        print_line(plain(row))


def _print_table(head: Sequence[str], rows: list[Row]) -> None:
    table_module, text = rich_module("table"), rich_module("text")
    assert table_module is not None
    assert text is not None
    table = table_module.Table(box=None, show_header=any(head), header_style="bold", pad_edge=False)
    numbers = [all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    for title, number in zip(head, numbers, strict=True):
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(text.Text, row))
    write(_rendered(table).encode("utf-8", "backslashreplace"))


def _rendered(table: Any) -> str:
    """As the terminal is to get it: with colours, unless NO_COLOR or TERM=dumb say otherwise."""
    console_module = rich_module("console")
    assert console_module is not None
    target = io.StringIO()
    console = console_module.Console(
        file=target,
        force_terminal=True,
        legacy_windows=False,
        width=shutil.get_terminal_size().columns,
    )
    console.print(table)
    return target.getvalue()


def _is_number(text: str) -> bool:
    return text.replace(",", "").removesuffix(" pages").removesuffix(" entries").isdigit()
