"""The newest commit of a file, as this process knows it."""

from typing import Self

from cowtree.commit_state import CommitState
from cowtree.log import Event
from cowtree.storage.page_file import PageFile
from cowtree.storage.recovery import Recovery

class Tips:
    file: PageFile
    published: CommitState
    appended: CommitState
    path: str | None
    readonly: bool
    closed: bool
    superseded: bool
    successor: Self | None
    durable_sequence: int
    recovery: Recovery | None
    events: list[Event]
    @property
    def identity(self) -> tuple[int, int]: ...
    def replaced(self) -> bool: ...
    def find_successor(self) -> bool: ...
    def succeed(self, successor: Self | None) -> None: ...
