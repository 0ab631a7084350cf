"""RocksDB behind the interface, through the `rocksdict` package."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench.engines.protocol import Feature, Keys, Pairs

__all__ = ["Rocksdict"]


class Rocksdict:
    """Raw bytes, otherwise the package's defaults."""

    name = "rocksdict"
    # Iterating over a snapshot of the package gives what is newest (0.3.29), so held ones are left out.
    features = frozenset({Feature.THREADS})

    def __init__(self) -> None:
        self._module: Any = importlib.import_module("rocksdict")
        self.db: Any = None
        self._write_options: Any = None

    def open(self, folder: str, *, sync: bool, trees: int = 0) -> None:
        options = self._module.Options(raw_mode=True)
        self.db = self._module.Rdict(os.path.join(folder, "rocksdb"), options)
        self._write_options = self._module.WriteOptions()
        self._write_options.sync = sync
        self.db.set_write_options(self._write_options)

    def close(self) -> None:
        self.db.close()
        self.db = None

    def sync(self) -> None:
        self.db.flush_wal(True)

    def put_all(self, pairs: Pairs) -> None:
        batch = self._module.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in pairs:
            put(key, value)
        self.db.write(batch, self._write_options)

    def put_ascending(self, pairs: Pairs) -> None:
        self.put_all(pairs)

    def load_ascending(self, pairs: Pairs) -> None:
        self.put_all(pairs)

    def delete_all(self, keys: Iterable[bytes]) -> None:
        batch = self._module.WriteBatch(raw_mode=True)
        delete = batch.delete
        for key in keys:
            delete(key)
        self.db.write(batch, self._write_options)

    def put_one(self) -> Callable[[bytes, bytes], object]:
        put: Callable[[bytes, bytes], object] = self.db.put
        return put

    def get_one(self) -> Callable[[bytes], bytes | None]:
        get: Callable[[bytes], bytes | None] = self.db.get
        return get

    def put_in_trees(self, entries: Iterable[tuple[int, bytes, bytes]]) -> None:
        raise NotImplementedError

    def get_from_trees(self, snapshot: Any) -> Callable[[int, bytes], bytes | None]:
        raise NotImplementedError

    def snapshot(self) -> Callable[[], Any]:
        take = self.db.snapshot
        return lambda: _Snapshot(take())

    def end(self, snapshot: Any) -> None:
        snapshot.end()

    def get_many(self, snapshot: Any) -> Callable[[Keys], Any]:
        """A snapshot has none: the database's, which nothing changes meanwhile."""
        get_many: Callable[[Keys], Any] = self.db.get
        return get_many

    def values_of(self, result: Any, keys: Keys) -> list[bytes | None]:
        return list(result)

    def scan(self, snapshot: Any) -> Iterator[tuple[bytes, bytes]]:
        items: Iterator[tuple[bytes, bytes]] = snapshot.raw.items()
        return items

    def scan_from(self, snapshot: Any) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
        items = snapshot.raw.items
        return lambda key: iter(items(from_key=key))

    def version(self) -> str:
        return importlib.metadata.version("rocksdict")

    def settings(self) -> dict[str, object]:
        return {"raw_mode": True, "sync": "as the workload"}


class _Snapshot:
    """The package's has `[]` alone."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def get(self, key: bytes, /) -> bytes | None:
        try:
            value: bytes = self.raw[key]
        except KeyError:
            return None
        return value

    def end(self) -> None:
        self.raw = None
