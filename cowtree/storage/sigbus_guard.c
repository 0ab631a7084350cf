/* A thread-local guard around reads of mapped memory.
 *
 * A file that is truncated, or whose device fails, raises SIGBUS in the thread that touches the page. While that thread
 * is inside cowtree_guarded and the address belongs to the guarded range, the handler jumps back to where the guard was
 * set; any other SIGBUS goes on to the handler that was there before ours. The guarded function calls no Python, takes
 * no lock and allocates nothing, so nothing is left half done by the jump.
 *
 * sigsetjmp(.., 0) saves no signal mask (saving it would be a system call); SA_NODEFER keeps SIGBUS unblocked in the
 * handler, so that there is no mask to restore.
 */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "sigbus_guard.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

/* ThreadSanitizer puts a handler of its own in front of ours, which blocks every signal: there the mask is saved. */
#if defined(__SANITIZE_THREAD__)
#define SAVES_MASK 1
#else
#define SAVES_MASK 0
#endif

struct frame {
    sigjmp_buf environment;
    const char *low;
    const char *high;
    struct frame *volatile outer;
};

/* initial-exec: readable in a signal handler of a thread that never touched it, without allocation. */
static _Thread_local struct frame *volatile current
#if defined(__linux__)
    __attribute__((tls_model("initial-exec")))
#endif
    ;

static pthread_mutex_t install_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static void *volatile last_foreign_address;
static volatile sig_atomic_t last_foreign_repeats;

static void on_sigbus(int number, siginfo_t *info, void *context) {
    const char *address = (const char *)info->si_addr;
    for (struct frame *frame = current; frame != NULL; frame = frame->outer) {
        if (address >= frame->low && address < frame->high) {
            current = frame;
            siglongjmp(frame->environment, 1);
        }
    }
    /* Not ours. The previous handler may lead back to us (faulthandler restores what it found and raises again), so a
     * fault that keeps coming gets the default action. */
    if (info->si_addr == last_foreign_address) {
        last_foreign_repeats++;
    } else {
        last_foreign_address = info->si_addr;
        last_foreign_repeats = 0;
    }
    if (last_foreign_repeats >= 2) {
        signal(number, SIG_DFL);
        return;
    }
    if (previous.sa_flags & SA_SIGINFO) {
        if (previous.sa_sigaction != NULL && previous.sa_sigaction != on_sigbus) {
            previous.sa_sigaction(number, info, context);
            return;
        }
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
        return;
    }
    /* Return to the faulting instruction with the default action in place. */
    signal(number, SIG_DFL);
}

int cowtree_guard_install(void) {
    struct sigaction present, ours;
    int result = 0;
    pthread_mutex_lock(&install_mutex);
    if (sigaction(SIGBUS, NULL, &present) != 0) {
        result = -1;
    } else if (!((present.sa_flags & SA_SIGINFO) && present.sa_sigaction == on_sigbus)) {
        memset(&ours, 0, sizeof ours);
        ours.sa_sigaction = on_sigbus;
        ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
        sigemptyset(&ours.sa_mask);
        previous = present;
        result = sigaction(SIGBUS, &ours, NULL);
    }
    pthread_mutex_unlock(&install_mutex);
    return result;
}

int cowtree_guarded(cowtree_guarded_fn fn, void *argument, const void *low, const void *high) {
    struct frame frame;
    int result;
    frame.low = (const char *)low;
    frame.high = (const char *)high;
    frame.outer = current;
    if (sigsetjmp(frame.environment, SAVES_MASK) != 0) {
        current = frame.outer;
        return COWTREE_FAULT;
    }
    current = &frame;
    result = fn(argument);
    current = frame.outer;
    return result;
}

int cowtree_guarded_copy(void *into, const void *from, size_t size, const void *low, const void *high) {
    struct frame frame;
    frame.low = (const char *)low;
    frame.high = (const char *)high;
    frame.outer = current;
    if (sigsetjmp(frame.environment, SAVES_MASK) != 0) {
        current = frame.outer;
        return COWTREE_FAULT;
    }
    current = &frame;
    /* The compiler must not move the copy out of the guard. */
    __asm__ volatile("" ::: "memory");
    memcpy(into, from, size);
    __asm__ volatile("" ::: "memory");
    current = frame.outer;
    return 0;
}
