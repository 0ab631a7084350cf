"""LMDB behind the interface."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from bench.engines.protocol import Feature, Keys, Pairs

__all__ = ["Lmdb"]


class Lmdb:
    """LMDB through the `lmdb` package: a map large enough, otherwise its defaults, named here."""

    name = "lmdb"
    features = frozenset({Feature.SNAPSHOTS, Feature.TREES, Feature.THREADS, Feature.PROCESSES})
    _options: ClassVar[dict[str, object]] = {
        "max_dbs": 8,  # more where a workload opens more trees
        "writemap": False,
        "readahead": True,
        "lock": True,
    }

    def __init__(self) -> None:
        self._module: Any = importlib.import_module("lmdb")
        self.env: Any = None
        self.map_size = 64 << 30  # room for all that a workload writes
        self._trees: list[Any] = []

    def open(self, folder: str, *, sync: bool, trees: int = 0) -> None:
        options = {**self._options, "max_dbs": trees} if trees else self._options
        path = os.path.join(folder, "lmdb")
        self.env = self._module.open(
            path, map_size=self.map_size, sync=sync, metasync=sync, **options
        )
        self._trees = [self.env.open_db(b"tree-%d" % number) for number in range(trees)]

    def close(self) -> None:
        self.env.close()

    def sync(self) -> None:
        self.env.sync(True)

    def put_all(self, pairs: Pairs) -> None:
        with self.env.begin(write=True) as txn:
            put = txn.put
            for key, value in pairs:
                put(key, value)

    def put_ascending(self, pairs: Pairs) -> None:
        with self.env.begin(write=True) as txn:
            put = txn.put
            for key, value in pairs:
                put(key, value, append=True)

    def load_ascending(self, pairs: Pairs) -> None:
        with self.env.begin(write=True) as txn:
            txn.cursor().putmulti(pairs, append=True)

    def delete_all(self, keys: Iterable[bytes]) -> None:
        with self.env.begin(write=True) as txn:
            delete = txn.delete
            for key in keys:
                delete(key)

    def put_one(self) -> Callable[[bytes, bytes], object]:
        begin = self.env.begin

        def put(key: bytes, value: bytes) -> None:
            with begin(write=True) as txn:
                txn.put(key, value)

        return put

    def get_one(self) -> Callable[[bytes], bytes | None]:
        begin = self.env.begin

        def get(key: bytes) -> bytes | None:
            with begin() as txn:
                found: bytes | None = txn.get(key)
                return found

        return get

    def put_in_trees(self, entries: Iterable[tuple[int, bytes, bytes]]) -> None:
        trees = self._trees
        with self.env.begin(write=True) as txn:
            put = txn.put
            for number, key, value in entries:
                put(key, value, db=trees[number])

    def get_from_trees(self, snapshot: Any) -> Callable[[int, bytes], bytes | None]:
        get, trees = snapshot.get, self._trees
        return lambda number, key: get(key, db=trees[number])

    def snapshot(self) -> Callable[[], Any]:
        begin: Callable[[], Any] = self.env.begin
        return begin

    def end(self, snapshot: Any) -> None:
        snapshot.abort()

    def get_many(self, snapshot: Any) -> Callable[[Keys], Any]:
        getmulti: Callable[[Keys], Any] = snapshot.cursor().getmulti
        return getmulti

    def values_of(self, result: Any, keys: Keys) -> list[bytes | None]:
        found: dict[bytes, bytes] = dict(result)
        return [found.get(key) for key in keys]

    def scan(self, snapshot: Any) -> Iterator[tuple[bytes, bytes]]:
        iterator: Iterator[tuple[bytes, bytes]] = snapshot.cursor().iternext()
        return iterator

    def scan_from(self, snapshot: Any) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
        cursor = snapshot.cursor()
        set_range, iternext = cursor.set_range, cursor.iternext

        def scan(key: bytes) -> Iterator[tuple[bytes, bytes]]:
            if not set_range(key):
                return iter(())
            items: Iterator[tuple[bytes, bytes]] = iternext()
            return items

        return scan

    def version(self) -> str:
        library = ".".join(str(part) for part in self._module.version())
        return f"{self._module.__version__} (LMDB {library})"

    def settings(self) -> dict[str, object]:
        return {
            "map_size": self.map_size,
            **self._options,
            "sync": "as the workload",
            "metasync": "as the workload",
        }
