"""Files of a few pages that claim to hold more than any disk: each branch refers to the page below it twice."""

from __future__ import annotations

from pathlib import Path

from forgery import (
    PAGE,
    RECORD_ENTRIES,
    RECORD_LEVEL,
    RECORD_PAGES,
    RECORD_ROOT,
    Child,
    Forgery,
    Slot,
)

import cowtree
from campaign.hostile_mutations import HostileFile

__all__ = ["bomb"]

LEVELS = 62
APPENDED_PAGES, RETIRED_PAGES, ENTRIES = 200, 208, 216  # in a commit page, FORMAT §3.1
TREE = b"\x01t"


def bomb(path: Path, *, fan_out: int, entries_add_up: bool, pages_add_up: bool) -> bytes:
    """A tree "t" of 62 levels over one leaf, each with so many references to the one below.

    Counts that add up are what they would be in such a tree; else they are those of a chain of single pages.
    """
    with cowtree.open(path, sync=False) as db:
        with db.transaction() as txn:
            tree = txn.tree("t")
            tree.update({b"%06d" % i: b"v" * 800 for i in range(400)})
        db.sync()
    forgery = Forgery(path.read_bytes())
    record = forgery.records()[-1]
    root = forgery.catalogue_value(record, TREE)
    root_page = int.from_bytes(root[RECORD_ROOT : RECORD_ROOT + 8], "little")
    pages = [page for page in range(record.page + 1, root_page + 1) if forgery.kind(page) in (3, 4)]
    chosen = [*pages[:LEVELS], root_page]
    forgery.put_leaf(chosen[0], [Slot(b"a", b"1"), Slot(b"b", b"2")])
    entries, below = 2, 1
    for level, page in enumerate(chosen[1:], start=1):
        children = [
            Child(b"%c" % (97 + i), chosen[level - 1], entries, below) for i in range(fan_out)
        ]
        forgery.put_branch(page, level, children)
        entries = min(entries * (fan_out if entries_add_up else 1), 2**63)
        below = min(below * (fan_out if pages_add_up else 1) + 1, 2**55)
    value = bytearray(root)
    value[RECORD_LEVEL] = LEVELS
    value[RECORD_ENTRIES : RECORD_ENTRIES + 8] = entries.to_bytes(8, "little")
    value[RECORD_PAGES : RECORD_PAGES + 8] = below.to_bytes(8, "little")
    forgery.put_catalogue(record, TREE, bytes(value))
    # The record's own totals agree: entries, and pages retired, which is what it needs taken from what was appended.
    forgery.put(record.page, ENTRIES, entries)
    needed = 2 + 1 + 1 + below
    forgery.put(record.page, RETIRED_PAGES, forgery.get(record.page, APPENDED_PAGES) - needed)
    file = HostileFile(bytes(forgery.content))
    assert file.page_size == PAGE
    file.seal_all()
    return bytes(file.content)
