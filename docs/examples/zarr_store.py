"""A store for Zarr arrays (version 3): chunks are entries, and an array's versions are the database's commits.

A store over a snapshot shows one version for as long as it is open, in worker processes too, while others write on.
Needs zarr 3.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

import cowtree


class CowtreeStore(Store):
    """The entries of a database, a tree or a snapshot as a Zarr store; the keys are Zarr's, as text.

    Each `set` is a commit: open the database with `sync=False` and `sync()` when an array is complete, or give a tree
    of a transaction. Reads take microseconds, so they are plain calls behind the `async` that Zarr asks for.
    """

    def __init__(self, source: Any) -> None:
        super().__init__(read_only=not hasattr(source, "put"))
        self._source = source

    @property
    def supports_writes(self) -> bool:
        return not self.read_only

    @property
    def supports_deletes(self) -> bool:
        return not self.read_only

    @property
    def supports_listing(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CowtreeStore) and other._source is self._source

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        value = self._source.get(key.encode())
        if value is None:
            return None
        if isinstance(byte_range, RangeByteRequest):
            value = value[byte_range.start : byte_range.end]
        elif isinstance(byte_range, OffsetByteRequest):
            value = value[byte_range.offset :]
        elif isinstance(byte_range, SuffixByteRequest):
            value = value[max(0, len(value) - byte_range.suffix) :]
        return prototype.buffer.from_bytes(value)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return key.encode() in self._source

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        self._source[key.encode()] = value.to_bytes()

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        self._check_writable()
        self._source.put(key.encode(), value.to_bytes(), overwrite=False)

    async def delete(self, key: str) -> None:
        self._check_writable()
        self._source.delete(key.encode())

    async def list(self) -> AsyncIterator[str]:
        for key in self._source:
            yield key.decode()

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self._source.keys(prefix=prefix.encode()):
            yield key.decode()

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """What lies directly in a folder: a seek for each name, however much is below it."""
        folder = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
        found = self._source.first(prefix=folder.encode())
        while found is not None:
            name = found[0].decode()[len(folder) :].split("/", 1)[0]
            yield name
            # "0" is the character behind "/": what comes next is behind everything in this folder.
            behind = (folder + name).encode() + (b"0" if b"/" in found[0][len(folder) :] else b"\0")
            found = self._source.first(behind, prefix=folder.encode())


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cowtree.open(Path(folder) / "arrays.cow", sync=False) as db,
    ):
        root: Any = zarr.create_group(CowtreeStore(db))
        heights = root.create_array(
            "survey/heights", shape=(400, 400), chunks=(100, 100), dtype="i4"
        )
        heights[:] = 1
        db.sync()
        db.tag("first-survey")
        heights[150:160, :] = 7

        before: Any = zarr.open_group(CowtreeStore(db.snapshot("first-survey")), mode="r")
        print("sum then and now:", int(before["survey/heights"][:].sum()), int(heights[:].sum()))
        changed = [change.key.decode() for change in db.diff("first-survey", values=False)]
        print("chunks that differ:", changed)
        print("groups:", list(root), list(root["survey"]))


if __name__ == "__main__":
    main()
