"""Commands that write one entry: put, del."""

from __future__ import annotations

import argparse
import os

from cowtree.cli.failures import DONE, NOT_HELD
from cowtree.cli.notations import argument_bytes, encode, encode_to_store
from cowtree.cli.opening import (
    KEY,
    KEY_AS,
    PATH,
    TIMEOUT,
    TREE,
    VALUE_AS,
    open_reading,
    open_writing,
    tree_title,
)
from cowtree.cli.parser import argument, command
from cowtree.cli.streams import complain, input_stream

__all__ = ["delete", "put"]


@command(
    "put",
    PATH,
    KEY,
    argument(
        "value",
        metavar="VALUE",
        nargs="?",
        help="the value (see --value-as); - or none: standard input, byte for byte unless --value-as is given",
    ),
    TREE,
    argument("--no-overwrite", action="store_true", help="only a new key; status 1 if it is there"),
    KEY_AS,
    VALUE_AS,
    TIMEOUT,
    examples="""
    cowtree put people.cow ada 1815
    cowtree put people.cow portrait --tree images < ada.png
    cowtree put people.cow '["user",5]' '{"name":"Ada"}' --key-as tuple --value-as msgpack
    cowtree put people.cow -- -key-that-begins-with-a-dash value
    """,
)
def put(arguments: argparse.Namespace) -> int:
    """Store a value, as one durable commit; creates the file if there is none.

    A typed tree takes what its codecs are for: text, a number, a JSON array (tuple), JSON (json, msgpack). It prints
    nothing.
    """
    if arguments.value is None or arguments.value == "-":
        with input_stream(None) as stream:
            given = stream.read()
    else:
        given = argument_bytes(arguments.value)
    # Before the file is opened to write: what cannot be stored creates no file.
    key_codec, value_codec = _codecs(arguments)
    key = encode_to_store(argument_bytes(arguments.key), arguments.key_as, key_codec, "key")
    value = encode_to_store(given, arguments.value_as, value_codec, "value")
    with open_writing(arguments.path, create=True, timeout=arguments.timeout) as db:
        overwrite = not arguments.no_overwrite
        if db.tree(arguments.tree).put(key, value, overwrite=overwrite):
            return DONE
    complain("the key is there already, its value stays")
    return NOT_HELD


def _codecs(arguments: argparse.Namespace) -> tuple[str, str]:
    """What the tree records, if there is a file."""
    if not os.path.exists(arguments.path):
        return "", ""
    with open_reading(arguments.path) as db:
        return db.tree_codecs(arguments.tree)


@command(
    "del",
    PATH,
    KEY,
    TREE,
    KEY_AS,
    TIMEOUT,
    examples="""
    cowtree del people.cow ada
    """,
)
def delete(arguments: argparse.Namespace) -> int:
    """Take an entry out, as one durable commit.

    Status 1 if it was not there.
    """
    with open_writing(arguments.path, timeout=arguments.timeout) as db:
        key_codec, _ = db.tree_codecs(arguments.tree)
        key = encode(argument_bytes(arguments.key), arguments.key_as, key_codec, "key")
        if db.tree(arguments.tree).delete(key):
            return DONE
    complain(f"there is no such key in {tree_title(arguments.tree)}")
    return NOT_HELD
