# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""See `shared_sync.pxd`.

Who waits does so without the GIL: a queue of mutex handovers, each waiting for the GIL, would keep the next sync from
beginning (1.6 commits shared a sync that way, with eight threads). A sync that began only when its leader had the GIL
again would wait behind those that the sync before had just woken.

A batch is not woken together: all would be woken twice, by this and by the GIL, which one can have at a time. Who joins
has just given up the GIL and wakes one that may go on. Where nobody joins they wake by themselves soon.
"""

from libc.stdint cimport uint64_t

from .devices cimport Device

cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes)
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)
    int pthread_cond_init(pthread_cond_t* condition, const void* attributes)
    int pthread_cond_destroy(pthread_cond_t* condition)
    int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex)
    int pthread_cond_signal(pthread_cond_t* condition)
    int pthread_cond_broadcast(pthread_cond_t* condition)

cdef extern from *:
    """
    #include <pthread.h>
    #include <time.h>
    static int cowtree_cond_init(pthread_cond_t *condition) {
    #ifdef __APPLE__
        return pthread_cond_init(condition, NULL);
    #else
        pthread_condattr_t attributes;
        int result = pthread_condattr_init(&attributes);
        if (result) return result;
        result = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        if (!result) result = pthread_cond_init(condition, &attributes);
        pthread_condattr_destroy(&attributes);
        return result;
    #endif
    }
    static void cowtree_cond_wait_ns(pthread_cond_t *condition, pthread_mutex_t *mutex, long ns) {
        struct timespec until;
    #ifdef __APPLE__
        until.tv_sec = 0;
        until.tv_nsec = ns;
        pthread_cond_timedwait_relative_np(condition, mutex, &until);
    #else
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += ns;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(condition, mutex, &until);
    #endif
    }
    """
    int cond_init "cowtree_cond_init"(pthread_cond_t* condition) noexcept nogil
    void cond_wait_ns "cowtree_cond_wait_ns"(pthread_cond_t* condition, pthread_mutex_t* mutex, long ns) noexcept nogil

cdef enum:
    WAKE_ALONE_NS = 500000             # how long a thread that may go on waits to be woken, at most


cdef class SharedSync:
    """See `shared_sync.pxd`."""

    def __cinit__(self):
        if pthread_mutex_init(&self.mutex, NULL) or pthread_cond_init(&self.turn, NULL):
            raise MemoryError

    def __dealloc__(self):
        pthread_cond_destroy(&self.turn)
        pthread_mutex_destroy(&self.mutex)

    cdef int join(self, Device device, uint64_t sequence, const uint64_t* appended, uint64_t* target) noexcept nogil:
        cdef int outcome
        pthread_mutex_lock(&self.mutex)
        self.wake_one()
        if self.target < sequence and not self.led and not self.failed:
            outcome = self.lead_batch(device, sequence, appended, target)
        else:
            outcome = self.wait(sequence)
        pthread_mutex_unlock(&self.mutex)
        return outcome

    cdef int wait(self, uint64_t sequence) noexcept nogil:
        """With the mutex: until the record is told of, or will not be."""
        cdef Waiter waiter
        cdef Waiter** link
        if self.told >= sequence:
            return TOLD
        waiter.sequence = sequence
        waiter.next = NULL
        waiter.woken = False
        if cond_init(&waiter.condition):
            return FAILED                          # no memory: the record's outcome is not known here
        link = &self.waiters
        while link[0] != NULL:
            link = &link[0].next
        link[0] = &waiter
        while not waiter.woken:
            if self.failed and self.synced < sequence:
                break
            cond_wait_ns(&waiter.condition, &self.mutex, WAKE_ALONE_NS)
            if not waiter.woken and self.told >= sequence:
                break
        if not waiter.woken:
            link = &self.waiters
            while link[0] != &waiter:
                link = &link[0].next
            link[0] = waiter.next
        pthread_cond_destroy(&waiter.condition)
        return TOLD if self.told >= sequence else FAILED

    cdef void wake_one(self) noexcept nogil:
        """With the mutex: the first thread whose record is told of."""
        cdef Waiter** link = &self.waiters
        cdef Waiter* waiter
        while link[0] != NULL:
            waiter = link[0]
            if waiter.sequence <= self.told:
                link[0] = waiter.next
                waiter.woken = True
                pthread_cond_signal(&waiter.condition)
                return
            link = &waiter.next

    cdef int lead_batch(
        self, Device device, uint64_t sequence, const uint64_t* appended, uint64_t* target
    ) noexcept nogil:
        """With the mutex: wait for the turn, sync, hand the turn on."""
        cdef int code
        self.led = True
        while self.leading and not self.failed:
            pthread_cond_wait(&self.turn, &self.mutex)
        if self.told >= appended_sequence(appended):      # who had the device for itself has synced it all
            self.led = False
            pthread_cond_signal(&self.turn)
            return TOLD
        if self.failed:
            return TOLD if self.told >= sequence else FAILED
        self.leading = True
        self.led = False                           # who appends from now on needs the sync after this one
        self.target = target[0] = appended_sequence(appended)
        pthread_mutex_unlock(&self.mutex)
        code = device.sync_status()
        pthread_mutex_lock(&self.mutex)
        if code:
            self.give_up()                         # and keep the device: the file is not closed before it is blanked
            return LED_AND_FAILED
        self.leading = False
        self.synced = target[0]
        pthread_cond_signal(&self.turn)
        return LED

    cdef void give_up(self) noexcept nogil:
        self.failed = True                         # those that wait notice by themselves
        pthread_cond_broadcast(&self.turn)

    cdef void fail(self, uint64_t told) noexcept nogil:
        pthread_mutex_lock(&self.mutex)
        if told > self.told:
            self.told = told
        self.synced = self.told
        self.give_up()
        pthread_mutex_unlock(&self.mutex)

    cdef void tell(self, uint64_t sequence) noexcept nogil:
        pthread_mutex_lock(&self.mutex)
        if sequence > self.told:
            self.told = sequence
        if sequence > self.synced:
            self.synced = sequence
        self.wake_one()
        pthread_mutex_unlock(&self.mutex)

    cdef void lead(self) noexcept nogil:
        pthread_mutex_lock(&self.mutex)
        while self.leading:
            pthread_cond_wait(&self.turn, &self.mutex)
        self.leading = True
        pthread_mutex_unlock(&self.mutex)

    cdef void end(self) noexcept nogil:
        pthread_mutex_lock(&self.mutex)
        self.leading = False
        pthread_cond_broadcast(&self.turn)
        pthread_mutex_unlock(&self.mutex)
