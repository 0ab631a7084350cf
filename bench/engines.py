"""Engines behind one small interface. A workload gets bound methods, so that no wrapper is timed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Protocol

__all__ = ["ENGINES", "Engine", "Keys", "Pairs", "available"]

Keys = list[bytes]
Pairs = Iterable[tuple[bytes, bytes]]


class Reading(Protocol):
    """A snapshot or read transaction: `get` is a method of both."""

    def get(self, key: bytes, /) -> bytes | None: ...


class Engine(Protocol):
    """One store in a folder of its own."""

    name: str
    counts: bool
    """Are there count, rank and nth?"""

    def open(self, folder: str, *, sync: bool) -> None:
        """Create or open; `sync`: are commits durable when they return?"""

    def close(self) -> None: ...
    def sync(self) -> None:
        """Nothing written so far is still on its way to the disk."""

    def put_all(self, pairs: Pairs) -> None:
        """One transaction, one put each."""

    def put_ascending(self, pairs: Pairs) -> None:
        """Likewise, with what the store offers for keys in order."""

    def load_ascending(self, pairs: Pairs) -> None:
        """One transaction, the store's bulk call for pairs in order."""

    def put_one(self) -> Callable[[bytes, bytes], object]:
        """One put, one commit."""

    def snapshot(self) -> Callable[[], Any]:
        """Takes a snapshot, which has `get` and ends when it is dropped."""

    def end(self, snapshot: Any) -> None:
        """End it now."""

    def get_many(self, snapshot: Any) -> Callable[[Keys], Any]:
        """The store's batched get, its result as it comes."""

    def values_of(self, result: Any, keys: Keys) -> list[bytes | None]:
        """What `get_many` found, in the order of the keys (not timed)."""

    def scan(self, snapshot: Any) -> Iterator[tuple[bytes, bytes]]:
        """All items in order."""

    def scan_from(self, snapshot: Any) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
        """Items from a key on."""

    def disk_bytes(self) -> int:
        """Allocated on the disk, after close."""

    def version(self) -> str: ...
    def settings(self) -> dict[str, object]:
        """What is not the store's default, and what is worth knowing."""


class Cowtree:
    """cowtree with its defaults, but for the memory that a transaction may hold."""

    name = "cowtree"
    counts = True
    # Loads of one transaction stay within the memory budget, as LMDB's do within its map.
    _write_memory = 1 << 30

    def __init__(self) -> None:
        self._module: Any = importlib.import_module("cowtree")
        self.db: Any = None
        self._path = ""

    def open(self, folder: str, *, sync: bool) -> None:
        self._path = os.path.join(folder, "bench.cow")
        self.db = self._module.open(self._path, sync=sync, write_memory=self._write_memory)

    def close(self) -> None:
        self.db.close()

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

    def put_one(self) -> Callable[[bytes, bytes], object]:
        put: Callable[[bytes, bytes], object] = self.db.put
        return put

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

    def disk_bytes(self) -> int:
        return os.stat(self._path).st_blocks * 512

    def version(self) -> str:
        return str(self._module.__version__)

    def settings(self) -> dict[str, object]:
        return {"page_size": 4096, "write_memory": self._write_memory}


class Lmdb:
    """LMDB through the `lmdb` package: a map large enough, otherwise its defaults, named here."""

    name = "lmdb"
    counts = False
    _options: ClassVar[dict[str, object]] = {
        "map_size": 64 << 30,
        "max_dbs": 8,
        "writemap": False,
        "readahead": True,
        "lock": True,
    }

    def __init__(self) -> None:
        self._module: Any = importlib.import_module("lmdb")
        self.env: Any = None
        self._folder = ""

    def open(self, folder: str, *, sync: bool) -> None:
        self._folder = os.path.join(folder, "lmdb")
        self.env = self._module.open(self._folder, sync=sync, metasync=sync, **self._options)

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

    def put_one(self) -> Callable[[bytes, bytes], object]:
        begin = self.env.begin

        def put(key: bytes, value: bytes) -> None:
            with begin(write=True) as txn:
                txn.put(key, value)

        return put

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

    def disk_bytes(self) -> int:
        return os.stat(os.path.join(self._folder, "data.mdb")).st_blocks * 512

    def version(self) -> str:
        library = ".".join(str(part) for part in self._module.version())
        return f"{self._module.__version__} (LMDB {library})"

    def settings(self) -> dict[str, object]:
        return {**self._options, "sync": "as the workload", "metasync": "as the workload"}


ENGINES: dict[str, Callable[[], Engine]] = {"cowtree": Cowtree, "lmdb": Lmdb}


def available(names: list[str] | None = None) -> list[Engine]:
    """Those that can be imported, of all or of those named.

    Raises ImportError if one that was named cannot.
    """
    engines: list[Engine] = []
    for name, make in ENGINES.items():
        if names and name not in names:
            continue
        try:
            engines.append(make())
        except ImportError as error:
            if names:
                raise
            print(f"{name} is left out: {error}")
    return engines
