"""Entries of a range as columns: keys and values one behind the other in memory of their own, with offsets.

    leaf ── private copy ──> | data ............ | starts i32[rows + 1] |      for each of keys and values

Leaf after leaf, without a Python object for each entry, and without the GIL where the tree cannot change meanwhile.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from cowtree.tree.cursor cimport RangeIterator


cdef class Memory:
    """Bytes that grow, and export themselves when they are done."""

    cdef uint8_t* data
    cdef uint64_t size
    cdef uint64_t capacity

    cdef bint reserve(self, uint64_t more) noexcept nogil      # False: no memory


cdef class Column:
    """Byte strings one behind the other; below 2 GiB of them."""

    cdef readonly Memory data
    cdef readonly Memory starts            # int32, one more than rows
    cdef readonly Memory validity          # a bit a row, lowest first; empty: no row is missing
    cdef readonly uint64_t rows
    cdef readonly uint64_t missing         # rows

    cdef bint has_room(self, uint64_t bytes) noexcept nogil
    cdef bint add(self, const uint8_t* head, uint64_t head_size, const uint8_t* rest, uint64_t rest_size) noexcept nogil
    cdef int add_value(self, bytes value) except -1
    cdef int add_room(self, uint64_t size) except -1           # a row whose bytes are written to its `place`
    cdef uint8_t* place(self, uint64_t row) noexcept nogil
    cdef int mark(self, uint64_t row, bint there) except -1


cdef class ColumnReader:
    cdef RangeIterator entries
    cdef Column keys                       # of the batch being made; None: not wanted
    cdef Column values
    cdef uint64_t rows_max
    cdef uint8_t* edge                     # two keys
    cdef const uint8_t* bound              # where the range ends, or NULL
    cdef uint32_t bound_size

    cdef int take_leaves(self, RangeIterator entries, Column keys, Column values) noexcept nogil
    cdef int next_leaf(self, RangeIterator entries) noexcept nogil
    cdef int take_object(self) except -1
