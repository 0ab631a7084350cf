"""Compiled; for other compiled modules only."""

import struct
from collections.abc import Iterable, Iterator
from typing import Any

from cowtree.codecs import Codec, KeyCodec
from cowtree.feed import Change

TREE_RECORD: struct.Struct
CODEC_NAME_MAX: int

class TreeCodecs:
    key: KeyCodec[object] | None
    value: Codec[object] | None
    key_name: bytes
    value_name: bytes
    def given_keys(self, keys: Iterable[bytes]) -> Iterator[Any]: ...
    def given_values(self, items: Iterable[tuple[bytes, bytes]]) -> Iterator[Any]: ...
    def given_items(self, items: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[Any, Any]]: ...
    def taken_pairs(self, pairs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[bytes, bytes]]: ...
    def given_changes(
        self, changes: Iterable[Change[bytes, bytes]]
    ) -> Iterator[Change[Any, Any]]: ...
