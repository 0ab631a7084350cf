"""Numbers about a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Report", "Settings", "Stats"]


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
    compacting: bool
    """Does a compaction run in this process?"""
    compaction_problem: str | None
    """Why this process does not compact the file by itself; None: it does, or would."""
    leaf_pages: int | None = None
    """Leaves of all trees, the catalogue's too; this and what follows only with `deep=True`."""
    branch_pages: int | None = None
    run_pages: int | None = None
    """Pages of large values."""
    leaf_fill: float | None = None
    """Share of the leaves' bytes that is in use, 0 to 1."""
    branch_fill: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a file is set to: `Database.settings`."""

    page_size: int
    """Bytes; fixed at creation."""
    auto_compact: float | None
    """The ratio of file to live size that starts compaction; None: never."""
    history: int | timedelta | None
    """What compaction keeps of the past besides tags: that many newest commits, or that age; None: nothing."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `Database.check` found."""

    ok: bool
    problems: tuple[str, ...]
    """One line each, with the page and the tree or commit that it is of; at most 100."""
    commit_id: int
    pages: int
    """Pages verified: the newest commit's, and those of every record."""
    entries: int
