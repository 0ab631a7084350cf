"""The text that `db_dump` (Berkeley DB) and `mdb_dump` (LMDB) write and `db_load` and `mdb_load` read.

    VERSION=3
    format=bytevalue            or print: printable ASCII as it is, \\\\ a backslash, \\xx any other byte
    database=users              no such line: the default tree
    type=btree
    mapsize=1073741824          LMDB's alone; Berkeley DB's `db_load` refuses it
    HEADER=END
     616461                     a key in hexadecimal digits, behind a space; the next line is its value
     31383135
    DATA=END                    then perhaps the next database

Databases that hold several values for a key (duplicates=1) become trees whose keys are tuples (key, value).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cowtree.cli.failures import CommandError
from cowtree.cli.json_lines import Declaration, Entry
from cowtree.cli.opening import Source
from cowtree.codecs import Tuple

__all__ = ["composite", "read", "write", "write_with_map_size"]

_MAP_SIZE_STEP = 1 << 20
_ESCAPED = re.compile(rb"\\(\\|[0-9A-Fa-f]{2})?")


def composite(key: bytes, value: bytes) -> bytes:
    """The key of an entry of a database with duplicates."""
    return Tuple.encode((key, value))


def write(sources: list[Source], _file_bytes: int) -> Iterator[bytes]:
    """Trees as Berkeley DB's `db_load` takes them."""
    return _write(sources, None)


def write_with_map_size(sources: list[Source], file_bytes: int) -> Iterator[bytes]:
    """Trees as LMDB's `mdb_load` takes them: it has to be told how large its map is to be."""
    return _write(sources, (2 * file_bytes // _MAP_SIZE_STEP + 16) * _MAP_SIZE_STEP)


def _write(sources: list[Source], map_size: int | None) -> Iterator[bytes]:
    for source in sources:
        if not source.exists or (source.name is None and len(sources) > 1 and not source.tree):
            continue
        yield _header(source.name, map_size)
        for key, value in source.tree.items():
            yield b" %s\n %s\n" % (key.hex().encode(), value.hex().encode())
        yield b"DATA=END\n"


def _header(name: str | None, map_size: int | None) -> bytes:
    if name is not None and ("\n" in name or "\r" in name):
        raise CommandError(f"the name {name!r} does not fit on a line of this format")
    lines = ["VERSION=3", "format=bytevalue"]
    if name is not None:
        lines.append(f"database={name}")
    lines.append("type=btree")
    if map_size is not None:
        lines.append(f"mapsize={map_size}")
    return "\n".join([*lines, "HEADER=END", ""]).encode()


def read(lines: Iterable[bytes]) -> Iterator[Entry | Declaration]:
    """What the lines of one or more dumps say."""
    rest = iter(lines)
    for line in rest:
        if line.strip():  # none between the end of a database and the next
            yield from _read_database(line, rest)


def _read_database(line: bytes, rest: Iterator[bytes]) -> Iterator[Entry | Declaration]:
    header = _read_header(line, rest)
    tree = header.get("database") or header.get("subdatabase")
    if header.get("format", "bytevalue") not in ("bytevalue", "print"):
        raise CommandError(f"format={header['format']} is neither bytevalue nor print")
    printed = header.get("format") == "print"
    if header.get("type", "btree") not in ("btree", "hash") or header.get("keys", "1") != "1":
        raise CommandError(f"a database of type {header.get('type')} has no keys to store by")
    several = "1" in (header.get("duplicates"), header.get("dupsort"))
    if several or tree is not None:
        yield Declaration(tree, "tuple" if several else "", "")
    while (key := _read_item(rest, printed)) is not None:
        value = _read_item(rest, printed)
        if value is None:
            raise CommandError("DATA=END where the value of a key should be")
        yield Entry(tree, composite(key, value), b"") if several else Entry(tree, key, value)


def _read_header(line: bytes, rest: Iterator[bytes]) -> dict[str, str]:
    header: dict[str, str] = {}
    while line.rstrip() != b"HEADER=END":
        name, equals, value = line.rstrip(b"\r").partition(b"=")
        if not equals or (not header and name != b"VERSION"):
            raise CommandError("not a line of a dump's header (VERSION=3 ... HEADER=END)")
        try:
            header[name.decode()] = value.decode()
        except UnicodeDecodeError:
            raise CommandError("a header that is not UTF-8") from None
        line = next(rest, b"")
    if header.get("VERSION") != "3":
        raise CommandError(f"VERSION={header.get('VERSION')} of the format is not known: 3 is")
    return header


def _read_item(rest: Iterator[bytes], printed: bool) -> bytes | None:
    """A key or value; None: the data end here."""
    line = next(rest, None)
    if line is None:
        raise CommandError("the dump ends without DATA=END: it is not whole")
    if line.rstrip(b"\r") == b"DATA=END":
        return None
    if not line.startswith(b" "):
        raise CommandError("not a line of data: those begin with a space")
    if printed:
        return _ESCAPED.sub(_unescape, line[1:])
    try:
        return bytes.fromhex(line.decode("ascii"))
    except ValueError:
        raise CommandError("not pairs of hexadecimal digits") from None


def _unescape(match: re.Match[bytes]) -> bytes:
    what = match[1]
    if what is None:
        raise CommandError(r"a \ that neither \ nor two hexadecimal digits follow")
    return what if what == b"\\" else bytes.fromhex(what.decode())
