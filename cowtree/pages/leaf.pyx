# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Edit and validate leaf images (FORMAT §4.1)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from cowtree.layout cimport (
    ENTRY_INLINE, ENTRY_RUN, LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, PAGE_COUNT, PAGE_PREFIX, RUN_HEADER_SIZE,
    RUN_REFERENCE_SIZE, TREE_HEADER_SIZE, TREE_HEAP, all_zero, load16, load32, load64, store16, store32,
)
from cowtree.pages.keys cimport compare_keys, head_of


cdef void leaf_insert(
    uint8_t* page, uint32_t size, uint32_t slot, const uint8_t* suffix, uint32_t suffix_size,
    uint32_t kind, const uint8_t* value, uint32_t value_size,
) noexcept nogil:
    """Put an entry before `slot`; the caller made sure that its bytes and 6 for the slot are free. O(n) moves."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t entry_size = LEAF_ENTRY_HEADER + suffix_size + value_size
    cdef uint32_t at = load32(page + TREE_HEAP) - entry_size
    cdef uint8_t* heads = page + TREE_HEADER_SIZE
    cdef uint8_t* offsets = heads + 4 * count
    # Offsets move up by one head and, from the slot on, by one offset more: back to front.
    memmove(offsets + 4 + 2 * (slot + 1), offsets + 2 * slot, 2 * (count - slot))
    memmove(offsets + 4, offsets, 2 * slot)
    memmove(heads + 4 * (slot + 1), heads + 4 * slot, 4 * (count - slot))
    store32(heads + 4 * slot, head_of(suffix, suffix_size))
    store16(offsets + 4 + 2 * slot, <uint16_t>at)
    page[at] = <uint8_t>kind
    store16(page + at + 1, <uint16_t>suffix_size)
    store16(page + at + 3, <uint16_t>value_size)
    if suffix_size:
        memcpy(page + at + LEAF_ENTRY_HEADER, suffix, suffix_size)
    if value_size:
        memcpy(page + at + LEAF_ENTRY_HEADER + suffix_size, value, value_size)
    store16(page + PAGE_COUNT, <uint16_t>(count + 1))
    store32(page + TREE_HEAP, at)


cdef void leaf_remove(uint8_t* page, uint32_t size, uint32_t slot) noexcept nogil:
    """Take the entry at `slot` out and close the hole in the heap (I11). O(n)."""
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint8_t* heads = page + TREE_HEADER_SIZE
    cdef uint8_t* offsets = heads + 4 * count
    cdef uint32_t heap = load32(page + TREE_HEAP)
    cdef uint32_t at = load16(offsets + 2 * slot)
    cdef uint32_t entry_size = LEAF_ENTRY_HEADER + load16(page + at + 1) + load16(page + at + 3)
    cdef uint32_t i, other
    memmove(page + heap + entry_size, page + heap, at - heap)
    memset(page + heap, 0, entry_size)
    memmove(heads + 4 * slot, heads + 4 * (slot + 1), 4 * (count - slot - 1))
    memmove(offsets - 4, offsets, 2 * slot)
    memmove(offsets - 4 + 2 * slot, offsets + 2 * (slot + 1), 2 * (count - slot - 1))
    count -= 1
    memset(page + TREE_HEADER_SIZE + LEAF_SLOT_SIZE * count, 0, LEAF_SLOT_SIZE)
    offsets = heads + 4 * count
    for i in range(count):
        other = load16(offsets + 2 * i)
        if other < at:
            store16(offsets + 2 * i, <uint16_t>(other + entry_size))
    store16(page + PAGE_COUNT, <uint16_t>count)
    store32(page + TREE_HEAP, heap + entry_size)


cdef int lay_out_leaf(const uint8_t* page, uint32_t size, uint64_t limit, uint8_t* bitmap) noexcept nogil:
    """0 if an editor can work on the image without stepping out of it: I4 (below `limit`) and I11; else DAMAGED. O(size).

    `bitmap` is scratch of `size / 8` bytes. The heap is walked as a tiling, marking where entries begin; then each slot
    must take one mark: so entries neither overlap nor hide.
    """
    cdef uint32_t count = load16(page + PAGE_COUNT)
    cdef uint32_t prefix = load16(page + PAGE_PREFIX)
    cdef uint32_t heap = load32(page + TREE_HEAP)
    cdef uint32_t arrays = TREE_HEADER_SIZE + LEAF_SLOT_SIZE * count
    cdef uint32_t at, end, i, tiles = 0
    cdef const uint8_t* offsets = page + TREE_HEADER_SIZE + 4 * count
    cdef Entry entry
    if count == 0 or load16(page + 30) != 0 or load32(page + 36) != 0:
        return DAMAGED
    if heap > size or prefix > size or arrays > heap or heap + prefix > size:
        return DAMAGED
    if not all_zero(page + arrays, heap - arrays):
        return DAMAGED
    end = size - prefix
    memset(bitmap, 0, size // 8)
    at = heap
    while at < end:
        if end - at < LEAF_ENTRY_HEADER:
            return DAMAGED
        bitmap[at >> 3] |= <uint8_t>(1 << (at & 7))
        at += LEAF_ENTRY_HEADER + load16(page + at + 1) + load16(page + at + 3)
        tiles += 1
    if at != end or tiles != count:
        return DAMAGED
    for i in range(count):
        at = load16(offsets + 2 * i)
        if at >= end or not bitmap[at >> 3] & (1 << (at & 7)):
            return DAMAGED
        bitmap[at >> 3] &= <uint8_t>~(1 << (at & 7))
        if page[at] == ENTRY_INLINE:
            continue
        if leaf_entry(page, size, i, &entry) < 0:
            return DAMAGED
        if entry.kind != ENTRY_RUN or entry.value_size != RUN_REFERENCE_SIZE:
            return DAMAGED
        if load64(entry.value) >= limit or load64(entry.value) < 3:
            return DAMAGED
        if load32(entry.value + 8) != RUN_HEADER_SIZE or load32(entry.value + 12) != 0:
            return DAMAGED
    return 0


cdef int validate_leaf(const uint8_t* page, uint32_t size, uint64_t limit, uint8_t* bitmap) noexcept nogil:
    """0 if the image keeps I4 (below `limit`), I11 and I12, else DAMAGED. O(size). `bitmap` as above."""
    cdef uint32_t count = load16(page + PAGE_COUNT), i
    cdef const uint8_t* heads = page + TREE_HEADER_SIZE
    cdef Entry entry, before
    if lay_out_leaf(page, size, limit, bitmap) < 0:
        return DAMAGED
    before.suffix = NULL
    before.suffix_size = 0
    for i in range(count):
        if leaf_entry(page, size, i, &entry) < 0:
            return DAMAGED
        if load32(heads + 4 * i) != head_of(entry.suffix, entry.suffix_size):
            return DAMAGED
        if i and compare_keys(before.suffix, before.suffix_size, entry.suffix, entry.suffix_size) >= 0:
            return DAMAGED
        before = entry
    return 0
