"""Comma-separated values, with a first line that names the columns: key, value, and tree where there are named ones.

A column `key_hex` or `key_base64` (and so for values) holds those notations instead of text. No codecs are written:
what leaves a typed tree is what `scan` shows, and a tree that records the same codecs takes it back.
"""

from __future__ import annotations

import binascii
import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator

from cowtree.cli.display import shower
from cowtree.cli.failures import CommandError
from cowtree.cli.json_lines import Entry
from cowtree.cli.objects import from_base64
from cowtree.cli.opening import Source, tree_title

__all__ = ["Unread", "read", "write"]

_NOTATIONS = ("", "_hex", "_base64")


class Unread(bytes):
    """Text of a cell whose bytes depend on the tree that takes it, as with an argument of `put`."""


def write(sources: list[Source], _file_bytes: int) -> Iterator[bytes]:
    """Lines of the entries of trees."""
    with_tree = any(source.name is not None for source in sources)
    first = sources[0]
    columns = [_column("key", first.key_notation), _column("value", first.value_notation)]
    yield _line(["tree", *columns] if with_tree else columns)
    for source in sources:
        key_text = _texts("key", source.key_codec, source.key_notation, source)
        value_text = _texts("value", source.value_codec, source.value_notation, source)
        name = [source.name or ""] if with_tree else []
        for key, value in source.tree.items():
            yield _line([*name, key_text(key), value_text(value)])


def _column(what: str, notation: str | None) -> str:
    return f"{what}_{notation}" if notation in ("hex", "base64") else what


def _line(cells: list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)  # it quotes what is in its line's end, \r too
    return line.getvalue().removesuffix("\r\n").encode() + b"\n"


def _texts(what: str, codec: str, notation: str | None, source: Source) -> Callable[[bytes], str]:
    if notation == "hex":
        return bytes.hex
    if notation == "base64":
        return lambda data: binascii.b2a_base64(data, newline=False).decode()
    if notation not in (None, "text") or codec not in ("", "bytes", "text"):
        return shower(codec, notation)

    def text(data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise CommandError(
                f"{tree_title(source.name)} has a {what} that is not UTF-8: say --{what}-as hex, or base64"
            ) from None

    return text


def read(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The entries of lines. Keys and values of columns of text are `Unread`."""
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(_texts_of(lines), strict=True)
    try:
        header = next(rows, None)
        if header is None:
            return
        tree_at, key, value = _columns(header)
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise CommandError(f"{len(row)} cells, where the first line has {len(header)}")
            tree = None if tree_at is None else row[tree_at] or None
            yield Entry(tree, _cell(row, key), _cell(row, value))
    except csv.Error as error:
        text = str(error).replace("unexpected end of data", "the end is inside quotes")
        raise CommandError(f"not comma-separated values: {text}") from None


def _texts_of(lines: Iterable[bytes]) -> Iterator[str]:
    encoding = "utf-8-sig"  # the mark that some programs put in front
    for line in lines:
        try:
            yield line.decode(encoding) + "\n"
        except UnicodeDecodeError:
            raise CommandError("not UTF-8") from None
        encoding = "utf-8"


def _columns(header: list[str]) -> tuple[int | None, tuple[int, str], tuple[int, str]]:
    """Where the tree, the key and the value are, and the notations of the latter two."""
    found: dict[str, tuple[int, str]] = {}
    for i, name in enumerate(header):
        for what in ("key", "value"):
            for notation in _NOTATIONS:
                if name == what + notation:
                    if what in found:
                        raise CommandError(f"two columns of {what}s")
                    found[what] = (i, notation)
    unknown = [
        name
        for i, name in enumerate(header)
        if name != "tree" and i not in {at for at, _ in found.values()}
    ]
    if unknown or found.keys() != {"key", "value"} or header.count("tree") > 1:
        raise CommandError(
            "the first line names the columns: key, value and perhaps tree (or key_hex, key_base64, ...)"
        )
    return header.index("tree") if "tree" in header else None, found["key"], found["value"]


def _cell(row: list[str], column: tuple[int, str]) -> bytes:
    text, notation = row[column[0]], column[1]
    try:
        if notation == "_hex":
            return bytes.fromhex(text)
        if notation == "_base64":
            return from_base64(text)
    except ValueError as error:
        raise CommandError(f"not {notation[1:]}: {error}") from None
    return Unread(text.encode())
