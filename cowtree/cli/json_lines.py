"""One JSON object per line: how entries leave and enter.

    {"tree":"users","key":"ada","value":"1815"}         `tree` only for a named one
    {"key_base64":"/w==","value_base64":"AAE="}         bytes that are not UTF-8
    {"tree":"users","codecs":["text","msgpack"]}        what the tree records, before its entries; null: none

Typed trees, too, are written as their bytes. `scan` and `diff` add what those mean as `key_object`, `value_object`,
...; reading passes over it.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from cowtree.cli.failures import CommandError
from cowtree.cli.objects import encodable, from_base64, json_text, parse_json

__all__ = [
    "Declaration",
    "Entry",
    "Members",
    "add_bytes",
    "add_object",
    "entry_line",
    "line_of",
    "read_lines",
]

Members = dict[str, Any]


class Entry(NamedTuple):
    """An entry of a tree (None: the default tree)."""

    tree: str | None
    key: bytes
    value: bytes


class Declaration(NamedTuple):
    """A tree exists and records these codecs ("": none)."""

    tree: str | None
    key_codec: str
    value_codec: str


def line_of(members: Members) -> bytes:
    """The object as a line."""
    return json_text(members).encode() + b"\n"


def add_bytes(members: Members, name: str, data: bytes) -> None:
    """Add `data` as the member `name`, or as `name_base64` if they are not UTF-8."""
    try:
        members[name] = data.decode()
    except UnicodeDecodeError:
        members[f"{name}_base64"] = binascii.b2a_base64(data, newline=False).decode()


def add_object(
    members: Members, name: str, data: bytes, decode: Callable[[bytes], Any] | None
) -> None:
    """Add what a typed tree's `data` mean as `name_object`, if they decode."""
    if decode is None:
        return
    try:
        members[f"{name}_object"] = decode(data)
    except (ValueError, RecursionError):
        return


def entry_line(entry: Entry | Declaration) -> bytes:
    """The line of an entry, or of what a tree records."""
    members: Members = {} if entry.tree is None else {"tree": entry.tree}
    if isinstance(entry, Declaration):
        members["codecs"] = [entry.key_codec or None, entry.value_codec or None]
    else:
        add_bytes(members, "key", entry.key)
        add_bytes(members, "value", entry.value)
    return line_of(members)


def read_lines(lines: Iterable[bytes]) -> Iterator[Entry | Declaration]:
    """What the lines of a dump say. CommandError: a line that is none of these; the message lacks its number."""
    for line in lines:
        try:
            members = parse_json(line.decode())
        except ValueError as error:
            raise CommandError(f"not a JSON object in UTF-8: {error}") from None
        if not isinstance(members, dict):
            raise CommandError("not a JSON object")
        unknown = members.keys() - _MEMBERS
        if unknown:
            raise CommandError(f"unknown member {min(unknown)!r}")
        tree = members.get("tree")
        if tree is not None and not _is_name(tree):
            raise CommandError("`tree` is the name of a tree, or null for the default tree")
        if "codecs" in members:
            yield Declaration(tree, *_codecs(members))
        else:
            yield Entry(tree, _bytes(members, "key"), _bytes(members, "value"))


_MEMBERS = frozenset(
    ["tree", "codecs", "key", "key_base64", "key_object", "value", "value_base64", "value_object"]
)


def _is_name(name: object) -> bool:
    """May it name a tree or a codec?"""
    return isinstance(name, str) and name != "" and encodable(name)


def _codecs(members: Members) -> tuple[str, str]:
    codecs = members["codecs"]
    if (
        not isinstance(codecs, list)
        or len(codecs) != 2
        or not all(name is None or _is_name(name) for name in codecs)
        or len(members) > 1 + ("tree" in members)
    ):
        raise CommandError(
            '`codecs` is ["name of the key codec","name of the value codec"], in a line of its own'
        )
    return codecs[0] or "", codecs[1] or ""


def _bytes(members: Members, name: str) -> bytes:
    """The bytes of the member `name` or `name_base64`."""
    in_base64 = f"{name}_base64"
    if (name in members) == (in_base64 in members):
        raise CommandError(f"an entry has either `{name}` or `{in_base64}`")
    given = members[name] if name in members else members[in_base64]
    if not isinstance(given, str):
        raise CommandError(f"`{name}` is text: {json_text(given)[:40]}")
    try:
        return given.encode() if name in members else from_base64(given)
    except ValueError as error:
        raise CommandError(f"`{name}`: {error}") from None
