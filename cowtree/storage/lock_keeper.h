/* A writer lock that stays between the commits of a busy writer. See lock_keeper.c. */
#ifndef COWTREE_LOCK_KEEPER_H
#define COWTREE_LOCK_KEEPER_H

#include <stdatomic.h>

/* FREE -> BUSY by its owner (which locks the file first); BUSY -> KEPT -> BUSY by its owner, without a system call;
 * KEPT -> LEAVING -> FREE by the keeper (which unlocks the file between). */
enum { COWTREE_LOCK_FREE, COWTREE_LOCK_BUSY, COWTREE_LOCK_KEPT, COWTREE_LOCK_LEAVING };

typedef struct {
    int fd;                 /* of the locks; -1: not registered */
    atomic_int state;
    atomic_int wanted;      /* another process waits: do not keep it again */
    atomic_uint turns;      /* how often it was kept */
    unsigned seen;          /* the keeper's: `turns` when it looked last */
} cowtree_kept_lock;

/* Register and forget; forgetting waits for a keeper that is just letting go. 0, or -1 when the table is full. */
int cowtree_keeper_add(cowtree_kept_lock *lock);
void cowtree_keeper_remove(cowtree_kept_lock *lock);

/* BUSY -> KEPT: the keeper lets go of the lock when it is not claimed for a while or another process waits for it.
 * 1, or 0 if there can be no keeper: still BUSY. */
int cowtree_keeper_keep(cowtree_kept_lock *lock);

/* KEPT -> BUSY: 1; 0: the lock is gone. */
int cowtree_keeper_claim(cowtree_kept_lock *lock);

#endif
