/* A busy writer keeps its process lock between two commits: three system calls less for each. It must not keep it for
 * long when it falls idle, whatever Python is doing then, so one thread per process, without Python, looks every few
 * milliseconds: a lock that was not claimed since its last look, or that another process waits for, is let go. The
 * thread runs only while there are such locks, and it stops before a fork.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lock_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef F_OFD_SETLK
#ifdef __APPLE__
#define F_OFD_SETLK 90
#define F_OFD_GETLK 92
#else
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif
#endif

#define SLOTS 1024
#define LOOK_NS 5000000
#define IDLE_LOOKS 20               /* without a kept lock, before the thread ends */
#define LOCK_BASE ((int64_t)1 << 61)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stop_now;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static cowtree_kept_lock *locks[SLOTS];    /* under the mutex */
static pthread_t thread;                   /* joinable while `started` */
static int started;                        /* under the mutex: to be joined */
static int stopping;                       /* under the mutex */
static atomic_int running;

static int byte_lock(int fd, int command, int type, int64_t start, int64_t length) {
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = (short)type;
    lock.l_whence = SEEK_SET;
    lock.l_start = (off_t)start;
    lock.l_len = (off_t)length;
    if (fcntl(fd, command, &lock) != 0) return -1;
    return command == F_OFD_GETLK && lock.l_type != F_UNLCK;
}

/* KEPT -> FREE; the writer byte and the published range go together. */
static void let_go(cowtree_kept_lock *lock) {
    int kept = COWTREE_LOCK_KEPT;
    if (atomic_compare_exchange_strong(&lock->state, &kept, COWTREE_LOCK_LEAVING)) {
        byte_lock(lock->fd, F_OFD_SETLK, F_UNLCK, LOCK_BASE - 1, 0);
        atomic_store(&lock->state, COWTREE_LOCK_FREE);
    }
}

static int any_kept(void) {
    for (int i = 0; i < SLOTS; i++) {
        if (locks[i] && atomic_load(&locks[i]->state) == COWTREE_LOCK_KEPT) return 1;
    }
    return 0;
}

/* Under the mutex. Is there anything left to look after? */
static int look(void) {
    int busy = 0;
    for (int i = 0; i < SLOTS; i++) {
        cowtree_kept_lock *lock = locks[i];
        int state, waiting;
        unsigned turns;
        if (!lock) continue;
        state = atomic_load(&lock->state);
        turns = atomic_load(&lock->turns);
        if (state != COWTREE_LOCK_KEPT && turns == lock->seen) continue;
        busy = 1;
        waiting = byte_lock(lock->fd, F_OFD_GETLK, F_WRLCK, LOCK_BASE - 2, 1) == 1;
        if (waiting) atomic_store(&lock->wanted, 1);
        if (state == COWTREE_LOCK_KEPT && (waiting || turns == lock->seen)) let_go(lock);
        lock->seen = turns;
    }
    return busy;
}

static void *keeper(void *unused) {
    int idle = 0;
    (void)unused;
    pthread_mutex_lock(&mutex);
    while (!stopping) {
        struct timespec until;
#ifdef __APPLE__
        until.tv_sec = 0;
        until.tv_nsec = LOOK_NS;
        pthread_cond_timedwait_relative_np(&stop_now, &mutex, &until);
#else
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&stop_now, &mutex, &until);
#endif
        if (stopping) break;
        idle = look() ? 0 : idle + 1;
        if (idle > IDLE_LOOKS) {
            atomic_store(&running, 0);
            /* A lock that was kept just before saw a keeper running: look once more. */
            if (!any_kept()) break;
            atomic_store(&running, 1);
            idle = 0;
        }
    }
    atomic_store(&running, 0);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* Stop the thread and let go of what is kept. Leaves the mutex locked, so that nothing begins during the fork. */
static void before_fork(void) {
    pthread_mutex_lock(&mutex);
    stopping = 1;
    if (started) {
        pthread_t ending = thread;
        started = 0;
        pthread_cond_signal(&stop_now);
        pthread_mutex_unlock(&mutex);
        pthread_join(ending, NULL);
        pthread_mutex_lock(&mutex);
    }
    for (int i = 0; i < SLOTS; i++) {
        if (locks[i]) let_go(locks[i]);
    }
}

static void after_fork_in_parent(void) {
    stopping = 0;
    pthread_mutex_unlock(&mutex);
}

/* The child's copies of the descriptors are closed by the fork guard; it registers its own. */
static void after_fork_in_child(void) {
    memset(locks, 0, sizeof locks);
    stopping = 0;
    pthread_mutex_unlock(&mutex);
}

static void install(void) {
#ifdef __APPLE__
    pthread_cond_init(&stop_now, NULL);
#else
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&stop_now, &attributes);
    pthread_condattr_destroy(&attributes);
#endif
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Under the mutex. The thread takes no signals: they are Python's. */
static int start(void) {
    sigset_t all, before;
    int failed;
    if (stopping) return -1;
    if (started) {
        pthread_join(thread, NULL);        /* it has ended by itself: `running` is 0, so it takes the mutex no more */
        started = 0;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, NULL, keeper, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return -1;
    started = 1;
    atomic_store(&running, 1);
    return 0;
}

int cowtree_keeper_add(cowtree_kept_lock *lock) {
    int added = -1;
    pthread_once(&once, install);
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < SLOTS && added; i++) {
        if (!locks[i]) {
            locks[i] = lock;
            added = 0;
        }
    }
    pthread_mutex_unlock(&mutex);
    return added;
}

void cowtree_keeper_remove(cowtree_kept_lock *lock) {
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < SLOTS; i++) {
        if (locks[i] == lock) locks[i] = NULL;
    }
    pthread_mutex_unlock(&mutex);
}

int cowtree_keeper_keep(cowtree_kept_lock *lock) {
    int kept = COWTREE_LOCK_KEPT, started_now = 0;
    atomic_fetch_add(&lock->turns, 1);
    atomic_store(&lock->state, COWTREE_LOCK_KEPT);
    if (atomic_load(&running)) return 1;
    pthread_mutex_lock(&mutex);
    started_now = atomic_load(&running) || start() == 0;
    pthread_mutex_unlock(&mutex);
    if (started_now) return 1;
    /* No keeper: take it back, unless one that was ending has let it go. */
    return !atomic_compare_exchange_strong(&lock->state, &kept, COWTREE_LOCK_BUSY);
}

int cowtree_keeper_claim(cowtree_kept_lock *lock) {
    int kept = COWTREE_LOCK_KEPT;
    if (atomic_compare_exchange_strong(&lock->state, &kept, COWTREE_LOCK_BUSY)) return 1;
    while (atomic_load(&lock->state) == COWTREE_LOCK_LEAVING) sched_yield();
    return 0;
}
