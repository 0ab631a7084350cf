"""The named trees and tags of a commit, read from its catalogue."""

import struct
from collections.abc import Iterator
from typing import Any

from cowtree.engine import CommitState
from cowtree.storage.commit_record import CommitRecord
from cowtree.storage.page_file import PageFile

TREE_RECORD: struct.Struct

def catalogue_records(state: CommitState) -> Iterator[tuple[str, tuple[Any, ...]]]: ...
def record_giving(file: PageFile, record: CommitRecord) -> CommitRecord: ...
