# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The writer lock, and the range that tells readers what is published. See `file_lock.pxd`.

Open-file-description locks: not lost when another descriptor of the file is closed, seen between descriptors of one
process, and dropped by the kernel when the holder dies.
"""

import os

from libc.errno cimport EACCES, EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint64_t

cdef extern from "<unistd.h>":
    int _close "close"(int fd) nogil

cdef extern from "fork_guard.h" nogil:
    int cowtree_fork_register(int fd)
    void cowtree_fork_forget(int fd)
    unsigned long cowtree_fork_generation()

cdef extern from "lock_keeper.h" nogil:
    int LOCK_FREE "COWTREE_LOCK_FREE"
    int LOCK_BUSY "COWTREE_LOCK_BUSY"
    int cowtree_keeper_add(KeptLock* lock)
    void cowtree_keeper_remove(KeptLock* lock)
    int cowtree_keeper_keep(KeptLock* lock)
    int cowtree_keeper_claim(KeptLock* lock)

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <string.h>
    #include <stdint.h>
    #include <unistd.h>
    #include "file_status.h"
    #include "lock_keeper.h"
    #ifdef __linux__
    #include <sys/vfs.h>
    #else
    #include <sys/param.h>
    #include <sys/mount.h>
    #endif
    #ifndef F_OFD_SETLK
    #ifdef __APPLE__
    /* Present in the kernel, absent from the public header. */
    #define F_OFD_SETLK 90
    #define F_OFD_GETLK 92
    #else
    /* As on Linux, whose C library may be older than its kernel. */
    #define F_OFD_GETLK 36
    #define F_OFD_SETLK 37
    #endif
    #endif
    #define COWTREE_LOCK_BASE ((int64_t)1 << 61)
    static int cowtree_set_lock(int fd, int type, int64_t start, int64_t length) {
        struct flock lock;
        memset(&lock, 0, sizeof lock);
        lock.l_type = (short)type;
        lock.l_whence = SEEK_SET;
        lock.l_start = (off_t)start;
        lock.l_len = (off_t)length;
        return fcntl(fd, F_OFD_SETLK, &lock);
    }
    /* 1 and the range if a write (or any) lock of another description is in the way of `type`; 0; -1 and errno. */
    static int cowtree_get_lock(int fd, int type, int64_t start, int64_t length, int64_t *at, int64_t *size) {
        struct flock lock;
        memset(&lock, 0, sizeof lock);
        lock.l_type = (short)type;
        lock.l_whence = SEEK_SET;
        lock.l_start = (off_t)start;
        lock.l_len = (off_t)length;
        if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return -1;
        if (lock.l_type == F_UNLCK) return 0;
        *at = lock.l_start;
        *size = lock.l_len;
        return 1;
    }
    static int cowtree_kept_state(cowtree_kept_lock *lock) { return atomic_load(&lock->state); }
    static void cowtree_kept_set(cowtree_kept_lock *lock, int state) {
        atomic_store(&lock->state, state);
        if (state == COWTREE_LOCK_FREE) atomic_store(&lock->wanted, 0);
    }
    static int cowtree_kept_wanted(cowtree_kept_lock *lock) { return atomic_load(&lock->wanted); }
    static int cowtree_same_file(const char *path, uint64_t dev, uint64_t ino) {
        cowtree_file_status found;
        return cowtree_get_status(-1, path, &found) == 0 && found.dev == dev && found.ino == ino;
    }
    static long cowtree_fs_type(int fd, char *name, size_t size) {
        struct statfs found;
        name[0] = 0;
        if (fstatfs(fd, &found) != 0) return -1;
    #ifndef __linux__
        strncpy(name, found.f_fstypename, size - 1);
        name[size - 1] = 0;
        return 0;
    #else
        (void)size;
        return (long)found.f_type & 0xFFFFFFFFL;
    #endif
    }
    """
    const int F_RDLCK, F_WRLCK, F_UNLCK
    const int64_t LOCK_BASE "COWTREE_LOCK_BASE"
    int cowtree_set_lock(int fd, int type, int64_t start, int64_t length) nogil
    int cowtree_get_lock(int fd, int type, int64_t start, int64_t length, int64_t* at, int64_t* size) nogil
    int cowtree_same_file(const char* path, uint64_t dev, uint64_t ino) noexcept nogil
    int cowtree_kept_state(KeptLock* lock) noexcept nogil
    void cowtree_kept_set(KeptLock* lock, int state) noexcept nogil
    int cowtree_kept_wanted(KeptLock* lock) noexcept nogil
    long cowtree_fs_type(int fd, char* name, size_t size) nogil

FILE_SYSTEMS = {
    0x6969: "nfs", 0xFF534D42: "cifs", 0xFE534D42: "cifs", 0x517B: "cifs", 0x01021997: "9p", 0x65735546: "fuse",
    0x9123683E: "btrfs", 0x58465342: "xfs", 0xEF53: "ext", 0x01021994: "tmpfs", 0x2FC12FC1: "zfs", 0x794C7630: "overlay",
    0xCA451A4E: "bcachefs", 0xF2F52010: "f2fs",
}


cdef int os_error(object path) except -1:
    raise OSError(errno, os.strerror(errno), path)


cdef class FileLock:
    """The locks that one engine holds on its file. Its descriptor is its own: never mapped, never duplicated."""

    def __cinit__(self):
        self.fd = -1
        self.kept.fd = -1

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.fork_mark = cowtree_fork_generation()
        self.kept.fd = self.fd
        if cowtree_fork_register(self.fd) != 0 or cowtree_keeper_add(&self.kept) != 0:
            self.close()
            raise OSError(24, "too many databases are open for writing in this process", path)

    def __dealloc__(self):
        # Even in a forked child: the keeper must not hold a pointer to this (there it knows no lock any more).
        cowtree_keeper_remove(&self.kept)
        if self.fd >= 0 and self.fork_mark == cowtree_fork_generation():
            cowtree_fork_forget(self.fd)
            _close(self.fd)                        # not os.close: at the end of the interpreter modules are empty
            self.fd = -1

    cdef int set(self, int type, int64_t start, int64_t length) except -2:
        """1: done; 0: another holds it."""
        if self.fd < 0 or self.fork_mark != cowtree_fork_generation():
            raise ValueError("the lock was closed")
        while cowtree_set_lock(self.fd, type, start, length) != 0:
            if errno == EAGAIN or errno == EACCES:
                return 0
            if errno != EINTR:
                os_error(self.path)
        return 1

    @property
    def held(self):
        """Is the writer byte held, by the engine or kept for it?"""
        return self.holds()

    cdef bint holds(self) noexcept:
        return cowtree_kept_state(&self.kept) != LOCK_FREE

    cdef bint busy(self) noexcept:
        """Held, and not merely kept."""
        return cowtree_kept_state(&self.kept) == LOCK_BUSY

    cpdef bint try_acquire(self) except -1:
        """Take the writer byte, without waiting; nothing is published yet."""
        if self.set(F_WRLCK, LOCK_BASE - 1, 1) != 1:
            return False
        cowtree_kept_set(&self.kept, LOCK_BUSY)
        return True

    cpdef bint claim(self):
        """Take up a lock that was kept: True, and all that was published still is. False: acquire it anew."""
        return cowtree_keeper_claim(&self.kept) == 1

    cpdef bint keep(self):
        """Keep the lock for the next commit, instead of releasing it. False: it must be released.

        It goes by itself when it is not claimed for some 5 to 10 ms, when another process waits for it (within 5 ms),
        and before a fork.
        """
        return cowtree_keeper_keep(&self.kept) == 1

    cdef bint wanted(self) noexcept:
        """Did the keeper see another process wait since the lock was taken?"""
        return cowtree_kept_wanted(&self.kept) != 0

    cpdef int publish(self, uint64_t pages) except -1:
        """Say that pages below `pages` are published, as long as the lock is held. One system call."""
        if self.set(F_WRLCK, LOCK_BASE, <int64_t>pages) != 1:
            raise RuntimeError("another writer publishes on this file")
        return 0

    cpdef int release(self) except -1:
        """Give up the writer byte and the published range together."""
        if not self.holds() or not (self.busy() or self.claim()):
            return 0
        self.set(F_UNLCK, LOCK_BASE - 1, 0)
        cowtree_kept_set(&self.kept, LOCK_FREE)
        return 0

    cpdef int set_waiting(self, bint waiting) except -1:
        """Say that a writer waits here, so that the holder yields."""
        self.set(F_RDLCK if waiting else F_UNLCK, LOCK_BASE - 2, 1)
        return 0

    cpdef bint others_waiting(self) except -1:
        """Does a writer of another process wait?"""
        cdef int64_t start, size
        cdef int found = cowtree_get_lock(self.fd, F_WRLCK, LOCK_BASE - 2, 1, &start, &size)
        if found < 0:
            os_error(self.path)
        return found == 1

    def try_compacting(self):
        """Take the compacting byte, without waiting."""
        return self.set(F_WRLCK, LOCK_BASE - 3, 1) == 1

    def release_compacting(self):
        """Give up the compacting byte."""
        self.set(F_UNLCK, LOCK_BASE - 3, 1)

    cpdef close(self):
        """Close the descriptor, which drops every lock. Idempotent; in a forked child the descriptor is gone already."""
        cdef int fd = self.fd
        cowtree_keeper_remove(&self.kept)
        cowtree_kept_set(&self.kept, LOCK_FREE)
        self.fd = -1
        if fd >= 0 and self.fork_mark == cowtree_fork_generation():
            cowtree_fork_forget(fd)
            os.close(fd)


cdef int64_t published_pages(int fd) except -2:
    """Pages that a live writer has published; 0: a writer has the lock but does not publish yet; -1: no writer.

    Works on a read-only descriptor; about 1 µs.
    """
    cdef int64_t start = 0, size = 0
    cdef int found = cowtree_get_lock(fd, F_RDLCK, LOCK_BASE - 1, 0, &start, &size)
    if found == 1 and start == LOCK_BASE - 1 and size == 1:
        # Only the writer byte, or a kernel that reports the two ranges apart: ask behind it.
        found = cowtree_get_lock(fd, F_RDLCK, LOCK_BASE, 0, &start, &size)
        if found == 0:
            return 0
    if found < 0:
        raise OSError(errno, os.strerror(errno))
    if found == 0:
        return -1
    return start + size - LOCK_BASE


cdef bint same_file(const char* path, uint64_t dev, uint64_t ino) noexcept nogil:
    """Does the path still name this file?"""
    return cowtree_same_file(path, dev, ino)


cdef unsigned long fork_generation() noexcept nogil:
    """Changes in a forked child."""
    return cowtree_fork_generation()


def published_pages_of(int fd):
    """`published_pages` for Python."""
    return published_pages(fd)


def present_fork_generation():
    """`fork_generation` for Python."""
    return cowtree_fork_generation()


def file_system_kind(int fd):
    """The kind of file system a descriptor lives on: "ext", "btrfs", "nfs", ...; "other" if unknown."""
    cdef char name[64]
    cdef long magic = cowtree_fs_type(fd, name, 64)
    if magic == -1:
        return "other"
    if name[0]:
        return name.decode("ascii", "replace")
    return FILE_SYSTEMS.get(magic, "other")
