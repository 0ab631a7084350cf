"""What the writer that is killed stores: known beforehand, so that who looks can tell whole from half."""

from __future__ import annotations

__all__ = ["ENTRIES", "TREE", "entry", "entry_prefix"]

TREE = "child"
ENTRIES = 50
"""In each commit: who looks must find all of them, or none."""


def entry_prefix(number: int) -> bytes:
    """What the keys of a commit's entries begin with."""
    return b"%08d/" % number


def entry(number: int, i: int) -> tuple[bytes, bytes]:
    """Key and value of the i-th entry of a commit."""
    return entry_prefix(number) + b"%03d" % i, b"%d:%d " % (number, i) * 100
