"""One sync at a time, for all who wait for one (DESIGN's D6).

    batch n     | joins, leads | sync ......... | told: readers see it, all of the batch go on |
    batch n + 1                | joins, leads, waits | sync ......... | told ...

Records are known by their sequences. Who comes first in a batch leads it: it syncs as soon as the sync before has ended,
without the GIL, so that syncs follow each other at once however busy the interpreter is.
"""

from libc.stdint cimport uint64_t

from .devices cimport Device

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass

# The newest appended record's sequence is set with the GIL and read without: whoever sees it sees its pages too.
cdef extern from *:
    """
    #include <stdint.h>
    static inline void cowtree_set_appended(uint64_t *appended, uint64_t sequence) {
        __atomic_store_n(appended, sequence, __ATOMIC_RELEASE);
    }
    static inline uint64_t cowtree_get_appended(const uint64_t *appended) {
        return __atomic_load_n(appended, __ATOMIC_ACQUIRE);
    }
    """
    void set_appended_sequence "cowtree_set_appended"(uint64_t* appended, uint64_t sequence) noexcept nogil
    uint64_t appended_sequence "cowtree_get_appended"(const uint64_t* appended) noexcept nogil

cdef enum:
    TOLD                       # the record is durable, and readers see it
    LED                        # the caller's sync succeeded: everything up to `target` is durable; `tell` must follow
    FAILED                     # the sync of another thread failed
    LED_AND_FAILED             # the caller's failed: `device.sync_error` says how; it has the device until `end`

cdef struct Waiter:
    Waiter* next
    uint64_t sequence
    bint woken
    pthread_cond_t condition


cdef class SharedSync:
    cdef pthread_mutex_t mutex
    cdef pthread_cond_t turn               # a sync has ended
    cdef Waiter* waiters                   # in the order in which they came
    cdef bint leading                      # a thread syncs, or has the device for itself
    cdef bint failed                       # a sync did: there is none after it
    cdef bint led                          # the batch that is forming has a leader
    cdef uint64_t target                   # the newest record that the sync begun last covers
    cdef uint64_t synced                   # up to here all is durable
    cdef uint64_t told                     # and readers see it

    # Return when the record is durable and readers see it, or when the caller has synced for its batch.
    # `appended`: the newest record whose pages are in the file; grows.
    cdef int join(self, Device device, uint64_t sequence, const uint64_t* appended, uint64_t* target) noexcept nogil
    cdef int lead_batch(
        self, Device device, uint64_t sequence, const uint64_t* appended, uint64_t* target
    ) noexcept nogil
    cdef int wait(self, uint64_t sequence) noexcept nogil
    cdef void wake_one(self) noexcept nogil
    cdef void give_up(self) noexcept nogil
    # Readers see everything up to `sequence`, which the caller's sync has made durable.
    cdef void tell(self, uint64_t sequence) noexcept nogil
    # Have the device for oneself: no sync runs from `lead` to `end`.
    cdef void lead(self) noexcept nogil
    cdef void end(self) noexcept nogil
    # Something failed: there is no sync any more. Readers see everything up to `told`, which is durable; who waits for
    # more is told that it failed.
    cdef void fail(self, uint64_t told) noexcept nogil
