"""cowtree behind the interface."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench.engines.protocol import Feature, Keys, Pairs

__all__ = ["Cowtree"]


class Cowtree:
    """cowtree with its defaults, but for the memory that a transaction may hold."""

    name = "cowtree"
    features = frozenset(Feature)
    # Loads of one transaction stay within the memory budget, as LMDB's do within its map.
    _write_memory = 1 << 30

    def __init__(self) -> None:
        self._module: Any = importlib.import_module("cowtree")
        self.db: Any = None
        self._path = ""
        self._trees: list[str] = []

    def open(self, folder: str, *, sync: bool, trees: int = 0) -> None:
        self._path = os.path.join(folder, "bench.cow")
        self.db = self._module.open(self._path, sync=sync, write_memory=self._write_memory)
        self._trees = [f"tree-{number}" for number in range(trees)]

    def close(self) -> None:
        self.db.close()
        self.db = None  # the file stays mapped as long as a handle is there

    def sync(self) -> None:
        self.db.sync()

    def put_all(self, pairs: Pairs) -> None:
        with self.db.transaction() as txn:
            put = txn.put
            for key, value in pairs:
                put(key, value)

    def put_ascending(self, pairs: Pairs) -> None:
        self.put_all(pairs)

    def load_ascending(self, pairs: Pairs) -> None:
        with self.db.transaction() as txn:
            txn.load(pairs)

    def delete_all(self, keys: Iterable[bytes]) -> None:
        with self.db.transaction() as txn:
            delete = txn.delete
            for key in keys:
                delete(key)

    def put_one(self) -> Callable[[bytes, bytes], object]:
        put: Callable[[bytes, bytes], object] = self.db.put
        return put

    def get_one(self) -> Callable[[bytes], bytes | None]:
        get: Callable[[bytes], bytes | None] = self.db.get
        return get

    def put_in_trees(self, entries: Iterable[tuple[int, bytes, bytes]]) -> None:
        with self.db.transaction() as txn:
            puts: dict[int, Any] = {}
            for number, key, value in entries:
                put = puts.get(number)
                if put is None:
                    put = puts[number] = txn.tree(self._trees[number]).put
                put(key, value)

    def get_from_trees(self, snapshot: Any) -> Callable[[int, bytes], bytes | None]:
        gets = [snapshot.tree(name).get for name in self._trees]
        return lambda number, key: gets[number](key)

    def snapshot(self) -> Callable[[], Any]:
        take: Callable[[], Any] = self.db.snapshot
        return take

    def end(self, snapshot: Any) -> None:
        snapshot.close()

    def get_many(self, snapshot: Any) -> Callable[[Keys], Any]:
        get_many: Callable[[Keys], Any] = snapshot.get_many
        return get_many

    def values_of(self, result: Any, keys: Keys) -> list[bytes | None]:
        return list(result)

    def scan(self, snapshot: Any) -> Iterator[tuple[bytes, bytes]]:
        return iter(snapshot.items())

    def scan_from(self, snapshot: Any) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
        items = snapshot.items
        return lambda key: iter(items(key))

    def version(self) -> str:
        return str(self._module.__version__)

    def settings(self) -> dict[str, object]:
        return {
            "page_size": 4096,
            "write_memory": self._write_memory,
            "compact": "by itself, as by default: above twice the live bytes and 16 MiB",
        }
