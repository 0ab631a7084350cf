"""A new file with the commits that are kept, in the place of the old one."""

from collections.abc import Callable

from cowtree.database import Database
from cowtree.renumbering import Renumbering

class Rewriter(Renumbering): ...

class Foreground:
    own: bool
    def stop(self, seconds: float = 0) -> None: ...

class Progress:
    progress: Callable[[int, int | None], object] | None
    next_call: float
    def __init__(self, progress: Callable[[int, int | None], object] | None) -> None: ...
    def advance(self, done: int) -> None: ...
    def finish(self, done: int) -> None: ...

def compact(database: Database, progress: Callable[[int, int | None], object] | None) -> None: ...
