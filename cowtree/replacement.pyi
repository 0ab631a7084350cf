"""A new file that takes the place of a database's file: the steps that both ways of compaction share."""

from cowtree.commit_state import CommitState
from cowtree.engine import Engine
from cowtree.storage.commit_record import CommitRecord
from cowtree.storage.page_file import PageFile
from cowtree.storage.record_reader import RecordReader

class Replacement:
    target: PageFile
    first: CommitRecord
    temporary: str | None
    def discard(self) -> None: ...

def kept_records(
    engine: Engine, newest: CommitState, since: int = 0
) -> dict[int, CommitRecord]: ...
def young_records(
    engine: Engine, newest: CommitState, since: int, pages: int
) -> list[CommitRecord]: ...
def commit_before(reader: RecordReader, record: CommitRecord) -> CommitRecord: ...
