# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""See `shared_sync.pxd`.

Who waits does so without the GIL, and all wake together: a queue of mutex handovers, each waiting for the GIL, would keep
the next sync from beginning (1.6 commits shared a sync that way, with eight threads).
"""

from libc.stdint cimport uint64_t

cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes)
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)
    int pthread_cond_init(pthread_cond_t* condition, const void* attributes)
    int pthread_cond_destroy(pthread_cond_t* condition)
    int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex)
    int pthread_cond_broadcast(pthread_cond_t* condition)


cdef class SharedSync:
    """See `shared_sync.pxd`."""

    def __cinit__(self):
        if pthread_mutex_init(&self.mutex, NULL) or pthread_cond_init(&self.ended, NULL):
            raise MemoryError

    def __dealloc__(self):
        pthread_cond_destroy(&self.ended)
        pthread_mutex_destroy(&self.mutex)

    cdef bint lead(self, uint64_t sequence) noexcept nogil:
        cdef bint turn
        pthread_mutex_lock(&self.mutex)
        while self.leading and self.durable < sequence:
            pthread_cond_wait(&self.ended, &self.mutex)
        turn = self.durable < sequence
        if turn:
            self.leading = True
        pthread_mutex_unlock(&self.mutex)
        return turn

    cdef void end(self, uint64_t durable) noexcept nogil:
        pthread_mutex_lock(&self.mutex)
        self.leading = False
        if durable > self.durable:
            self.durable = durable
        pthread_cond_broadcast(&self.ended)
        pthread_mutex_unlock(&self.mutex)
