# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Edit and validate branch images (FORMAT §4.2)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from cowtree.layout cimport (
    BRANCH_SLOT_SIZE, LEVEL_MAX, PAGE_COUNT, PAGE_LEVEL, PAGE_PREFIX, SEPARATOR_HEADER, TREE_HEADER_SIZE, TREE_HEAP,
    all_zero, load16, load32, load64, store16, store32, store64,
)
from cowtree.pages.keys cimport compare_keys, head_of


cdef void open_slot(uint8_t* page, uint32_t count, uint32_t slot) noexcept nogil:
    """Make room for one element at `slot` in each of the five arrays, last array first."""
    cdef uint8_t* base = page + TREE_HEADER_SIZE
    cdef uint8_t* offsets = base + 28 * count
    cdef uint8_t* heads = base + 24 * count
    cdef uint32_t array
    memmove(offsets + 28 + 2 * (slot + 1), offsets + 2 * slot, 2 * (count - slot))
    memmove(offsets + 28, offsets, 2 * slot)
    memmove(heads + 24 + 4 * (slot + 1), heads + 4 * slot, 4 * (count - slot))
    memmove(heads + 24, heads, 4 * slot)
    for array in range(2, -1, -1):
        memmove(base + 8 * array * (count + 1) + 8 * (slot + 1), base + 8 * array * count + 8 * slot, 8 * (count - slot))
        memmove(base + 8 * array * (count + 1), base + 8 * array * count, 8 * slot)


cdef void close_slot(uint8_t* page, uint32_t count, uint32_t slot) noexcept nogil:
    """The inverse of `open_slot`; `count` is the number of children before."""
    cdef uint8_t* base = page + TREE_HEADER_SIZE
    cdef uint32_t less = count - 1
    cdef uint32_t rest = less - slot
    cdef uint32_t array
    for array in range(3):
        memmove(base + 8 * array * less, base + 8 * array * count, 8 * slot)
        memmove(base + 8 * array * less + 8 * slot, base + 8 * array * count + 8 * (slot + 1), 8 * rest)
    memmove(base + 24 * less, base + 24 * count, 4 * slot)
    memmove(base + 24 * less + 4 * slot, base + 24 * count + 4 * (slot + 1), 4 * rest)
    memmove(base + 28 * less, base + 28 * count, 2 * slot)
    memmove(base + 28 * less + 2 * slot, base + 28 * count + 2 * (slot + 1), 2 * rest)
    memset(base + BRANCH_SLOT_SIZE * less, 0, BRANCH_SLOT_SIZE)


cdef void branch_insert(
    uint8_t* page, uint32_t size, uint32_t slot, const uint8_t* suffix, uint32_t suffix_size,
    uint64_t child, uint64_t entries, uint64_t pages,
) noexcept nogil:
    """Put a child and its separator before `slot`; the caller made sure that the bytes are free. O(n) moves."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t at = load32(page + TREE_HEAP) - SEPARATOR_HEADER - suffix_size
    cdef uint8_t* base = page + TREE_HEADER_SIZE
    open_slot(page, count, slot)
    count += 1
    store64(base + 8 * slot, child)
    store64(base + 8 * count + 8 * slot, entries)
    store64(base + 16 * count + 8 * slot, pages)
    store32(base + 24 * count + 4 * slot, head_of(suffix, suffix_size) if slot else 0)
    store16(base + 28 * count + 2 * slot, <uint16_t>at)
    store16(page + at, <uint16_t>suffix_size)
    if suffix_size:
        memcpy(page + at + SEPARATOR_HEADER, suffix, suffix_size)
    store16(page + PAGE_COUNT, <uint16_t>count)
    store32(page + TREE_HEAP, at)


cdef void remove_separator(uint8_t* page, uint32_t count, uint32_t slot) noexcept nogil:
    """Close the hole that the separator at `slot` leaves in the heap (I11)."""
    cdef uint8_t* offsets = page + TREE_HEADER_SIZE + 28 * count
    cdef uint32_t heap = load32(page + TREE_HEAP)
    cdef uint32_t at = load16(offsets + 2 * slot)
    cdef uint32_t size = SEPARATOR_HEADER + load16(page + at)
    cdef uint32_t i, other
    memmove(page + heap + size, page + heap, at - heap)
    memset(page + heap, 0, size)
    for i in range(count):
        other = load16(offsets + 2 * i)
        if other < at:
            store16(offsets + 2 * i, <uint16_t>(other + size))
    store32(page + TREE_HEAP, heap + size)


cdef void branch_remove(uint8_t* page, uint32_t size, uint32_t slot) noexcept nogil:
    """Take child `slot` out. Without the first child the second becomes the first and loses its separator. O(n)."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    if slot == 0 and count > 1:
        # Keep the first, empty separator; the second child moves under it.
        store64(page + TREE_HEADER_SIZE, load64(page + TREE_HEADER_SIZE + 8))
        store64(page + TREE_HEADER_SIZE + 8 * count, load64(page + TREE_HEADER_SIZE + 8 * count + 8))
        store64(page + TREE_HEADER_SIZE + 16 * count, load64(page + TREE_HEADER_SIZE + 16 * count + 8))
        slot = 1
    remove_separator(page, count, slot)
    close_slot(page, count, slot)
    store16(page + PAGE_COUNT, <uint16_t>(count - 1))


cdef int lay_out_branch(const uint8_t* page, uint32_t size, uint64_t limit, uint8_t* bitmap) noexcept nogil:
    """0 if an editor can work on the image without stepping out of it: I4 (children below `limit`) and I11; else DAMAGED.

    O(size). `bitmap` as for leaves.
    """
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t prefix = load16(page + PAGE_PREFIX)
    cdef uint32_t heap = load32(page + TREE_HEAP)
    cdef uint32_t arrays = TREE_HEADER_SIZE + BRANCH_SLOT_SIZE * count
    cdef uint32_t at, end, i, tiles = 0
    cdef const uint8_t* offsets = page + TREE_HEADER_SIZE + 28 * count
    cdef uint64_t child, counts = 0
    cdef bint sound = True
    if count == 0 or load16(page + 30) != 0 or load32(page + 36) != 0:
        return DAMAGED
    if page[PAGE_LEVEL] == 0 or page[PAGE_LEVEL] > LEVEL_MAX:
        return DAMAGED
    if heap > size or prefix > size or arrays > heap or heap + prefix > size:
        return DAMAGED
    if not all_zero(page + arrays, heap - arrays):
        return DAMAGED
    end = size - prefix
    memset(bitmap, 0, size // 8)
    at = heap
    while at < end:
        if end - at < SEPARATOR_HEADER:
            return DAMAGED
        bitmap[at >> 3] |= <uint8_t>(1 << (at & 7))
        at += SEPARATOR_HEADER + load16(page + at)
        tiles += 1
    if at != end or tiles != count:
        return DAMAGED
    for i in range(count):
        at = load16(offsets + 2 * i)
        if at >= end or not bitmap[at >> 3] & (1 << (at & 7)):
            return DAMAGED
        bitmap[at >> 3] &= <uint8_t>~(1 << (at & 7))
        child = branch_child(page, i)
        sound &= child >= 3 and child < limit
        sound &= branch_entries(page, count, i) != 0 and branch_pages(page, count, i) != 0
        counts |= branch_entries(page, count, i) | branch_pages(page, count, i)
    return 0 if sound and counts >> 56 == 0 else DAMAGED


cdef int validate_branch(const uint8_t* page, uint32_t size, uint64_t limit, uint8_t* bitmap) noexcept nogil:
    """0 if the image keeps I4 (children below `limit`), I11 and I12, else DAMAGED. O(size). `bitmap` as for leaves."""
    cdef uint32_t count = load16(page + PAGE_COUNT), i
    cdef const uint8_t* heads = page + TREE_HEADER_SIZE + 24 * count
    cdef Separator separator, before
    if lay_out_branch(page, size, limit, bitmap) < 0:
        return DAMAGED
    before.suffix = NULL
    before.suffix_size = 0
    for i in range(count):
        if branch_separator(page, size, i, &separator) < 0:
            return DAMAGED
        if i == 0:
            if separator.suffix_size or load32(heads):
                return DAMAGED
        else:
            if load32(heads + 4 * i) != head_of(separator.suffix, separator.suffix_size):
                return DAMAGED
            if i > 1 and compare_keys(
                before.suffix, before.suffix_size, separator.suffix, separator.suffix_size
            ) >= 0:
                return DAMAGED
            before = separator
    return 0
