"""One engine per file and process: locks, commits, syncs."""

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
    def sync(self) -> None: ...
    def shutdown(self) -> None: ...
    @property
    def busy(self) -> bool: ...
    @property
    def durable(self) -> int: ...
