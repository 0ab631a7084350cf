"""Byte-range locks of one file (FORMAT §6.1), held by an open file description of their own.

    2^61-3 compacting | 2^61-2 waiting | 2^61-1 writer | [2^61, 2^61 + P) pages below P are published
"""

from libc.stdint cimport int64_t, uint64_t

cdef extern from "lock_keeper.h" nogil:
    ctypedef struct KeptLock "cowtree_kept_lock":
        int fd


cdef class FileLock:
    cdef readonly int fd
    cdef readonly object path
    cdef KeptLock kept                     # who has the writer byte: nobody, the engine, or the keeper for it
    cdef unsigned long fork_mark

    cdef int set(self, int type, int64_t start, int64_t length) except -2
    cpdef bint try_acquire(self) except -1
    cdef bint holds(self) noexcept
    cdef bint busy(self) noexcept
    cpdef bint claim(self)
    cpdef bint keep(self)
    cdef bint wanted(self) noexcept
    cpdef int publish(self, uint64_t pages) except -1
    cpdef int release(self) except -1
    cpdef int set_waiting(self, bint waiting) except -1
    cpdef bint others_waiting(self) except -1
    cpdef close(self)

cdef int64_t published_pages(int fd) except -2
cdef bint same_file(const char* path, uint64_t dev, uint64_t ino) noexcept nogil
cdef unsigned long fork_generation() noexcept nogil
