# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Columns of a range. See `columns.pxd`."""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy

from cowtree.layout cimport ENTRY_INLINE, RUN_REFERENCE_SIZE, load64
from cowtree.pages.leaf cimport ABSENT, DAMAGED, FOUND, Entry, entry_count, leaf_entry, leaf_find, prefix_size
from cowtree.storage.fault_guard cimport guarded
from cowtree.tree.cursor cimport (
    BACKWARD, FORWARD, MODE_ITEMS, RangeIterator, WalkRequest, raise_status, walk,
)
from cowtree.tree.editor cimport NO_MEMORY

cdef enum:
    LEAF_DONE = 1              # the iterator goes on by itself
    FULL = 2
    LARGE = 3                  # a value in pages of its own: read by way of an object
    DATA_MAX = 0x7FFFFFFF      # what an int32 counts
    ROOM_FIRST = 1 << 12

cdef uint64_t BATCH_BYTES = 16 << 20


cdef class Memory:
    """See `columns.pxd`."""

    def __dealloc__(self):
        free(self.data)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data if self.data != NULL else <void*>b"", <Py_ssize_t>self.size, 1, flags)

    def __releasebuffer__(self, Py_buffer* buffer):
        pass

    cdef bint reserve(self, uint64_t more) noexcept nogil:
        cdef uint64_t capacity = self.capacity
        cdef uint8_t* grown
        if self.size + more <= capacity:
            return True
        capacity = max(self.size + more, capacity + (capacity >> 1), <uint64_t>ROOM_FIRST)
        grown = <uint8_t*>realloc(self.data, capacity)
        if grown == NULL:
            return False
        self.data = grown
        self.capacity = capacity
        return True


cdef class Column:
    """See `columns.pxd`."""

    def __cinit__(self):
        self.data = Memory()
        self.starts = Memory()
        self.validity = Memory()
        if not self.starts.reserve(4):
            raise MemoryError
        (<int32_t*>self.starts.data)[0] = 0
        self.starts.size = 4

    cdef bint has_room(self, uint64_t bytes) noexcept nogil:
        return self.rows == 0 or self.data.size + bytes <= BATCH_BYTES

    cdef bint add(self, const uint8_t* head, uint64_t head_size, const uint8_t* rest, uint64_t rest_size) noexcept nogil:
        """A row of two pieces; False: no memory. The caller saw to it that there is room."""
        cdef uint8_t* into
        if not self.data.reserve(head_size + rest_size) or not self.starts.reserve(4):
            return False
        into = self.data.data + self.data.size
        if head_size:
            memcpy(into, head, head_size)
        if rest_size:
            memcpy(into + head_size, rest, rest_size)
        self.data.size += head_size + rest_size
        self.rows += 1
        (<int32_t*>self.starts.data)[self.rows] = <int32_t>self.data.size
        self.starts.size += 4
        return True

    cdef int add_value(self, bytes value) except -1:
        """A row, or with None a missing one. OverflowError when the column would hold more than 2 GiB."""
        cdef uint64_t row = self.rows, earlier
        cdef uint8_t* into
        if value is not None:
            self.add_room(<uint64_t>PyBytes_GET_SIZE(value))
            into = self.place(row)
            if PyBytes_GET_SIZE(value):            # NULL where all values so far are empty
                memcpy(into, PyBytes_AS_STRING(value), <size_t>PyBytes_GET_SIZE(value))
            return 0
        self.missing += 1
        if self.missing == 1:
            for earlier in range(row):
                self.mark(earlier, True)
        self.add_room(0)
        self.mark(row, False)
        return 0

    cdef int add_room(self, uint64_t size) except -1:
        if self.data.size + size > DATA_MAX:
            raise OverflowError("a column holds at most 2 GiB: ask for fewer entries at a time")
        if not self.data.reserve(size) or not self.add(NULL, 0, NULL, 0):
            raise MemoryError
        self.data.size += size
        (<int32_t*>self.starts.data)[self.rows] = <int32_t>self.data.size
        if self.missing:
            self.mark(self.rows - 1, True)
        return 0

    cdef uint8_t* place(self, uint64_t row) noexcept nogil:
        return self.data.data + (<int32_t*>self.starts.data)[row]

    cdef int mark(self, uint64_t row, bint there) except -1:
        if row >> 3 == self.validity.size:
            if not self.validity.reserve(1):
                raise MemoryError
            self.validity.data[self.validity.size] = 0
            self.validity.size += 1
        if there:
            self.validity.data[row >> 3] |= <uint8_t>(1 << (row & 7))
        else:
            self.validity.data[row >> 3] &= <uint8_t>~(1 << (row & 7))
        return 0


cdef class ColumnReader:
    """Reads a range as columns, a batch at a time.

    `entries`: an iterator over items of the range, not begun.
    """

    def __init__(self, RangeIterator entries not None, bint keys, bint values, uint64_t rows_max):
        self.entries = entries
        self.keys = Column() if keys else None
        self.values = Column() if values else None
        self.rows_max = rows_max
        self.edge = <uint8_t*>malloc(2 * entries.leaf_capacity)
        if self.edge == NULL:
            raise MemoryError
        bound = entries.start if entries.reverse else entries.stop
        if bound is not None:                      # the iterator keeps it
            self.bound = <const uint8_t*>PyBytes_AS_STRING(bound)
            self.bound_size = <uint32_t>PyBytes_GET_SIZE(bound)

    def __dealloc__(self):
        free(self.edge)

    def read(self):
        """The next entries, as a list of the wanted columns, keys first; without rows at the end.

        At most `rows_max` of them, and 16 MiB in a column unless one value is larger.
        """
        cdef RangeIterator entries = self.entries
        cdef int status
        if self.keys is not None:
            self.keys = Column()
        if self.values is not None:
            self.values = Column()
        while True:
            entries.source.check_open()
            if entries.finished or not entries.advance():
                entries.finished = True
                break
            if entries.source.changing:
                status = LARGE                     # the tree may change between any two entries
            elif entries.view.space.mirrored:
                status = self.take_leaves(entries, self.keys, self.values)
            else:
                with nogil:
                    status = self.take_leaves(entries, self.keys, self.values)
            if status < 0:
                entries.finished = True
                raise_status(entries.source.source_path(), entries.path.pages[0], status)
            if status == LARGE:
                status = self.take_object()
            if status == FULL:
                break
        return [column for column in (self.keys, self.values) if column is not None]

    cdef int take_leaves(self, RangeIterator entries, Column keys, Column values) noexcept nogil:
        """Add entries from where the iterator stands: FULL, LARGE, LEAF_DONE, or a negative status."""
        cdef Entry entry
        cdef uint32_t prefix
        cdef uint64_t rows = keys.rows if keys is not None else values.rows
        cdef int status
        while True:
            prefix = prefix_size(entries.leaf)
            while (entries.slot >= entries.end) if entries.reverse else (entries.slot < entries.end):
                if leaf_entry(entries.leaf, entries.size, <uint32_t>entries.slot, &entry) < 0 or prefix > entries.size:
                    return DAMAGED
                if values is not None and entry.kind != ENTRY_INLINE:
                    return LARGE
                if (
                    rows == self.rows_max or (values is not None and not values.has_room(entry.value_size))
                    or (keys is not None and not keys.has_room(prefix + entry.suffix_size))
                ):
                    return FULL
                if keys is not None and not keys.add(
                    entries.leaf + entries.size - prefix, prefix, entry.suffix, entry.suffix_size
                ):
                    return NO_MEMORY
                if values is not None and not values.add(entry.value, entry.value_size, NULL, 0):
                    return NO_MEMORY
                rows += 1
                entries.slot += -1 if entries.reverse else 1
                if entries.slot < 0:               # the first entry of a leaf, backwards; as `RangeIterator.present`
                    entries.slot = 0
                    entries.end = 1
            if entries.last_leaf:
                return LEAF_DONE
            status = self.next_leaf(entries)
            if status != FOUND:
                return LEAF_DONE if status == ABSENT else status

    cdef int next_leaf(self, RangeIterator entries) noexcept nogil:
        """`RangeIterator.advance` from one leaf to the next, without Python: FOUND, ABSENT or a negative status."""
        cdef WalkRequest request
        cdef uint8_t* near = self.edge + entries.leaf_capacity
        cdef uint32_t edge_size = copy_leaf_key(
            entries.leaf, entries.size, 0 if entries.reverse else entries.count - 1, self.edge
        )
        cdef uint32_t near_size
        cdef uint32_t slot = 0
        cdef int status, order
        request.view = &entries.view
        request.path = &entries.path
        request.into = entries.leaf
        request.how = BACKWARD if entries.reverse else FORWARD
        entries.slot = -1
        status = guarded(
            walk, &request, entries.view.space.base,
            entries.view.space.base + (entries.view.space.page_limit << entries.view.space.shift),
        )
        if status != FOUND:
            return status
        entries.size = request.size
        entries.count = entry_count(entries.leaf)
        entries.trusted = request.at.dirty
        entries.slot = entries.path.slots[0]
        if entries.slot >= entries.count:
            return DAMAGED
        near_size = copy_leaf_key(entries.leaf, entries.size, entries.count - 1 if entries.reverse else 0, near)
        order = memcmp(self.edge, near, min(edge_size, near_size))
        if order == 0:
            order = <int>edge_size - <int>near_size
        if (order <= 0) if entries.reverse else (order >= 0):
            return DAMAGED                         # leaves follow each other (I12)
        entries.last_leaf = False
        entries.end = 0 if entries.reverse else entries.count
        if self.bound == NULL:
            return FOUND
        status = leaf_find(entries.leaf, entries.size, self.bound, self.bound_size, &slot)
        if status < 0:
            return status
        if entries.reverse:
            slot += status == FOUND and not entries.include_start
            entries.last_leaf = slot > 0
        else:
            slot += status == FOUND and entries.include_stop
            entries.last_leaf = slot < entries.count
        entries.end = slot
        return FOUND

    cdef int take_object(self) except -1:
        """Add the entry that the iterator stands on by way of Python objects; FULL if there is no room."""
        cdef RangeIterator entries = self.entries
        cdef Entry entry
        cdef uint64_t rows = self.keys.rows if self.keys is not None else self.values.rows
        if leaf_entry(entries.leaf, entries.size, <uint32_t>entries.slot, &entry) < 0:
            raise_status(entries.source.source_path(), entries.path.pages[0], DAMAGED)
        if rows == self.rows_max or (
            self.values is not None and entry.kind != ENTRY_INLINE and entry.value_size == RUN_REFERENCE_SIZE
            and not self.values.has_room(load64(entry.value + 16))
        ):
            return FULL
        item = entries.present()
        if entries.mode == MODE_ITEMS:
            self.keys.add_value(item[0])
            self.values.add_value(item[1])
        else:
            (self.keys if self.keys is not None else self.values).add_value(item)
        return 0


cdef uint32_t copy_leaf_key(const uint8_t* leaf, uint32_t size, uint32_t slot, uint8_t* into) noexcept nogil:
    """Copy a key of a leaf; its size, 0 for one that steps out of the leaf."""
    cdef uint32_t prefix = prefix_size(leaf)
    cdef Entry entry
    if leaf_entry(leaf, size, slot, &entry) < 0 or prefix + entry.suffix_size > size:
        return 0
    memcpy(into, leaf + size - prefix, prefix)
    memcpy(into + prefix, entry.suffix, entry.suffix_size)
    return prefix + entry.suffix_size
