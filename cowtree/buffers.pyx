# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Keys and values as callers give them. See `buffers.pxd`.

Bytes, which nearly all are, go past the buffer protocol: it took a tenth of the instructions of a put.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport key_size_max

from cowtree.errors import KeyTooLargeError, ValueTooLargeError
from cowtree.options import VALUE_SIZE_MAX, wrong_type

cdef uint64_t VALUE_MAX = VALUE_SIZE_MAX


cdef int take(object value, Given* given, str what) except -1:
    if PyBytes_CheckExact(value):
        given.exported = False
        given.data = <const uint8_t*>PyBytes_AS_STRING(value)
        given.size = <uint64_t>PyBytes_GET_SIZE(value)
        return 0
    try:
        PyObject_GetBuffer(value, &given.buffer, PyBUF_SIMPLE)
    except TypeError:
        raise wrong_type(value, what) from None
    except BufferError:
        raise TypeError(f"a {what} must be a C-contiguous buffer") from None
    given.exported = True
    given.data = <const uint8_t*>given.buffer.buf
    given.size = <uint64_t>given.buffer.len
    return 0


cdef int take_any_key(object key, Given* given) except -1:
    return take(key, given, "key")


cdef int take_key(object key, Given* given, uint32_t page_size) except -1:
    take(key, given, "key")
    if given.size > key_size_max(page_size):
        give_back(given)
        raise KeyTooLargeError(f"a key has at most {key_size_max(page_size)} bytes here, not {given.size}")
    return 0


cdef int take_value(object value, Given* given) except -1:
    take(value, given, "value")
    if given.size > VALUE_MAX:
        give_back(given)
        raise ValueTooLargeError(f"a value has at most {VALUE_SIZE_MAX} bytes, not {given.size}")
    return 0


cdef int give_back(Given* given) except -1:
    if given.exported:
        given.exported = False
        PyBuffer_Release(&given.buffer)
    return 0
