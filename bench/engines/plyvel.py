"""LevelDB behind the interface, through the `plyvel` package."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from bench.engines.protocol import Feature, Keys, Pairs

__all__ = ["Plyvel"]


class Plyvel:
    """A larger write buffer and cache than the defaults, which are made for small machines."""

    name = "plyvel"
    features = frozenset({Feature.SNAPSHOTS, Feature.THREADS})
    _options: ClassVar[dict[str, object]] = {
        "write_buffer_size": 64 << 20,
        "lru_cache_size": 256 << 20,
        "bloom_filter_bits": 10,
    }

    def __init__(self) -> None:
        self._module: Any = importlib.import_module("plyvel")
        self.db: Any = None
        self._sync = False

    def open(self, folder: str, *, sync: bool, trees: int = 0) -> None:
        path = os.path.join(folder, "leveldb")
        self.db = self._module.DB(path, create_if_missing=True, **self._options)
        self._sync = sync

    def close(self) -> None:
        self.db.close()

    def sync(self) -> None:
        self.db.write_batch(sync=True).write()

    def put_all(self, pairs: Pairs) -> None:
        with self.db.write_batch(sync=self._sync, transaction=True) as batch:
            put = batch.put
            for key, value in pairs:
                put(key, value)

    def put_ascending(self, pairs: Pairs) -> None:
        self.put_all(pairs)

    def load_ascending(self, pairs: Pairs) -> None:
        self.put_all(pairs)

    def delete_all(self, keys: Iterable[bytes]) -> None:
        with self.db.write_batch(sync=self._sync, transaction=True) as batch:
            delete = batch.delete
            for key in keys:
                delete(key)

    def put_one(self) -> Callable[[bytes, bytes], object]:
        put, sync = self.db.put, self._sync
        return lambda key, value: put(key, value, sync=sync)

    def get_one(self) -> Callable[[bytes], bytes | None]:
        get: Callable[[bytes], bytes | None] = self.db.get
        return get

    def put_in_trees(self, entries: Iterable[tuple[int, bytes, bytes]]) -> None:
        raise NotImplementedError

    def get_from_trees(self, snapshot: Any) -> Callable[[int, bytes], bytes | None]:
        raise NotImplementedError

    def snapshot(self) -> Callable[[], Any]:
        take: Callable[[], Any] = self.db.snapshot
        return take

    def end(self, snapshot: Any) -> None:
        snapshot.close()

    def get_many(self, snapshot: Any) -> Callable[[Keys], Any]:
        """It has none: a get each."""
        get = snapshot.get
        return lambda keys: [get(key) for key in keys]

    def values_of(self, result: Any, keys: Keys) -> list[bytes | None]:
        return list(result)

    def scan(self, snapshot: Any) -> Iterator[tuple[bytes, bytes]]:
        return iter(snapshot.iterator())

    def scan_from(self, snapshot: Any) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
        iterator = snapshot.iterator
        return lambda key: iter(iterator(start=key))

    def version(self) -> str:
        return importlib.metadata.version("plyvel")

    def settings(self) -> dict[str, object]:
        return {**self._options, "sync": "as the workload"}
