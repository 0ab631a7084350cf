/* An open-file-description lock lives as long as any copy of its descriptor: a forked child would keep the parent's
 * writer lock alive. So a child closes its copies at once, in a pthread_atfork handler, whoever forked (Python or not).
 * It closes, it does not unlock: unlocking would take the lock from the parent.
 */
#include "fork_guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define SLOTS 1024

/* fd + 1; 0: free. Atomics, because the child handler may run while another thread of the parent held any mutex. */
static atomic_int descriptors[SLOTS];
static atomic_ulong generation;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void in_child(void) {
    for (int i = 0; i < SLOTS; i++) {
        int fd = atomic_exchange(&descriptors[i], 0);
        if (fd != 0) {
            close(fd - 1);
        }
    }
    atomic_fetch_add(&generation, 1);
}

static void install(void) {
    pthread_atfork(NULL, NULL, in_child);
}

int cowtree_fork_register(int fd) {
    pthread_once(&once, install);
    for (int i = 0; i < SLOTS; i++) {
        int expected = 0;
        if (atomic_compare_exchange_strong(&descriptors[i], &expected, fd + 1)) {
            return 0;
        }
    }
    return -1;
}

void cowtree_fork_forget(int fd) {
    for (int i = 0; i < SLOTS; i++) {
        int expected = fd + 1;
        if (atomic_compare_exchange_strong(&descriptors[i], &expected, 0)) {
            return;
        }
    }
}

unsigned long cowtree_fork_generation(void) {
    pthread_once(&once, install);
    return atomic_load(&generation);
}
