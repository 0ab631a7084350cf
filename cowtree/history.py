"""The past of a database: its commits, and what `at` may name.

At: an id, a tag, a time, a Commit, a Snapshot -> the record that gave that commit its id (FORMAT §3.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, Union

from cowtree.errors import CorruptionError, SnapshotGoneError
from cowtree.storage.chain import (
    commit_at_time,
    commit_of_id,
    commits_after,
    commits_before,
    first_commit_from,
    giver_of,
    previous_record,
)

if TYPE_CHECKING:
    from cowtree.catalogue import Tag
    from cowtree.snapshot import Snapshot
    from cowtree.storage.commit_record import CommitRecord
    from cowtree.storage.record_reader import RecordReader

__all__ = ["At", "Commit", "commit_history", "commit_time", "record_at", "record_of_tag"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a database's history."""

    id: int
    time: datetime
    """When it was made, aware, UTC; never before its predecessor's."""
    note: bytes
    entries: int
    """Of all trees."""
    pages_written: int
    """Pages that it added to the file."""
    tags: tuple[str, ...]
    """Names of the tags that pointed at it when it was listed, sorted."""


At: TypeAlias = Union[int, str, datetime, Commit, "Snapshot"]
"""What names a commit: an id, a tag, an aware time (the newest commit not after it), a Commit, a Snapshot."""


def commit_time(record: CommitRecord) -> datetime:
    """When a commit was made, to the microsecond."""
    return _EPOCH + timedelta(microseconds=record.time_ns // 1000)


def record_at(reader: RecordReader, tip: CommitRecord, at: int | datetime | Commit) -> CommitRecord:
    """The commit that `at` names. SnapshotGoneError: there is none; TypeError, ValueError: what cannot name one."""
    found: CommitRecord | None
    if isinstance(at, Commit):
        at = at.id
    if isinstance(at, datetime):
        if at.tzinfo is None or at.utcoffset() is None:
            raise ValueError("a time without a time zone names no moment: use an aware datetime")
        # Times are told to the microsecond: a commit's own time has to find it.
        microseconds = (at - _EPOCH) // timedelta(microseconds=1)
        found = (
            commit_at_time(reader, tip, microseconds * 1000 + 999) if microseconds >= 0 else None
        )
        if found is None:
            raise SnapshotGoneError(f"the database has no commit that is as old as {at}")
        return found
    if isinstance(at, bool) or not isinstance(at, int):
        raise TypeError(
            f"a commit is named by an id, a tag, an aware datetime, a Commit or a Snapshot, not {type(at).__name__}"
        )
    found = commit_of_id(reader, tip, at) if 0 <= at <= tip.commit_id else None
    if found is None:
        raise SnapshotGoneError(f"there is no commit {at}")
    return found


def record_of_tag(reader: RecordReader, name: str, tag: Tag) -> CommitRecord:
    """The commit that a tag points at."""
    record = reader.read_commit(tag.page)
    if record.nonce != tag.nonce or record.commit_id != tag.commit_id:
        raise CorruptionError(
            f"the tag {name!r} points at another commit", path=reader.path, page=tag.page
        )
    return record


def commit_history(
    reader: RecordReader,
    tip: CommitRecord,
    tags: dict[str, int],
    start: int | None,
    stop: int | None,
    reverse: bool,
) -> Iterator[Commit]:
    """Commits with start <= id < stop, the newest first unless `reverse` is False. O(log n) to begin, O(1) each."""
    names: dict[int, list[str]] = {}
    for name, commit_id in sorted(tags.items()):
        names.setdefault(commit_id, []).append(name)
    low = max(1, start) if start is not None else 1
    for record in _records(reader, tip, low, stop, reverse):
        yield Commit(
            record.commit_id,
            commit_time(record),
            record.note,
            record.entries,
            record.page_count,
            tuple(names.get(record.commit_id, ())),
        )


def _records(
    reader: RecordReader, tip: CommitRecord, low: int, stop: int | None, reverse: bool
) -> Iterator[CommitRecord]:
    if reverse:
        newest = tip
        if stop is not None:
            behind = first_commit_from(reader, tip, stop)
            if behind is not None:
                if behind.previous_page == 0 and behind.commit_id == 0:
                    return
                newest = giver_of(reader, previous_record(reader, behind))
        for record in commits_before(reader, newest):
            if record.commit_id < low:
                return
            yield record
        return
    first = first_commit_from(reader, tip, low)
    if first is None:
        return
    for record in commits_after(reader, first, tip):
        if stop is not None and record.commit_id >= stop:
            return
        yield record
