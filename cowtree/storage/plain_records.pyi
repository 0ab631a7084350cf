"""Records that need no tree: the first of a file, gaps, and those of tests."""

from collections.abc import Iterable

from .commit_record import CommitRecord
from .page_file import PageFile
from .range_writer import RangeWriter

def first_record_page(
    page_size: int, uuid: bytes, generation: int, nonce: int, time_ns: int
) -> bytes: ...
def write_gap(
    file: PageFile, previous: CommitRecord, end_page: int, next_commit_id: int, durable_upto: int
) -> CommitRecord: ...
def write_record(
    file: PageFile,
    previous: CommitRecord,
    pages: Iterable[bytes | bytearray],
    *,
    commit_id: int | None = None,
    nonce: int | None = None,
    note: bytes = b"",
    durable_upto: int | None = None,
    administrative: bool = False,
    presynced: bool = False,
    unsynced: bool = False,
    retired: Iterable[tuple[int, int, int, bool]] = (),
    flush_first: bool = False,
    sync: bool = True,
    retired_room: int = 0xFFFF,
    writer: RangeWriter | None = None,
    embedded: bytes | None = None,
    zero_checksums: int = 0,
) -> CommitRecord: ...
def mark_verified(writer: RangeWriter, file: PageFile) -> None: ...
