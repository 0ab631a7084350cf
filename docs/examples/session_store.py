"""A session store: compare-and-set instead of locks, and expiry by a second tree that is ordered by time.

Two requests that change one session at once: the one that comes second sees that its version is old and tries again.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cowtree
from cowtree.codecs import MsgPack, Text, Tuple

Session = dict[str, Any]


class Sessions:
    """Sessions that end `lifetime_seconds` after their last change."""

    def __init__(self, db: cowtree.Database, lifetime_seconds: float) -> None:
        self.db = db
        self.lifetime_seconds = lifetime_seconds
        self.sessions = db.tree("sessions", key=Text, value=MsgPack)

    def create(self, session: Session) -> str:
        """Store a new session; its token."""
        token = secrets.token_urlsafe(16)
        self._store(token, session, expect=None)
        return token

    def change(self, token: str, change: Callable[[Session], None]) -> Session:
        """Change a session, again if another request was faster; KeyError if there is none."""
        while True:
            old = self.sessions[token]
            new = dict(old)
            change(new)
            if self._store(token, new, expect=old):
                return new

    def _store(self, token: str, session: Session, expect: Session | None) -> bool:
        with self.db.transaction() as txn:
            sessions = txn.tree("sessions", key=Text, value=MsgPack)
            if not sessions.put(token, session, expect=expect):
                return False
            expires = time.time() + self.lifetime_seconds
            expiry = txn.tree("expiry", key=Tuple)
            times = txn.tree("expires", key=Text, value=Tuple)
            before = times.replace(token, (expires,))
            if before is not None:
                expiry.delete((*before, token))
            expiry[expires, token] = b""
        return True

    def expire(self, now: float) -> int:
        """Forget what has ended; how many."""
        with self.db.transaction() as txn:
            expiry = txn.tree("expiry", key=Tuple)
            ended = list(expiry.keys(stop=(now,)))
            for _, token in ended:
                del txn.tree("sessions", key=Text)[token]
                del txn.tree("expires", key=Text)[token]
            expiry.delete_range(stop=(now,))
        return len(ended)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "sessions.cow") as db:
        sessions = Sessions(db, lifetime_seconds=60)
        token = sessions.create({"user": "ada", "visits": 0})

        def visit(session: Session) -> None:
            if session["visits"] == 0:  # somebody else is faster, once
                sessions.sessions.replace(token, {"user": "ada", "visits": 10})
            session["visits"] += 1

        print("visits:", sessions.change(token, visit)["visits"])
        print("expired now:", sessions.expire(time.time()))
        print("expired in two minutes:", sessions.expire(time.time() + 120))
        print("left:", len(sessions.sessions))


if __name__ == "__main__":
    main()
