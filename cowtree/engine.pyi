"""One engine per file and process: locks, commits, syncs."""

from typing import Any

from cowtree.storage.file_lock import FileLock
from cowtree.storage.page_file import PageFile
from cowtree.tips import Tips

class Engine(Tips):
    handles: int
    snapshots: int
    def __init__(
        self,
        file: PageFile,
        lock: FileLock | None,
        path: str | None,
        boot: bytes,
        copy_on_write: bool,
    ) -> None: ...
    grown_at: int
    shrunk_to: int
    bound: int
    pace_ns: int
    compactor: Any
    compaction_problem: str | None
    def stop_compaction(self, seconds: float | None = 0.1) -> None: ...
    def count_handles(self, more: int) -> int: ...
    def pass_on(self) -> None: ...
    def sync(self) -> None: ...
    def shutdown(self) -> None: ...
    @property
    def writers_waiting(self) -> int: ...
    @property
    def busy(self) -> bool: ...
    @property
    def durable(self) -> int: ...
