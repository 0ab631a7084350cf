"""Byte-string order and heads (FORMAT §4)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from cowtree.layout cimport load32_be, load64_be


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
    cdef uint64_t x, y
    cdef int order = 0
    if common >= 8:
        # Eight bytes at a time as integers: keys are short, and a call costs as much as the comparison.
        x = load64_be(a)
        y = load64_be(b)
        if x == y and common <= 16:
            x = load64_be(a + common - 8)
            y = load64_be(b + common - 8)
        if x != y:
            return -1 if x < y else 1
        if common > 16:
            order = memcmp(a + 8, b + 8, common - 8)
    elif common:
        order = memcmp(a, b, common)
    if order:
        return order
    return <int>(a_size > b_size) - <int>(a_size < b_size)


cdef inline int compare_prefix(
    const uint8_t* key, uint32_t key_size, const uint8_t* prefix, uint32_t prefix_size
) noexcept nogil:
    """Negative, zero or positive as a key is below all keys of a page, begins as they do, or is above them all.

    `prefix` ends its page image, which has at least eight bytes in front of that end.
    """
    cdef uint64_t x, y
    cdef int order
    if prefix_size <= 8 and key_size >= 8:
        x = load64_be(key) >> (64 - 8 * prefix_size)
        y = load64_be(prefix + prefix_size - 8)
        if prefix_size < 8:
            y &= (<uint64_t>1 << (8 * prefix_size)) - 1
        return <int>(x > y) - <int>(x < y)
    order = memcmp(key, prefix, key_size if key_size < prefix_size else prefix_size)
    return -1 if order == 0 and key_size < prefix_size else order
