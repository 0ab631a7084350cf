"""The list of retired pages that a record carries (FORMAT §3.4)."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from .range_writer cimport RangeWriter


cdef struct RetiredItem:
    uint64_t page
    uint64_t count               # pages; of a subtree: all, runs included
    uint64_t birth               # of the page, or of the subtree's root
    bint subtree


cdef class RetiredEncoder:
    """Items, sorted by page, to varints in memory of its own that is reused."""

    cdef uint8_t* data
    cdef readonly size_t size
    cdef readonly size_t count
    cdef size_t capacity
    cdef uint64_t previous_page
    cdef uint64_t commit_id
    cdef void** images           # of list pages
    cdef size_t image_count

    cdef int begin(self, uint64_t commit_id) except -1
    # Items come in ascending page order.
    cdef int add(self, const RetiredItem* item) except -1
    # Stays in `data[:size]` for encode_commit if that is at most `room` bytes (then 0 is returned), else goes out as list
    # pages: the first one's number is returned, their number stored, and encode_commit gets no inline list. The images
    # belong to this encoder and live until its next `begin`.
    cdef int64_t store(self, RangeWriter writer, uint32_t room, uint64_t* page_count) except -1

    cdef size_t _piece_end(self, size_t start, size_t piece_max) except 0
    cdef void* _new_image(self, size_t size) except NULL
    cdef void drop_images(self) noexcept


# The item at data[offset]: the offset behind it, or -1. item.page carries the previous item's page (first: 0).
cdef Py_ssize_t decode_retired_item(const uint8_t* data, size_t size, size_t offset, uint64_t commit_id,
                                    RetiredItem* item) noexcept nogil
