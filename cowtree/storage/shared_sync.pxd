"""One sync at a time, for all who wait for one (DESIGN's D6)."""

from libc.stdint cimport uint64_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass


cdef class SharedSync:
    cdef pthread_mutex_t mutex
    cdef pthread_cond_t ended
    cdef bint leading                      # a thread syncs
    cdef uint64_t durable                  # sequence up to which all is durable, as far as told here

    # Wait until `sequence` is durable (False), or until it is this thread's turn to sync (True: `end` must follow).
    cdef bint lead(self, uint64_t sequence) noexcept nogil
    # The turn is over: everything up to `durable` is, and all who wait look again.
    cdef void end(self, uint64_t durable) noexcept nogil
