"""What lies behind the newest record: zeros written ahead, and how far unsynced records may reach (FORMAT §6.3, I8)."""

from libc.stdint cimport uint64_t

from .page_file cimport PageFile


cdef class Tail:
    cdef PageFile file
    cdef bytes boot
    cdef bint wanted                       # do zeros gain anything here?
    cdef readonly uint64_t zero_upto       # pages from the tip up to here are allocated zeros
    cdef uint64_t step                     # pages of the next prefill
    cdef readonly uint64_t volatile_bound
    cdef readonly uint64_t volatile_id_bound

    cdef bint covers(self, uint64_t end, uint64_t commit_id) noexcept
    cdef int cover(self, record, uint64_t end, uint64_t commit_id) except -1
    cdef bint low(self, uint64_t end) noexcept
    cdef int prefill(self, record, uint64_t end) except -1
