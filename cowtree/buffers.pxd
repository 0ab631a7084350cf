"""Keys and values as callers give them: bytes, or any C-contiguous buffer."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef struct Given:
    const uint8_t* data
    uint64_t size
    bint exported              # by a buffer, which `give_back` releases; bytes are kept alive by whoever calls
    Py_buffer buffer


# TypeError: no buffer. Of `take_key` and `take_value` also KeyTooLargeError, ValueTooLargeError; then nothing is held.
cdef int take_any_key(object key, Given* given) except -1
cdef int take_key(object key, Given* given, uint32_t page_size) except -1
cdef int take_value(object value, Given* given) except -1
cdef int give_back(Given* given) except -1
