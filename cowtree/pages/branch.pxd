"""Branch images (FORMAT §4.2): search and read here, inline; edits in `branch.pyx`.

As in `leaf`, read accessors clamp, editors trust.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport (
    BRANCH_SLOT_SIZE, PAGE_COUNT, PAGE_PREFIX, SEPARATOR_HEADER, TREE_HEADER_SIZE, TREE_HEAP, load16, load32, load64,
    store64,
)
from cowtree.pages.keys cimport compare_keys, compare_prefix, head_of
from cowtree.pages.leaf cimport DAMAGED

cdef struct Separator:
    const uint8_t* suffix
    uint32_t suffix_size


cdef inline uint32_t branch_children(const uint8_t* page, uint32_t size) noexcept nogil:
    """Number of children, or 0 if the arrays would leave the image."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    if TREE_HEADER_SIZE + BRANCH_SLOT_SIZE * count > size:
        return 0
    return count


cdef inline uint64_t branch_child(const uint8_t* page, uint32_t slot) noexcept nogil:
    return load64(page + TREE_HEADER_SIZE + 8 * slot)


cdef inline uint64_t branch_entries(const uint8_t* page, uint32_t count, uint32_t slot) noexcept nogil:
    return load64(page + TREE_HEADER_SIZE + 8 * count + 8 * slot)


cdef inline uint64_t branch_pages(const uint8_t* page, uint32_t count, uint32_t slot) noexcept nogil:
    return load64(page + TREE_HEADER_SIZE + 16 * count + 8 * slot)


cdef inline int branch_separator(
    const uint8_t* page, uint32_t size, uint32_t slot, Separator* separator
) noexcept nogil:
    """Point `separator` into the image; DAMAGED (negative) if it would leave it. O(1)."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t at = TREE_HEADER_SIZE + 28 * count + 2 * slot
    if slot >= count or at + 2 > size:
        return DAMAGED
    at = load16(page + at)
    if at + SEPARATOR_HEADER > size:
        return DAMAGED
    separator.suffix_size = load16(page + at)
    if at + SEPARATOR_HEADER + separator.suffix_size > size:
        return DAMAGED
    separator.suffix = page + at + SEPARATOR_HEADER
    return 0


cdef inline int branch_find(
    const uint8_t* page, uint32_t size, const uint8_t* key, uint32_t key_size, uint32_t* slot
) noexcept nogil:
    """Set `slot` to the child whose range holds `key`; 0 or DAMAGED. O(log n), touching keys only on equal heads."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t prefix = load16(page + PAGE_PREFIX)
    cdef uint32_t head, low, length, half, high, middle
    cdef const uint8_t* heads
    cdef int order
    cdef Separator separator
    if TREE_HEADER_SIZE + BRANCH_SLOT_SIZE * count + prefix > size or count == 0:
        return DAMAGED
    heads = page + TREE_HEADER_SIZE + 24 * count
    if prefix:
        order = compare_prefix(key, key_size, page + size - prefix, prefix)
        if order < 0:
            slot[0] = 0
            return 0
        if order > 0:
            slot[0] = count - 1
            return 0
        key += prefix
        key_size -= prefix
    head = head_of(key, key_size)
    low = 1
    length = count - 1
    while length > 1:
        half = length >> 1
        low += half if load32(heads + 4 * (low + half - 1)) < head else 0
        length -= half
    if length and load32(heads + 4 * low) < head:
        low += 1
    if low < count and load32(heads + 4 * low) == head:
        length = 1
        while low + length < count and load32(heads + 4 * (low + length)) == head:
            length <<= 1
        high = low + length
        if high > count:
            high = count
        # First separator above the key, among those that share its head.
        while low < high:
            middle = (low + high) >> 1
            if load32(heads + 4 * middle) != head:
                high = middle
                continue
            if branch_separator(page, size, middle, &separator) < 0:
                return DAMAGED
            if compare_keys(separator.suffix, separator.suffix_size, key, key_size) <= 0:
                low = middle + 1
            else:
                high = middle
    slot[0] = low - 1
    return 0


cdef inline void branch_set_child(uint8_t* page, uint32_t slot, uint64_t child) noexcept nogil:
    store64(page + TREE_HEADER_SIZE + 8 * slot, child)


cdef inline void branch_set_counts(
    uint8_t* page, uint32_t slot, uint64_t entries, uint64_t pages
) noexcept nogil:
    cdef uint32_t count = load16(page + PAGE_COUNT)
    store64(page + TREE_HEADER_SIZE + 8 * count + 8 * slot, entries)
    store64(page + TREE_HEADER_SIZE + 16 * count + 8 * slot, pages)


cdef inline uint32_t branch_free(const uint8_t* page) noexcept nogil:
    return load32(page + TREE_HEAP) - TREE_HEADER_SIZE - BRANCH_SLOT_SIZE * load16(page + PAGE_COUNT)


cdef void branch_insert(
    uint8_t* page, uint32_t size, uint32_t slot, const uint8_t* suffix, uint32_t suffix_size,
    uint64_t child, uint64_t entries, uint64_t pages,
) noexcept nogil
cdef void branch_remove(uint8_t* page, uint32_t size, uint32_t slot) noexcept nogil
cdef int lay_out_branch(const uint8_t* page, uint32_t size, uint64_t limit, uint8_t* bitmap) noexcept nogil
cdef int validate_branch(const uint8_t* page, uint32_t size, uint64_t limit, uint8_t* bitmap) noexcept nogil
