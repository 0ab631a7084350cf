"""What changed: one difference, and the feed that resumes where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

__all__ = ["Change", "Changes", "wait_for_commit"]

# Between two looks at the newest commit. The first wait is short, for the commit that is about to come; the longest
# leaves room below the 50 ms that `Database.wait` promises, and costs a sleeping process 50 wake-ups a second.
FIRST_PAUSE_SECONDS = 0.0005
LONGEST_PAUSE_SECONDS = 0.02

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Change(Generic[K, V]):
    """One entry that differs between two states."""

    tree: str | None
    """Name of its tree; None: the default tree."""
    key: K
    kind: Literal["added", "removed", "changed"]
    old: V | None
    """The value before; None if it was added (or with `values=False`)."""
    new: V | None
    """The value after; None if it was removed (or with `values=False`)."""


class Changes:
    """The changes from one commit up to the commit that was the newest when this was made. Made by `Database.changes`.

    Iterating gives `Change`s tree by tree, the default tree first, in key order; each iteration starts anew. It costs
    what changed, and memory for one change.
    """

    def __init__(
        self, since: int, until: int, begin: Callable[[], Iterator[Change[bytes, bytes]]]
    ) -> None:
        self._position = since
        self._until = until
        self._begin = begin

    @property
    def position(self) -> int:
        """What to store and to pass as `since`: the commit up to which everything was given.

        Before an iteration has come to its end this is where it began, so that a consumer that is interrupted gets the
        same changes again rather than losing some.
        """
        return self._position

    def __iter__(self) -> Iterator[Change[bytes, bytes]]:
        yield from self._begin()
        self._position = self._until

    def __repr__(self) -> str:
        return f"<cowtree.Changes from commit {self._position} to {self._until}>"


def wait_for_commit(newest_id: Callable[[], int], after: int, timeout: float | None) -> int | None:
    """The newest id as soon as it is above `after`, or None after `timeout` seconds. Raises what `newest_id` raises.

    Nothing is registered anywhere, so neither a killed waiter nor a killed writer leaves anything behind, and it works
    where notification of files does not (writes of other mounts, mappings).
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_PAUSE_SECONDS
    while (newest := newest_id()) <= after:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            pause = min(pause, left)
        time.sleep(pause)
        pause = min(max(pause, FIRST_PAUSE_SECONDS) * 1.5, LONGEST_PAUSE_SECONDS)
    return newest
