"""Views of keys, values and items over a range: live over a database, frozen over a snapshot."""

from __future__ import annotations

import operator
from collections.abc import ItemsView as ItemsViewABC
from collections.abc import Iterator
from collections.abc import KeysView as KeysViewABC
from collections.abc import ValuesView as ValuesViewABC

__all__ = ["ItemsView", "KeysView", "ValuesView", "prefix_end"]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    K = TypeVar("K")
    V = TypeVar("V")
else:
    K = V = object

_MISSING = object()
_NO_SLOTS: tuple[str, ...] = ()
_SLOTS = ("_include_start", "_include_stop", "_reader", "_reverse", "_start", "_stop")


def prefix_end(prefix: bytes) -> bytes | None:
    """The least key above every key that begins with `prefix`, or None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return None
    return stripped[:-1] + bytes([stripped[-1] + 1])


class _RangeView:
    """What the three views share: length, iteration, indexing by position. O(log n) unless iterated."""

    __slots__ = _NO_SLOTS  # they are in the concrete views: two bases with slots cannot be joined

    _mode = 0
    _reader: Any
    _start: bytes | None
    _stop: bytes | None
    _include_start: bool
    _include_stop: bool
    _reverse: bool

    def __init__(
        self,
        reader: Any,
        start: bytes | None,
        stop: bytes | None,
        include_start: bool,
        include_stop: bool,
        reverse: bool,
    ) -> None:
        self._reader = reader
        self._start = start
        self._stop = stop
        self._include_start = include_start
        self._include_stop = include_stop
        self._reverse = reverse

    def _range(self) -> tuple[Any, int, int]:
        """(pinned reader, first position, position behind the last), all of one commit."""
        fixed = self._reader._pin()
        low, high = fixed._positions(
            self._start, self._stop, self._include_start, self._include_stop
        )
        return fixed, low, high

    def __len__(self) -> int:
        _, low, high = self._range()
        return high - low

    def _entries(self, mode: int, reverse: bool) -> Iterator[Any]:
        iterator: Iterator[Any] = self._reader._iterate(
            mode, self._start, self._stop, self._include_start, self._include_stop, reverse
        )
        return iterator

    def __iter__(self) -> Iterator[Any]:
        return self._entries(self._mode, self._reverse)

    def __reversed__(self) -> Iterator[Any]:
        return self._entries(self._mode, not self._reverse)

    def __getitem__(self, index: int | slice) -> Any:
        fixed, low, high = self._range()
        size = high - low
        if isinstance(index, slice):
            return self._slice(fixed, low, size, index)
        position = operator.index(index)
        if not -size <= position < size:
            raise IndexError(f"position {position} of {size} entries")
        position %= size
        at = low + (size - 1 - position if self._reverse else position)
        return fixed._slice(self._mode, at, 1, False)[0]

    def _slice(self, fixed: Any, low: int, size: int, index: slice) -> list[Any]:
        positions = range(*index.indices(size))
        if not positions:
            return []
        least, most = min(positions[0], positions[-1]), max(positions[0], positions[-1])
        if self._reverse:
            first = low + size - 1 - most
        else:
            first = low + least
        found = fixed._slice(self._mode, first, most - least + 1, False)
        if self._reverse:
            found.reverse()
        return list(found[:: positions.step])

    def _columns(self, rows: int) -> Any:
        rows = operator.index(rows)
        if rows < 1:
            raise ValueError("a batch has at least one row")
        return self._reader._columns(
            self._mode,
            self._start,
            self._stop,
            self._include_start,
            self._include_stop,
            self._reverse,
            rows,
        )

    def arrow_batches(self, rows: int = 65_536) -> Iterator[Any]:
        """The entries of one commit as Arrow arrays of at most `rows` rows, and mostly of 16 MiB; see `to_arrow`."""
        from cowtree.arrow import arrays_of

        return arrays_of(self._columns(rows))

    def to_arrow(self) -> Any:
        """The entries as one `pyarrow.ChunkedArray` of binary, without an object for each; needs pyarrow.

        Items: a `pyarrow.Table` with the columns `key` and `value`. The bytes are those stored, whatever the tree's
        codecs. O(n); lets other threads run while it reads.
        """
        from cowtree.arrow import BATCH_ROWS, joined_array

        return joined_array(self.arrow_batches(BATCH_ROWS))

    def __repr__(self) -> str:
        try:
            return f"<cowtree.{type(self).__name__} of {len(self)} entries>"
        except Exception as error:
            return f"<cowtree.{type(self).__name__}, {type(error).__name__}>"

    def __contains__(self, key: object) -> bool:
        if not self._holds(key):
            return False
        return key in self._reader

    def _holds(self, item: Any) -> bool:
        """Does the range of this view hold the key?"""
        if self._start is None and self._stop is None:
            return True
        key = self._reader._key_bytes(item)
        if self._start is not None and (
            key < self._start or (key == self._start and not self._include_start)
        ):
            return False
        return self._stop is None or not (
            key > self._stop or (key == self._stop and not self._include_stop)
        )


class KeysView(_RangeView, KeysViewABC[K]):
    """Keys of a range; a set."""

    __slots__ = _SLOTS
    _mode = 0

    @classmethod
    def _from_iterable(cls, it: Any) -> set[Any]:
        return set(it)


class ValuesView(_RangeView, ValuesViewABC[V]):
    """Values of a range of keys."""

    __slots__ = _SLOTS
    _mode = 1

    def __contains__(self, value: object) -> bool:
        return any(found == value for found in self)


class ItemsView(_RangeView, ItemsViewABC[K, V]):
    """(key, value) pairs of a range; a set."""

    __slots__ = _SLOTS
    _mode = 2

    @classmethod
    def _from_iterable(cls, it: Any) -> set[Any]:
        return set(it)

    def arrow_batches(self, rows: int = 65_536) -> Iterator[Any]:
        """The entries of one commit as `pyarrow.RecordBatch`es of at most `rows` rows; see `to_arrow`."""
        from cowtree.arrow import record_batches

        return record_batches(self._columns(rows))

    def to_arrow(self) -> Any:
        """The entries as one `pyarrow.Table` with the columns `key` and `value`; see `KeysView.to_arrow`."""
        from cowtree.arrow import BATCH_ROWS, table

        return table(self.arrow_batches(BATCH_ROWS))

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        if not self._holds(key):
            return False
        found = self._reader.get(key, _MISSING)
        return found is not _MISSING and bool(found == value)
