"""A session store: compare-and-set for changes, expiry by a second tree that is ordered by time.

The database has no TTL of its own. Here the tree "expiry" holds a key (time, token) for every session, so that the
sessions that have run out are one range at its beginning. Both trees change in one transaction and never disagree.

Times are floats throughout: in a Tuple key every int sorts before every float.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cowtree
from cowtree.codecs import Bytes, MsgPack, Text, Tuple

Session = dict[str, Any]

LIFETIME_SECONDS = 1800.0


class SessionStore:
    """Sessions by token. Safe for many threads, and for many processes on one file."""

    def __init__(self, db: cowtree.Database) -> None:
        self.db = db
        self.sessions = db.tree("sessions", key=Text, value=MsgPack)

    def create(self, user: str, now: float) -> str:
        """A new session's token."""
        token = secrets.token_urlsafe(16)
        with self.db.transaction() as txn:
            _store(txn, token, {"user": user, "views": 0}, now + LIFETIME_SECONDS)
        return token

    def get(self, token: str, now: float) -> Session | None:
        """The session, or None if there is none or it has run out, swept away or not."""
        return _alive(self.sessions.get(token), now)

    def change(self, token: str, now: float, edit: Callable[[Session], Session]) -> Session:
        """Replace a session by `edit` of it. No lock is held meanwhile: `edit` runs again if another was faster."""
        while (session := self.get(token, now)) is not None:
            edited = edit(session)
            if self.sessions.put(token, edited, expect=session):
                return edited
        raise KeyError(token)

    def touch(self, token: str, now: float) -> None:
        """Let a session live on."""
        with self.db.transaction() as txn:
            # Read through the transaction: what it sees stays true until it commits, as there is one writer at a time.
            session = _alive(txn.tree("sessions", key=Text, value=MsgPack).get(token), now)
            if session is None:
                raise KeyError(token)
            txn.tree("expiry", key=Tuple).delete((session["expires"], token))
            _store(txn, token, session, now + LIFETIME_SECONDS)

    def sweep(self, now: float) -> int:
        """Delete the sessions that have run out; how many. O(what is deleted), whatever is stored."""
        with self.db.transaction() as txn:
            sessions = txn.tree("sessions", key=Text, value=MsgPack)
            expiry = txn.tree("expiry", key=Tuple)
            for _, token in expiry.keys(stop=(float(now),)):
                del sessions[token]
            return expiry.delete_range(stop=(float(now),))


def _store(txn: cowtree.Transaction, token: str, session: Session, expires: float) -> None:
    txn.tree("sessions", key=Text, value=MsgPack)[token] = session | {"expires": expires}
    txn.tree("expiry", key=Tuple, value=Bytes)[expires, token] = b""


def _alive(session: Session | None, now: float) -> Session | None:
    return session if session is not None and now < session["expires"] else None


def count_view(session: Session) -> Session:
    return session | {"views": session["views"] + 1}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cowtree.open(Path(folder) / "sessions.cow") as db,
    ):
        store = SessionStore(db)
        noon = 43_200.0  # a program passes time.time()
        ada, bob = store.create("ada", noon), store.create("bob", noon)
        with ThreadPoolExecutor(4) as threads:  # no view is lost, though four threads count at once
            list(threads.map(lambda _: store.change(ada, noon, count_view), range(100)))
        session = store.get(ada, noon)
        assert session is not None
        assert session["views"] == 100
        print("views counted by four threads:", session["views"])

        store.touch(ada, noon + 1000)
        later = noon + LIFETIME_SECONDS + 1
        assert store.get(bob, later) is None
        assert store.sweep(later) == 1
        assert list(store.sessions) == [ada]
        assert [token for _, token in db.tree("expiry", key=Tuple)] == [ada]
        print("sessions left after a sweep:", len(store.sessions))


if __name__ == "__main__":
    main()
