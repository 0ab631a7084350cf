"""Entries of a range as columns of bytes."""

from cowtree.tree.cursor import RangeIterator

class Memory:
    """Bytes that grow, and export themselves when they are done."""

    def __buffer__(self, flags: int, /) -> memoryview: ...

class Column:
    """Byte strings one behind the other; below 2 GiB of them."""

    data: Memory
    starts: Memory
    validity: Memory
    rows: int
    missing: int

class ColumnReader:
    """Reads a range as columns, a batch at a time."""

    def __init__(self, entries: RangeIterator, keys: bool, values: bool, rows_max: int) -> None: ...
    def read(self) -> list[Column]: ...
