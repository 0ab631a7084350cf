"""Old records: found by commit id or by time through the skip pointers (FORMAT §3.1), or walked one by one.

A record that gives a commit id stands for that commit; administrative and gap records repeat their predecessor's and
are stepped over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import CorruptionError
from .commit_record import CommitRecord, record_follows
from .record_reader import RecordReader

__all__ = [
    "commit_at_time",
    "commit_of_id",
    "commits_after",
    "commits_before",
    "first_commit_from",
    "giver_of",
    "previous_record",
]


def commit_of_id(reader: RecordReader, tip: CommitRecord, commit_id: int) -> CommitRecord | None:
    """The record that gave `commit_id`, or None if no commit up to `tip` has it. O(log n) page reads."""
    found = first_commit_from(reader, tip, commit_id)
    return found if found is not None and found.commit_id == commit_id else None


def first_commit_from(
    reader: RecordReader, tip: CommitRecord, commit_id: int
) -> CommitRecord | None:
    """The oldest commit whose id is not below `commit_id`; None: there is none. O(log n) page reads."""
    return _descend(reader, tip, lambda record: record.commit_id >= commit_id, commit_id)


def commit_at_time(reader: RecordReader, tip: CommitRecord, time_ns: int) -> CommitRecord | None:
    """The newest commit whose time is not after `time_ns`; None: all are later. O(log² n) page reads."""
    later = _descend(reader, tip, lambda record: record.time_ns > time_ns, None)
    if later is None:
        return giver_of(reader, tip)
    if later.previous_page == 0:
        return None
    found = giver_of(reader, previous_record(reader, later))
    # Where commits were dropped, one of them may have been the newest at that time; a commit's own time still finds it.
    return None if later.sparse and found.time_ns // 1000 < time_ns // 1000 else found


def _descend(
    reader: RecordReader,
    tip: CommitRecord,
    wanted: Callable[[CommitRecord], bool],
    commit_id: int | None,
) -> CommitRecord | None:
    """The oldest commit that is `wanted`, which is true of all from some one on; None: not even of the tip.

    With `commit_id`, pointers that lead below it are known without being read.
    """
    record = giver_of(reader, tip)
    if not wanted(record):
        return None
    while True:
        record = giver_of(reader, record)
        for i in reversed(range(len(record.skip_pointers))):
            page = record.skip_pointers[i]
            step = 2 << i
            if page == 0 or (
                commit_id is not None and (record.commit_id - 1) // step * step < commit_id
            ):
                continue
            older = reader.read_commit(page)
            if older.sequence >= record.sequence or older.commit_id >= record.commit_id:
                raise CorruptionError(
                    "a skip pointer that does not lead back", path=reader.path, page=record.page
                )
            if wanted(older):
                record = older
                break
        else:
            if record.previous_page == 0:
                _require(reader, None, record)
                return record
            older = giver_of(reader, previous_record(reader, record))
            if not wanted(older):
                return record
            record = older


def giver_of(reader: RecordReader, record: CommitRecord) -> CommitRecord:
    """The record that gave the id of `record`: itself, unless it is administrative or a gap."""
    while not record.gives_id:
        record = previous_record(reader, record)
    return record


def previous_record(reader: RecordReader, record: CommitRecord) -> CommitRecord:
    """The predecessor, which `record` names by page and nonce."""
    previous = reader.read_commit(record.previous_page)
    _require(reader, previous, record)
    return previous


def _require(reader: RecordReader, previous: CommitRecord | None, record: CommitRecord) -> None:
    """CorruptionError unless `record` is the one after `previous` (None: the first), so that walks end (I9)."""
    reason = record_follows(previous, record)
    if reason is not None:
        raise CorruptionError(reason, path=reader.path, page=record.page)


def commits_before(reader: RecordReader, tip: CommitRecord) -> Iterator[CommitRecord]:
    """Every commit from `tip` down to the empty state, the newest first."""
    record = tip
    while True:
        if record.gives_id:
            yield record
        if record.previous_page == 0:
            _require(reader, None, record)
            return
        record = previous_record(reader, record)


def commits_after(
    reader: RecordReader, first: CommitRecord, tip: CommitRecord
) -> Iterator[CommitRecord]:
    """Every commit from `first` up to `tip`, the oldest first."""
    record = first
    while True:
        if record.gives_id:
            yield record
        if record.sequence >= tip.sequence:
            return
        following = reader.read_commit(record.end_page)
        _require(reader, record, following)
        record = following
