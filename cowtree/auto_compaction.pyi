"""Compaction by itself: when it is due, the thread that does it, and how the writer is slowed meanwhile."""

from cowtree.commit_state import CommitState
from cowtree.engine import Engine

GROWN_BYTES: int

class Worker:
    engine: Engine
    own: bool
    def start(self) -> None: ...
    def stop(self, seconds: float | None = 0.1) -> None: ...

def after_commit(engine: Engine, state: CommitState) -> None: ...
