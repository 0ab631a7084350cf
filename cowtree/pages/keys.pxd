"""Byte-string order and heads (FORMAT §4)."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from cowtree.layout cimport load32_be


cdef inline uint32_t head_of(const uint8_t* suffix, uint32_t size) noexcept nogil:
    """The first four bytes of `suffix`, zero padded, as an integer that orders as they do."""
    if size >= 4:
        return load32_be(suffix)
    cdef uint32_t head = 0
    if size > 0:
        head = <uint32_t>suffix[0] << 24
    if size > 1:
        head |= <uint32_t>suffix[1] << 16
    if size > 2:
        head |= <uint32_t>suffix[2] << 8
    return head


cdef inline int compare_keys(
    const uint8_t* a, uint32_t a_size, const uint8_t* b, uint32_t b_size
) noexcept nogil:
    """Negative, zero or positive as a is below, equal to or above b."""
    cdef uint32_t common = a_size if a_size < b_size else b_size
    cdef int order = 0
    if common:
        order = memcmp(a, b, common)
    if order:
        return order
    return <int>(a_size > b_size) - <int>(a_size < b_size)
