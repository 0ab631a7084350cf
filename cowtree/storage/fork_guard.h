/* What a forked child must not keep: lock descriptors. See fork_guard.c. */
#ifndef COWTREE_FORK_GUARD_H
#define COWTREE_FORK_GUARD_H

/* Remember a descriptor that a forked child has to close. 0, or -1 when the table is full. */
int cowtree_fork_register(int fd);
void cowtree_fork_forget(int fd);

/* Number of forks between the process that loaded this library and the present one. */
unsigned long cowtree_fork_generation(void);

#endif
