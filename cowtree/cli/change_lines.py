"""Changes as lines, for people or as JSON: what `diff` and `watch` print."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable

import cowtree
from cowtree.cli.display import decoder, escaped, shower
from cowtree.cli.json_lines import Members, add_bytes, add_object, line_of
from cowtree.cli.streams import print_line, write

__all__ = ["print_changes"]


def print_changes(
    changes: Iterable[cowtree.Change[bytes, bytes]],
    old: cowtree.Snapshot,
    new: cowtree.Snapshot,
    arguments: argparse.Namespace,
    **more: object,
) -> bool:
    """Print what leads from one commit to another; was there anything? `more`: members of each JSON object."""
    differs = False
    for tree, group in itertools.groupby(changes, key=lambda change: change.tree):
        differs = True
        # A tree that was dropped is known to the old commit alone.
        codecs = new.tree_codecs(tree)
        if codecs == ("", ""):
            codecs = old.tree_codecs(tree)
        printer = _ChangePrinter(tree, codecs, arguments, more)
        for change in group:
            printer.print(change)
    return differs


_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


class _ChangePrinter:
    """Prints the changes of one tree."""

    def __init__(
        self,
        tree: str | None,
        codecs: tuple[str, str],
        arguments: argparse.Namespace,
        more: Members,
    ) -> None:
        self._tree = tree
        self._more = more
        self._key_codec, self._value_codec = codecs
        self._show_key = shower(self._key_codec, arguments.key_as)
        self._show_value = shower(self._value_codec, arguments.value_as)
        self._as_json = arguments.json
        if tree is not None and not self._as_json:
            print_line(f"tree {escaped(tree.encode())}:")

    def print(self, change: cowtree.Change[bytes, bytes]) -> None:
        if self._as_json:
            write(line_of(self._members(change)))
            return
        fields = [self._show_key(change.key)]
        fields += [self._show_value(data) for data in (change.old, change.new) if data is not None]
        print_line(f"{_SIGNS[change.kind]} " + "\t".join(fields))

    def _members(self, change: cowtree.Change[bytes, bytes]) -> Members:
        members: Members = dict(self._more)
        if self._tree is not None:
            members["tree"] = self._tree
        members["kind"] = change.kind
        for name, data, codec in (
            ("key", change.key, self._key_codec),
            ("old", change.old, self._value_codec),
            ("new", change.new, self._value_codec),
        ):
            if data is not None:
                add_bytes(members, name, data)
                add_object(members, name, data, decoder(codec))
        return members
