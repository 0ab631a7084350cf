"""Reads of mapped memory that survive truncation and device errors: one handler and one thread-local for all modules."""

ctypedef int (*guarded_fn)(void* argument) noexcept nogil

cdef enum:
    FAULT = -99

cdef int install_guard() except -1
cdef int guarded(guarded_fn fn, void* argument, const void* low, const void* high) noexcept nogil
cdef int guarded_copy(void* into, const void* start, size_t size, const void* low, const void* high) noexcept nogil
