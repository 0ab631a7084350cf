"""Reads a record's commit page and range past the mapping, in windows of bounded size."""

from libc.stdint cimport uint8_t, uint64_t

from .page_file cimport PageFile


cdef class RangeReader:
    cdef readonly PageFile file
    cdef readonly bint from_medium
    cdef readonly uint64_t bytes_read
    cdef uint8_t* window
    cdef uint64_t window_page        # first page in the window
    cdef uint64_t window_pages       # whole pages in it
    cdef uint64_t window_capacity
    cdef uint64_t expected_end       # pages below it will be asked for in order

    # The page, inside the window (valid until the next call); NULL: beyond the end of the file. `ahead`: pages worth
    # reading with it.
    cdef const uint8_t* page_at(self, uint64_t number, uint64_t ahead) except? NULL
    cdef object _run_problem(self, uint64_t number, uint64_t end, uint64_t* page_count)
    cdef object _problem(self, str reason, uint64_t number)
