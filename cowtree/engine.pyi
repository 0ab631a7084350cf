"""One engine per file and process: locks, tips, syncs."""

from cowtree.commit_state import CommitState
from cowtree.storage.file_lock import FileLock
from cowtree.storage.page_file import PageFile
from cowtree.storage.recovery import Recovery

class Engine:
    file: PageFile
    published: CommitState
    appended: CommitState
    path: str | None
    readonly: bool
    closed: bool
    superseded: bool
    successor: Engine | None
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
    def find_successor(self) -> bool: ...
    def succeed(self, successor: Engine | None) -> None: ...
    def sync(self) -> None: ...
    def shutdown(self) -> None: ...
    @property
    def busy(self) -> bool: ...
    @property
    def durable(self) -> int: ...
