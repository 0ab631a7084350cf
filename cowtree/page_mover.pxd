"""Copies the live pages of a file, in their order, into the range of a record of another file.

    live extents read ──> each page verified, renumbered by rank, sealed for the new file ──> written in large pieces

All of it without the GIL. A page's references change, its place among its neighbours does not.
"""

from libc.stdint cimport uint8_t, uint64_t

from cowtree.renumbering cimport Renumbering
from cowtree.storage.page_file cimport PageFile
from cowtree.storage.range_writer cimport RangeWriter
from cowtree.tree.live_map cimport LiveMap


cdef class PageMover(Renumbering):
    cdef LiveMap map
    cdef readonly PageFile target
    cdef RangeWriter writer
    cdef int fd                            # of the old file, its own
    cdef uint64_t generation               # of the old file
    cdef uint8_t* taken                    # a window of the old file: pages [taken_first, taken_end)
    cdef uint64_t taken_first
    cdef uint64_t taken_end
    cdef uint8_t* given                    # sealed pages that are not written yet
    cdef uint64_t given_first              # number of the first in the new file
    cdef uint64_t given_count
    cdef uint8_t* table                    # checksums of a run of a window, the old ones and the new
    cdef uint8_t* large_table              # the same of the largest run so far
    cdef uint64_t window                   # pages in each of both
    cdef readonly uint64_t moved           # pages so far
    cdef uint64_t hinted                   # pages that the device was told to write

    # The live pages of [first, end) behind what the writer has. Catalogue leaves take the GIL.
    cdef int move_range(self, uint64_t first, uint64_t end) except -1
    # The descriptor of the old file; the caller closes it, and nothing is moved any more.
    cdef int give_descriptor(self) noexcept
    # An old page, as it is; not verified.
    cdef int read_page(self, uint64_t number, uint8_t* into) except -1
    # Let the references of a tree page's image in private memory lead to the copies. 0 or DAMAGED.
    cdef int renumber(self, uint8_t* image, uint64_t size, uint64_t limit) noexcept nogil

    cdef int move_pages(self, uint64_t first, uint64_t end) except -1 nogil
    cdef int take(self, uint64_t number, uint64_t end) except -1 nogil
    cdef int move_page(self, const uint8_t* page, uint64_t number) except -1 nogil
    cdef uint64_t move_run(self, const uint8_t* header, uint64_t number, uint64_t end) except 0 nogil
    cdef int move_small_run(self, uint8_t* head, uint64_t number, uint64_t count) except -1 nogil
    cdef int move_large_run(self, uint8_t* head, uint64_t number, uint64_t count) except -1 nogil
    cdef void seal_head(self, uint8_t* head, const uint8_t* table, uint64_t count) noexcept nogil
    cdef int seal_run_window(
        self, uint8_t* pages, uint64_t first, uint64_t count, uint64_t run_pages, const uint8_t* old, uint8_t* new,
    ) noexcept nogil
    cdef int flush(self) except -1 nogil
    cdef int read(self, uint8_t* into, uint64_t size, uint64_t offset) except -1 nogil
    cdef int damaged(self, uint64_t number) except -1 nogil
