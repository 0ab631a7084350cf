"""The named trees and tags of a commit, read from its catalogue."""

from collections.abc import Iterator
from typing import Any

from cowtree.catalogue import Tag
from cowtree.commit_state import CommitState
from cowtree.stats import Settings
from cowtree.storage.commit_record import CommitRecord
from cowtree.storage.record_reader import RecordReader

def catalogue_records(state: CommitState) -> Iterator[tuple[str, tuple[Any, ...]]]: ...
def settings_of(state: CommitState, page_size: int, path: str | None) -> Settings: ...
def tags_in(state: CommitState, path: str | None) -> dict[str, Tag]: ...
def record_giving(reader: RecordReader, record: CommitRecord) -> CommitRecord: ...
