# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The SIGBUS guard for Cython callers. See `sigbus_guard.c`."""

import errno

cdef extern from "sigbus_guard.h" nogil:
    int cowtree_guard_install()
    int cowtree_guarded(guarded_fn fn, void* argument, const void* low, const void* high)
    int cowtree_guarded_copy(void* into, const void* start, size_t size, const void* low, const void* high)


cdef int install_guard() except -1:
    """Install the handler, or put it back on top of another that replaced it. Idempotent."""
    if cowtree_guard_install() != 0:
        raise OSError(errno.EINVAL, "the SIGBUS handler cannot be installed")
    return 0


cdef int guarded(guarded_fn fn, void* argument, const void* low, const void* high) noexcept nogil:
    """fn(argument), or FAULT if it touched unreadable memory in [low, high). About 10 ns."""
    return cowtree_guarded(fn, argument, low, high)


cdef int guarded_copy(void* into, const void* start, size_t size, const void* low, const void* high) noexcept nogil:
    """memcpy under the guard: 0 or FAULT."""
    return cowtree_guarded_copy(into, start, size, low, high)


def install():
    """Install the handler; what opening a database does."""
    install_guard()


def read_guarded(size_t address, size_t size, size_t low, size_t high):
    """For tests: `size` bytes at `address`; OSError (EIO) on a fault inside [low, high)."""
    cdef bytearray result = bytearray(size)
    if guarded_copy(<char*>result, <const void*>address, size, <const void*>low, <const void*>high) == FAULT:
        raise OSError(errno.EIO, "the memory cannot be read")
    return bytes(result)
