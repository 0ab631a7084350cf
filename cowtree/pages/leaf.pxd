"""Leaf images (FORMAT §4.1): search and read here, inline; edits in `leaf.pyx`.

Readers may meet bytes that change beneath a mapping, so every read accessor clamps what it follows to the image and
says DAMAGED rather than step outside. Editors work on private, validated memory and do not check again.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport (
    ENTRY_KIND_MASK, LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, PAGE_COUNT, PAGE_PREFIX, TREE_HEADER_SIZE, TREE_HEAP, load16,
    load32,
)
from cowtree.pages.keys cimport compare_keys, compare_prefix, head_of

cdef enum:
    DAMAGED = -1
    ABSENT = 0
    FOUND = 1

cdef struct Entry:
    const uint8_t* suffix
    const uint8_t* value       # the value, or a run reference
    uint32_t suffix_size
    uint32_t value_size
    uint32_t kind


cdef inline uint32_t entry_count(const uint8_t* page) noexcept nogil:
    return load16(page + PAGE_COUNT)


cdef inline uint32_t prefix_size(const uint8_t* page) noexcept nogil:
    return load16(page + PAGE_PREFIX)


cdef inline uint32_t leaf_kind(const uint8_t* page, uint32_t count, uint32_t slot) noexcept nogil:
    """The kind of an entry of a sound image."""
    return page[load16(page + TREE_HEADER_SIZE + 4 * count + 2 * slot)] & ENTRY_KIND_MASK


cdef inline int leaf_entry(const uint8_t* page, uint32_t size, uint32_t slot, Entry* entry) noexcept nogil:
    """Point `entry` into the image; DAMAGED (negative) if it would leave it. O(1)."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t at = TREE_HEADER_SIZE + 4 * count + 2 * slot
    if slot >= count or at + 2 > size:
        return DAMAGED
    at = load16(page + at)
    if at + LEAF_ENTRY_HEADER > size:
        return DAMAGED
    entry.kind = page[at]
    entry.suffix_size = load16(page + at + 1)
    entry.value_size = load16(page + at + 3)
    if at + LEAF_ENTRY_HEADER + entry.suffix_size + entry.value_size > size:
        return DAMAGED
    entry.suffix = page + at + LEAF_ENTRY_HEADER
    entry.value = entry.suffix + entry.suffix_size
    return 0


cdef inline int leaf_find(
    const uint8_t* page, uint32_t size, const uint8_t* key, uint32_t key_size, uint32_t* slot
) noexcept nogil:
    """Set `slot` to the first entry whose key is not below `key`; FOUND, ABSENT or DAMAGED. O(log n).

    Binary search over the dense heads; keys are touched only where heads tie (Graefe, "Modern B-Tree Techniques").
    """
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t prefix = load16(page + PAGE_PREFIX)
    cdef uint32_t head, low, length, half, high, middle
    cdef const uint8_t* heads = page + TREE_HEADER_SIZE
    cdef int order
    cdef Entry entry
    if TREE_HEADER_SIZE + LEAF_SLOT_SIZE * count + prefix > size:
        return DAMAGED
    if prefix:
        order = compare_prefix(key, key_size, page + size - prefix, prefix)
        if order < 0:
            slot[0] = 0
            return ABSENT
        if order > 0:
            slot[0] = count
            return ABSENT
        key += prefix
        key_size -= prefix
    head = head_of(key, key_size)
    low = 0
    length = count
    while length > 1:
        half = length >> 1
        low += half if load32(heads + 4 * (low + half - 1)) < head else 0
        length -= half
    if length and load32(heads + 4 * low) < head:
        low += 1
    slot[0] = low
    if low == count or load32(heads + 4 * low) != head:
        return ABSENT
    # Ties: [low, high) share the head. Mostly one entry; gallop to the end, then search by whole suffixes.
    length = 1
    while low + length < count and load32(heads + 4 * (low + length)) == head:
        length <<= 1
    high = low + length
    if high > count:
        high = count
    while low < high:
        middle = (low + high) >> 1
        if load32(heads + 4 * middle) != head:
            high = middle
            continue
        if leaf_entry(page, size, middle, &entry) < 0:
            return DAMAGED
        order = compare_keys(entry.suffix, entry.suffix_size, key, key_size)
        if order == 0:
            slot[0] = middle
            return FOUND
        if order < 0:
            low = middle + 1
        else:
            high = middle
    slot[0] = low
    return ABSENT


cdef inline const uint8_t* leaf_guess(
    const uint8_t* page, uint32_t size, const uint8_t* key, uint32_t key_size
) noexcept nogil:
    """Where in the image the entry of `key` probably lies, told by the heads alone: what to prefetch. O(log n)."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t prefix = load16(page + PAGE_PREFIX)
    cdef uint32_t head, low = 0, length = count, half, at
    cdef const uint8_t* heads = page + TREE_HEADER_SIZE
    if TREE_HEADER_SIZE + LEAF_SLOT_SIZE * count + prefix > size or count == 0 or key_size < prefix:
        return page
    head = head_of(key + prefix, key_size - prefix)
    while length > 1:
        half = length >> 1
        low += half if load32(heads + 4 * (low + half - 1)) < head else 0
        length -= half
    if load32(heads + 4 * low) < head and low + 1 < count:
        low += 1
    at = load16(heads + 4 * count + 2 * low)
    return page + at if at < size else page


cdef inline uint32_t leaf_free(const uint8_t* page) noexcept nogil:
    """Free bytes between arrays and heap."""
    return load32(page + TREE_HEAP) - TREE_HEADER_SIZE - LEAF_SLOT_SIZE * load16(page + PAGE_COUNT)


cdef void leaf_insert(
    uint8_t* page, uint32_t size, uint32_t slot, const uint8_t* suffix, uint32_t suffix_size,
    uint32_t kind, const uint8_t* value, uint32_t value_size,
) noexcept nogil
cdef void leaf_remove(uint8_t* page, uint32_t size, uint32_t slot) noexcept nogil
cdef int lay_out_leaf(const uint8_t* page, uint32_t size, uint64_t limit, uint8_t* bitmap) noexcept nogil
cdef int validate_leaf(const uint8_t* page, uint32_t size, uint64_t limit, uint8_t* bitmap) noexcept nogil
