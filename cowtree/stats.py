"""Numbers about a database."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Report", "Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """What `Database.stats` returns. Sizes in bytes."""

    commit_id: int
    """Newest commit."""
    entries: int
    """Of all trees."""
    depth: int
    """Levels of the default tree: 0 empty, 1 a single leaf."""
    trees: int
    """Named trees."""
    page_size: int
    file_bytes: int
    """Length of the file."""
    live_bytes: int
    """What the newest commit needs."""
    garbage_bytes: int
    """What only the past needs: it comes back with compaction."""
    tail_bytes: int
    """Behind the newest commit: prefilled zeros."""
    snapshots: int
    """Open snapshots of this file in this process."""
    durable: bool
    """Is the newest commit known durable?"""
    rolled_back: int
    """Unfinished or damaged commits dropped when the file was opened here."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `Database.check` found."""

    ok: bool
    problems: tuple[str, ...]
    """One line each, with the page; at most 100."""
    commit_id: int
    pages: int
    """Pages verified."""
    entries: int
