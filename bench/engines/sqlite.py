"""sqlite3 of the standard library behind the interface."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from bench.engines.protocol import Feature, Keys, Pairs

__all__ = ["Sqlite"]

_GET = "SELECT value FROM entries WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO {} VALUES (?, ?)"
_CREATE = "CREATE TABLE IF NOT EXISTS {} (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"


class Sqlite:
    """A table without row ids, a write-ahead log, a connection for each thread and each open snapshot."""

    name = "sqlite3"
    features = frozenset({Feature.SNAPSHOTS, Feature.TREES, Feature.THREADS, Feature.PROCESSES})
    _settings: ClassVar[dict[str, str]] = {
        "journal_mode": "WAL",
        "cache_size": "-65536",  # kibibytes
        "mmap_size": str(1 << 40),  # as far as the library allows
    }

    def __init__(self) -> None:
        self._path = ""
        self._synchronous = ""
        self._of_thread = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._idle: list[sqlite3.Connection] = []

    def open(self, folder: str, *, sync: bool, trees: int = 0) -> None:
        self._path = os.path.join(folder, "bench.sqlite")
        # With a log, FULL syncs it at each commit.
        self._synchronous = "FULL" if sync else "OFF"
        connection = self._connection()
        for table in ("entries", *(f"tree_{number}" for number in range(trees))):
            connection.execute(_CREATE.format(table))

    def close(self) -> None:
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._idle.clear()
        self._of_thread = threading.local()

    def sync(self) -> None:
        connection = self._connection()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")

    def put_all(self, pairs: Pairs) -> None:
        self._execute_many(_PUT.format("entries"), pairs)

    def put_ascending(self, pairs: Pairs) -> None:
        self.put_all(pairs)

    def load_ascending(self, pairs: Pairs) -> None:
        self.put_all(pairs)

    def delete_all(self, keys: Iterable[bytes]) -> None:
        self._execute_many("DELETE FROM entries WHERE key = ?", ((key,) for key in keys))

    def put_one(self) -> Callable[[bytes, bytes], object]:
        statement = _PUT.format("entries")
        connection = self._connection
        return lambda key, value: connection().execute(statement, (key, value))

    def get_one(self) -> Callable[[bytes], bytes | None]:
        connection = self._connection

        def get(key: bytes) -> bytes | None:
            row = connection().execute(_GET, (key,)).fetchone()
            return row[0] if row else None

        return get

    def put_in_trees(self, entries: Iterable[tuple[int, bytes, bytes]]) -> None:
        with self._transaction() as connection:
            for number, key, value in entries:
                connection.execute(_PUT.format(f"tree_{number}"), (key, value))

    def get_from_trees(self, snapshot: Any) -> Callable[[int, bytes], bytes | None]:
        execute = snapshot.connection.execute

        def get(number: int, key: bytes) -> bytes | None:
            row = execute(f"SELECT value FROM tree_{number} WHERE key = ?", (key,)).fetchone()
            return row[0] if row else None

        return get

    def snapshot(self) -> Callable[[], Any]:
        def take() -> _Snapshot:
            connection = self._idle.pop() if self._idle else self._connect()
            return _Snapshot(connection, self._idle)

        return take

    def end(self, snapshot: Any) -> None:
        snapshot.end()

    def get_many(self, snapshot: Any) -> Callable[[Keys], Any]:
        execute = snapshot.connection.execute

        def get_many(keys: Keys) -> list[tuple[bytes, bytes]]:
            places = ",".join("?" * len(keys))
            found: list[tuple[bytes, bytes]] = execute(
                f"SELECT key, value FROM entries WHERE key IN ({places})", keys
            ).fetchall()
            return found

        return get_many

    def values_of(self, result: Any, keys: Keys) -> list[bytes | None]:
        found: dict[bytes, bytes] = dict(result)
        return [found.get(key) for key in keys]

    def scan(self, snapshot: Any) -> Iterator[tuple[bytes, bytes]]:
        rows: Iterator[tuple[bytes, bytes]] = snapshot.connection.execute(
            "SELECT key, value FROM entries ORDER BY key"
        )
        return rows

    def scan_from(self, snapshot: Any) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
        execute: Callable[..., Iterator[tuple[bytes, bytes]]] = snapshot.connection.execute
        statement = "SELECT key, value FROM entries WHERE key >= ? ORDER BY key"
        return lambda key: execute(statement, (key,))

    def version(self) -> str:
        return sqlite3.sqlite_version

    def settings(self) -> dict[str, object]:
        return {**self._settings, "synchronous": "FULL where durable, else OFF"}

    def _connection(self) -> sqlite3.Connection:
        """The calling thread's."""
        connection: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = self._connect()
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=60, isolation_level=None, check_same_thread=False
        )
        self._all.append(connection)
        for name, value in {**self._settings, "synchronous": self._synchronous}.items():
            connection.execute(f"PRAGMA {name} = {value}")
        return connection

    def _execute_many(self, statement: str, rows: Iterable[tuple[bytes, ...]]) -> None:
        with self._transaction() as connection:
            connection.executemany(statement, rows)

    def _transaction(self) -> sqlite3.Connection:
        """Its `with` commits, or rolls back on an exception."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        return connection


class _Snapshot:
    """A connection in a read transaction; given back when it ends."""

    def __init__(self, connection: sqlite3.Connection, idle: list[sqlite3.Connection]) -> None:
        self.connection: sqlite3.Connection = connection
        self._idle: list[sqlite3.Connection] | None = idle
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM entries LIMIT 1").fetchone()  # it begins with a read

    def get(self, key: bytes, /) -> bytes | None:
        row = self.connection.execute(_GET, (key,)).fetchone()
        return row[0] if row else None

    def end(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            self.connection.execute("ROLLBACK")
            idle.append(self.connection)

    def __del__(self) -> None:
        self.end()
