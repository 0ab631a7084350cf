"""The command `map`: a page for a browser that draws a file, with everything it needs inside."""

from __future__ import annotations

import argparse
import base64
import json
import zlib
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import cowtree
from cowtree.cli.failures import DONE
from cowtree.cli.opening import AT, PATH, open_reading, parse_at, snapshot_at
from cowtree.cli.parser import argument, command
from cowtree.cli.streams import output_stream

__all__ = ["page_map_html", "picture"]

# Cells that are drawn; in a larger file each stands for several pages, of which it shows one.
CELLS_MAX = 4_000_000
# Bars of the commits' chart; each stands for several commits where there are more.
BARS_MAX = 1500


@command(
    "map",
    PATH,
    AT,
    argument(
        "--with",
        dest="other",
        metavar="AT",
        type=parse_at,
        help="a second commit: what the two share",
    ),
    argument(
        "-o", "--output", metavar="OUT", help="the HTML file to write (default: standard output)"
    ),
    examples="""
    cowtree map people.cow -o map.html
    cowtree map people.cow --at before-import --with after-import -o both.html
    """,
)
def picture(arguments: argparse.Namespace) -> int:
    """Draw a file: one HTML page, for any browser, that needs no network.

    It shows which pages are leaves, branches, large values or of older commits only, how full they are, which tree and
    which commit they belong to, depth and fan-out of each tree, and with --with what two commits share.
    """
    with open_reading(arguments.path) as db, snapshot_at(db, arguments.at) as first:
        if arguments.other is None:
            html = page_map_html(db, first)
        else:
            with snapshot_at(db, arguments.other) as second:
                html = page_map_html(db, first, second)
    with output_stream(arguments.output) as output:
        output.write(html.encode())
    return DONE


def page_map_html(
    db: cowtree.Database, first: cowtree.Snapshot, second: cowtree.Snapshot | None = None
) -> str:
    """The page. O(pages of the file); about one byte for each page of a large file. Raises CorruptionError."""
    data = _page_data(db, first, second)
    text = json.dumps(data, separators=(",", ":")).replace(
        "<", "\\u003c"
    )  # no name ends the script
    template = resources.files("cowtree.cli").joinpath("map.html").read_text("utf-8")
    return template.replace("__DATA__", text, 1)


def _page_data(
    db: cowtree.Database, first: cowtree.Snapshot, second: cowtree.Snapshot | None
) -> dict[str, Any]:
    from cowtree.page_map import page_map

    found = page_map(db, first, second)
    pages = len(found.kinds)
    step = -(-pages // CELLS_MAX)
    # One byte a page: kind (3 bits), fill (3), marks (2).
    what = bytes(
        kind | (fill >> 5) << 3 | mark << 6
        for kind, fill, mark in zip(
            found.kinds[::step], found.fills[::step], found.marks[::step], strict=True
        )
    )
    needed = sum(mark & 1 for mark in found.marks)
    space = [
        (f"needed by commit {first.commit_id}", needed),
        ("needed by other commits only", pages - needed),
    ]
    if second is not None:
        both = found.marks.count(3)
        space = [
            ("needed by both commits", both),
            (f"needed by commit {first.commit_id} only", needed - both),
            (f"needed by commit {second.commit_id} only", found.marks.count(2)),
            ("needed by neither", found.marks.count(0)),
        ]
    return {
        "path": db.path.encode(errors="backslashreplace").decode(),
        "page_size": db.page_size,
        "pages": pages,
        "step": step,
        "first": first.commit_id,
        "second": None if second is None else second.commit_id,
        "entries": sum(len(first.tree(name)) for name in (None, *first.trees())),
        "trees": found.trees,
        "space": space,
        "commits": _bars(found.records, found.marks),
        "what": _packed(what),
        "owners": _packed(found.owners[::step]),
    }


def _bars(records: list[tuple[int, int, int, int, int]], marks: bytearray) -> list[list[object]]:
    """[first page, pages, first id, last id, time, pages that are needed] of each bar, in the order of the file."""
    step = -(-len(records) // BARS_MAX)
    bars: list[list[object]] = []
    for i in range(0, len(records), step):
        group = records[i : i + step]
        start, end = group[0][0], group[-1][0] + group[-1][1]
        time = datetime.fromtimestamp(group[-1][3] / 1e9, UTC).isoformat(" ", "seconds")
        live = end - start - marks.count(0, start, end)
        bars.append([start, end - start, group[0][2], group[-1][2], time, live])
    return bars


def _packed(data: bytes | bytearray) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode()
