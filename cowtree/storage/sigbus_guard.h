/* Turns a SIGBUS under a mapping into a return value. See sigbus_guard.c. */
#ifndef COWTREE_SIGBUS_GUARD_H
#define COWTREE_SIGBUS_GUARD_H

#include <stddef.h>

#define COWTREE_FAULT (-99)

typedef int (*cowtree_guarded_fn)(void *argument);

/* Install the handler, or put it back on top. 0, or -1 with errno. */
int cowtree_guard_install(void);

/* fn(argument), or COWTREE_FAULT if it touched a page in [low, high) that cannot be read. */
int cowtree_guarded(cowtree_guarded_fn fn, void *argument, const void *low, const void *high);

/* memcpy from the range: 0 or COWTREE_FAULT. */
int cowtree_guarded_copy(void *into, const void *from, size_t size, const void *low, const void *high);

#endif
