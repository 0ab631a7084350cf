"""Commands that read: get, scan, count."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator

from cowtree.cli.display import decoder, escaped, printable_text, shower
from cowtree.cli.failures import DONE, NOT_HELD, CommandError
from cowtree.cli.json_lines import Members, add_bytes, add_object, line_of
from cowtree.cli.opening import (
    AT,
    JSON,
    KEY,
    KEY_AS,
    PATH,
    RANGE,
    TREE,
    VALUE_AS,
    Source,
    open_source,
)
from cowtree.cli.parser import argument, command, whole_number
from cowtree.cli.streams import complain, is_terminal, print_line, write

__all__ = ["count", "get", "scan"]


@command(
    "get",
    PATH,
    KEY,
    TREE,
    AT,
    KEY_AS,
    VALUE_AS,
    JSON,
    examples="""
    cowtree get people.cow ada
    cowtree get people.cow portrait --tree images > ada.png
    cowtree get people.cow '["user",5]' --key-as tuple --at before-import
    """,
)
def get(arguments: argparse.Namespace) -> int:
    """Write the value of a key.

    To a pipe or a file goes the value, byte for byte, and nothing else. A terminal gets its text and a line break,
    escaped where it is not printable; of a typed tree it gets the object. --value-as asks for that line in another
    notation, wherever it goes. Status 1 if there is no such key.
    """
    with open_source(arguments) as source:
        key = source.key(arguments.key)
        value = source.tree.get(key)
        if value is None:
            if not source.complain_if_missing():
                complain(f"there is no such key: {shower(source.key_codec, None)(key)}")
            return NOT_HELD
        if arguments.json:
            write(line_of(_members(source, key, value)))
        elif arguments.value_as is None and not is_terminal(sys.stdout):
            write(value)
        else:
            print_line(_shown_value(source, value))
    return DONE


def _shown_value(source: Source, value: bytes) -> str:
    show = shower(source.value_codec, source.value_notation)
    if show is escaped and source.value_notation is None:
        text = printable_text(value)
        if text is not None:
            return text.removesuffix("\n")
    return show(value)


def _members(source: Source, key: bytes | None, value: bytes | None) -> Members:
    """The JSON object of an entry, or of its key or value alone."""
    members: Members = {}
    if source.name is not None:
        members["tree"] = source.name
    for name, data, codec in (
        ("key", key, source.key_codec),
        ("value", value, source.value_codec),
    ):
        if data is not None:
            add_bytes(members, name, data)
            add_object(members, name, data, decoder(codec))
    return members


@command(
    "scan",
    PATH,
    *RANGE,
    argument("--reverse", action="store_true", help="from the last key to the first"),
    argument("--limit", metavar="N", type=whole_number(0), help="at most so many entries"),
    argument("--keys-only", action="store_true", help="without the values"),
    argument("--values-only", action="store_true", help="without the keys"),
    TREE,
    AT,
    KEY_AS,
    VALUE_AS,
    JSON,
    examples="""
    cowtree scan people.cow --prefix a --limit 10
    cowtree scan people.cow --reverse --keys-only
    cowtree scan events.cow --tree log --start '["2026-07"]' --json
    """,
)
def scan(arguments: argparse.Namespace) -> int:
    r"""List the entries of a tree in the order of their keys.

    A line is KEY, a tab, VALUE: text as it is, and where it is not printable with \xNN, \t, \n and \\ in it; of a
    typed tree the objects. --key-as and --value-as ask for other notations; hex, base64 and --json are exact. With
    --json a line is {"key": ..., "value": ...}, for bytes that are not UTF-8 "key_base64" and "value_base64", and a
    typed tree adds its objects as "key_object" and "value_object".
    """
    if arguments.keys_only and arguments.values_only:
        raise CommandError("--keys-only and --values-only leave nothing to list: choose one")
    with open_source(arguments) as source:
        start, stop = source.bounds(arguments)
        entries = _entries(source, start, stop, arguments)
        for line in _lines(source, itertools.islice(entries, arguments.limit), arguments):
            write(line)
        return NOT_HELD if source.complain_if_missing() else DONE


def _entries(
    source: Source, start: bytes | None, stop: bytes | None, arguments: argparse.Namespace
) -> Iterator[tuple[bytes | None, bytes | None]]:
    tree, reverse = source.tree, arguments.reverse
    if arguments.keys_only:
        for key in tree.keys(start, stop, reverse=reverse):
            yield key, None
    elif arguments.values_only:
        for value in tree.values(start, stop, reverse=reverse):
            yield None, value
    else:
        yield from tree.items(start, stop, reverse=reverse)


def _lines(
    source: Source,
    entries: Iterator[tuple[bytes | None, bytes | None]],
    arguments: argparse.Namespace,
) -> Iterator[bytes]:
    if arguments.json:
        for key, value in entries:
            yield line_of(_members(source, key, value))
        return
    show_key = shower(source.key_codec, source.key_notation)
    show_value = shower(source.value_codec, source.value_notation)
    for key, value in entries:
        fields = [] if key is None else [show_key(key)]
        if value is not None:
            fields.append(show_value(value))
        yield "\t".join(fields).encode() + b"\n"


@command(
    "count",
    PATH,
    *RANGE,
    TREE,
    AT,
    KEY_AS,
    JSON,
    examples="""
    cowtree count people.cow
    cowtree count people.cow --prefix a --at 2026-07-01T00:00:00+00:00
    """,
)
def count(arguments: argparse.Namespace) -> int:
    """Count the entries of a tree or of a range, without reading them."""
    with open_source(arguments) as source:
        number = source.tree.count(*source.bounds(arguments))
        write(line_of({"count": number}) if arguments.json else b"%d\n" % number)
        return NOT_HELD if source.complain_if_missing() else DONE
