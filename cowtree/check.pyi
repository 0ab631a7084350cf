"""The checker."""

from collections.abc import Callable
from typing import Any

from cowtree.commit_state import CommitState
from cowtree.errors import CorruptionError
from cowtree.stats import Report
from cowtree.storage.page_file import PageFile

PROBLEMS_MAX: int

class Checker:
    def report_once(self, error: CorruptionError) -> None: ...

def page_kinds(state: CommitState, file: PageFile) -> dict[str, Any]: ...
def check_state(
    state: CommitState, file: PageFile, progress: Callable[[int, int | None], object] | None
) -> Report: ...
