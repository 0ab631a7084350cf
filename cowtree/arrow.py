"""Columns of entries as Arrow arrays, without a copy. Needs pyarrow, the extra `arrow`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cowtree.tree.columns import Column, ColumnReader

__all__ = ["BATCH_ROWS", "array_of", "arrays_of", "joined_array", "record_batches", "table"]

BATCH_ROWS = 65_536


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise ImportError("this needs pyarrow: pip install 'cowtree[arrow]'") from None


def array_of(column: Column) -> Any:
    """A column as a `pyarrow.BinaryArray` over the same memory."""
    pyarrow = _pyarrow()
    validity = pyarrow.py_buffer(column.validity) if column.missing else None
    buffers = [validity, pyarrow.py_buffer(column.starts), pyarrow.py_buffer(column.data)]
    return pyarrow.Array.from_buffers(pyarrow.binary(), column.rows, buffers, column.missing)


def _batches(reader: ColumnReader) -> Iterator[list[Any]]:
    _pyarrow()
    while (columns := reader.read()) and columns[0].rows:
        yield [array_of(column) for column in columns]


def arrays_of(reader: ColumnReader) -> Iterator[Any]:
    """The batches of a reader of keys or of values."""
    for (array,) in _batches(reader):
        yield array


def record_batches(reader: ColumnReader) -> Iterator[Any]:
    """The batches of a reader of both, as `pyarrow.RecordBatch` with the columns `key` and `value`."""
    pyarrow = _pyarrow()
    for arrays in _batches(reader):
        yield pyarrow.RecordBatch.from_arrays(arrays, names=["key", "value"])


def joined_array(batches: Iterator[Any]) -> Any:
    """Batches of keys or of values as one `pyarrow.ChunkedArray`."""
    pyarrow = _pyarrow()
    return pyarrow.chunked_array(list(batches), type=pyarrow.binary())


def table(batches: Iterator[Any]) -> Any:
    """Record batches as one `pyarrow.Table`."""
    pyarrow = _pyarrow()
    schema = pyarrow.schema([("key", pyarrow.binary()), ("value", pyarrow.binary())])
    return pyarrow.Table.from_batches(list(batches), schema=schema)
