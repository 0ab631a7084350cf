"""ZODB behind the interface: a `BTrees.OOBTree` in a file storage."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench.engines.protocol import Feature, Keys, Pairs

__all__ = ["Zodb"]


class Zodb:
    """A connection for the writer, one for each snapshot."""

    name = "zodb"
    # Writers in several threads meet conflicts that they are expected to resolve: left out.
    features = frozenset({Feature.SNAPSHOTS, Feature.TREES})
    _cache_size = 100_000  # objects

    def __init__(self) -> None:
        self._database: Any = importlib.import_module("ZODB")
        self._storage: Any = importlib.import_module("ZODB.FileStorage.FileStorage")
        self._tree: Any = importlib.import_module("BTrees.OOBTree").OOBTree
        self.manager: Any = importlib.import_module("transaction").TransactionManager
        self._fsync = self._storage.fsync
        self._writer: Any = None
        self._reader: Any = None
        self.db: Any = None

    def open(self, folder: str, *, sync: bool, trees: int = 0) -> None:
        # A file storage syncs at each commit, where there is a call for it: it looks at this name.
        self._storage.fsync = self._fsync if sync else None
        storage = self._storage.FileStorage(os.path.join(folder, "bench.fs"))
        self.db = self._database.DB(storage, cache_size=self._cache_size, large_record_size=1 << 40)
        self._writer, self._reader = _Connection(self), _Connection(self)
        root = self._writer.root
        for name in ("entries", *(f"tree-{number}" for number in range(trees))):
            if name not in root:
                root[name] = self._tree()
        self._writer.manager.commit()

    def close(self) -> None:
        self._writer.end()
        self._reader.end()
        self.db.close()
        self._storage.fsync = self._fsync

    def sync(self) -> None:
        file = self.db.storage._file
        file.flush()
        os.fsync(file.fileno())

    def put_all(self, pairs: Pairs) -> None:
        tree = self._writer.begin()
        for key, value in pairs:
            tree[key] = value
        self._writer.manager.commit()

    def put_ascending(self, pairs: Pairs) -> None:
        self.put_all(pairs)

    def load_ascending(self, pairs: Pairs) -> None:
        tree = self._writer.begin()
        tree.update(pairs)
        self._writer.manager.commit()

    def delete_all(self, keys: Iterable[bytes]) -> None:
        tree = self._writer.begin()
        for key in keys:
            del tree[key]
        self._writer.manager.commit()

    def put_one(self) -> Callable[[bytes, bytes], object]:
        begin, commit = self._writer.begin, self._writer.manager.commit

        def put(key: bytes, value: bytes) -> None:
            begin()[key] = value
            commit()

        return put

    def get_one(self) -> Callable[[bytes], bytes | None]:
        begin = self._reader.begin

        def get(key: bytes) -> bytes | None:
            found: bytes | None = begin().get(key)
            return found

        return get

    def put_in_trees(self, entries: Iterable[tuple[int, bytes, bytes]]) -> None:
        self._writer.begin()
        root = self._writer.root
        for number, key, value in entries:
            root[f"tree-{number}"][key] = value
        self._writer.manager.commit()

    def get_from_trees(self, snapshot: Any) -> Callable[[int, bytes], bytes | None]:
        root = snapshot.root
        return lambda number, key: root[f"tree-{number}"].get(key)

    def snapshot(self) -> Callable[[], Any]:
        return lambda: _Connection(self)

    def end(self, snapshot: Any) -> None:
        snapshot.end()

    def get_many(self, snapshot: Any) -> Callable[[Keys], Any]:
        """It has none: a get each."""
        get = snapshot.get
        return lambda keys: [get(key) for key in keys]

    def values_of(self, result: Any, keys: Keys) -> list[bytes | None]:
        return list(result)

    def scan(self, snapshot: Any) -> Iterator[tuple[bytes, bytes]]:
        items: Iterator[tuple[bytes, bytes]] = iter(snapshot.root["entries"].items())
        return items

    def scan_from(self, snapshot: Any) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
        items = snapshot.root["entries"].items
        return lambda key: iter(items(min=key))

    def version(self) -> str:
        return importlib.metadata.version("ZODB")

    def settings(self) -> dict[str, object]:
        return {
            "storage": "FileStorage",
            "cache_size": self._cache_size,
            "sync": "as the workload: without, the storage's call of fsync is taken out",
        }


class _Connection:
    """A connection, which sees the state of its transaction's beginning, and its transactions."""

    def __init__(self, engine: Zodb) -> None:
        self.manager: Any = engine.manager()
        self._connection: Any = engine.db.open(self.manager)
        self.root: Any = self._connection.root()

    def begin(self) -> Any:
        """The tree in a new transaction, which sees the newest commit."""
        self.manager.begin()
        return self.root["entries"]

    def get(self, key: bytes, /) -> bytes | None:
        found: bytes | None = self.root["entries"].get(key)
        return found

    def end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self.manager.abort()
            connection.close()

    def __del__(self) -> None:
        self.end()
