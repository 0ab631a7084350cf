"""Engines behind one small interface. A workload gets bound methods, so that no wrapper is timed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

__all__ = ["Engine", "available"]

Pairs = Iterable[tuple[bytes, bytes]]


class Engine(Protocol):
    """One store in a folder of its own. `sync`: are commits durable when they return?"""

    name: str

    def open(self, folder: str, *, sync: bool) -> None: ...
    def close(self) -> None: ...
    def load(self, pairs: Pairs, *, ascending: bool) -> None: ...
    def put_one(self) -> Callable[[bytes, bytes], object]: ...
    def reader(self) -> Any: ...
    def getter(self, reader: Any) -> Callable[[bytes], bytes | None]: ...
    def get_many(self, reader: Any, keys: list[bytes]) -> list[bytes | None]: ...
    def scan(self, reader: Any, start: bytes | None) -> Iterator[tuple[bytes, bytes]]: ...
    def snapshot_get(self) -> Callable[[bytes], bytes | None]: ...
    def end_reader(self, reader: Any) -> None: ...
    def disk_bytes(self) -> int: ...


class Cowtree:
    """cowtree with its defaults, but for the memory that a transaction may hold."""

    name = "cowtree"

    def open(self, folder: str, *, sync: bool) -> None:
        import cowtree

        self._path = os.path.join(folder, "bench.cow")
        # Loads of one transaction stay within the memory budget, as LMDB's do within its map.
        self.db = cowtree.open(self._path, sync=sync, write_memory=1 << 30)

    def close(self) -> None:
        self.db.close()

    def load(self, pairs: Pairs, *, ascending: bool) -> None:
        with self.db.transaction() as txn:
            put = txn.put
            for key, value in pairs:
                put(key, value)

    def put_one(self) -> Callable[[bytes, bytes], object]:
        return self.db.put

    def reader(self) -> Any:
        return self.db.snapshot()

    def getter(self, reader: Any) -> Callable[[bytes], bytes | None]:
        get: Callable[[bytes], bytes | None] = reader.get
        return get

    def get_many(self, reader: Any, keys: list[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = reader.get_many(keys)
        return found

    def scan(self, reader: Any, start: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        return iter(reader.items(start))

    def snapshot_get(self) -> Callable[[bytes], bytes | None]:
        snapshot = self.db.snapshot
        return lambda key: snapshot().get(key)

    def end_reader(self, reader: Any) -> None:
        reader.close()

    def disk_bytes(self) -> int:
        return os.stat(self._path).st_blocks * 512


class Lmdb:
    """LMDB through the `lmdb` package: a map large enough, otherwise its defaults."""

    name = "lmdb"

    def open(self, folder: str, *, sync: bool) -> None:
        import lmdb

        self._folder = os.path.join(folder, "lmdb")
        self.env = lmdb.open(self._folder, map_size=64 << 30, sync=sync, metasync=sync)

    def close(self) -> None:
        self.env.close()

    def load(self, pairs: Pairs, *, ascending: bool) -> None:
        with self.env.begin(write=True) as txn:
            put = txn.put
            if ascending:
                for key, value in pairs:
                    put(key, value, append=True)
            else:
                for key, value in pairs:
                    put(key, value)

    def put_one(self) -> Callable[[bytes, bytes], object]:
        begin = self.env.begin

        def put(key: bytes, value: bytes) -> None:
            with begin(write=True) as txn:
                txn.put(key, value)

        return put

    def reader(self) -> Any:
        return self.env.begin()

    def getter(self, reader: Any) -> Callable[[bytes], bytes | None]:
        get: Callable[[bytes], bytes | None] = reader.get
        return get

    def get_many(self, reader: Any, keys: list[bytes]) -> list[bytes | None]:
        found = dict(reader.cursor().getmulti(keys))
        return [found.get(key) for key in keys]

    def scan(self, reader: Any, start: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        cursor = reader.cursor()
        if start is not None:
            cursor.set_range(start)
        iterator: Iterator[tuple[bytes, bytes]] = cursor.iternext()
        return iterator

    def snapshot_get(self) -> Callable[[bytes], bytes | None]:
        begin = self.env.begin

        def get(key: bytes) -> bytes | None:
            with begin() as txn:
                value: bytes | None = txn.get(key)
                return value

        return get

    def end_reader(self, reader: Any) -> None:
        reader.abort()

    def disk_bytes(self) -> int:
        return os.stat(os.path.join(self._folder, "data.mdb")).st_blocks * 512


def available(names: list[str] | None = None) -> list[Engine]:
    """The engines that can be imported, or those named."""
    engines: list[Engine] = []
    for engine in (Cowtree(), Lmdb()):
        if names and engine.name not in names:
            continue
        try:
            __import__(engine.name)
        except ImportError:
            print(f"{engine.name} is not installed: left out")
            continue
        engines.append(engine)
    return engines
