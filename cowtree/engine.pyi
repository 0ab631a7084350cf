"""One engine per file and process: locks, tips, syncs."""

from cowtree.storage.commit_record import CommitRecord
from cowtree.storage.file_lock import FileLock
from cowtree.storage.page_file import PageFile
from cowtree.storage.recovery import Recovery

class CommitState:
    record: CommitRecord
    end: int

class Engine:
    file: PageFile
    published: CommitState
    appended: CommitState
    path: str | None
    readonly: bool
    closed: bool
    durable_sequence: int
    handles: int
    snapshots: int
    recovery: Recovery | None
    def __init__(
        self,
        file: PageFile,
        lock: FileLock | None,
        path: str | None,
        boot: bytes,
        copy_on_write: bool,
    ) -> None: ...
    def sync(self) -> None: ...
    def shutdown(self) -> None: ...
    @property
    def busy(self) -> bool: ...
    @property
    def durable(self) -> int: ...
