# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Build leaf and branch images from sorted items (FORMAT §4)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memmove, memset

from cowtree.layout cimport (
    BRANCH_SLOT_SIZE, KIND_BRANCH, KIND_LEAF, LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, PAGE_COUNT, PAGE_KIND, PAGE_LEVEL,
    PAGE_PREFIX, SEPARATOR_HEADER, TREE_HEADER_SIZE, TREE_HEAP, store16, store32, store64,
)
from cowtree.pages.branch cimport Separator, branch_child, branch_entries, branch_pages, branch_separator
from cowtree.pages.keys cimport head_of
from cowtree.pages.leaf cimport Entry, entry_count, leaf_entry, prefix_size


cdef uint32_t common_prefix(const Item* a, const Item* b) noexcept nogil:
    """Bytes that both keys begin with."""
    cdef uint32_t least = item_key_size(a), other = item_key_size(b), i = 0
    if other < least:
        least = other
    if a.lead == b.lead and a.lead_size == b.lead_size:
        i = a.lead_size
    while i < least and item_byte(a, i) == item_byte(b, i):
        i += 1
    return i


cdef void copy_key(const Item* item, uint32_t start, uint32_t stop, uint8_t* into) noexcept nogil:
    """Copy key bytes [start, stop)."""
    cdef uint32_t cut
    if start < item.lead_size and start < stop:
        cut = stop if stop < item.lead_size else item.lead_size
        memcpy(into, item.lead + start, cut - start)
        into += cut - start
        start = cut
    if start < stop:
        memcpy(into, item.rest + (start - item.lead_size), stop - start)


cdef void gather_leaf(ItemList* list, const uint8_t* page, uint32_t size) noexcept nogil:
    """Append the entries of a leaf image. O(n)."""
    cdef uint32_t i
    cdef Entry entry
    cdef Item* item
    for i in range(entry_count(page)):
        leaf_entry(page, size, i, &entry)
        item = &list.items[list.count]
        item.lead_size = prefix_size(page)
        item.lead = page + size - item.lead_size
        item.rest = entry.suffix
        item.rest_size = entry.suffix_size
        item.value = entry.value
        item.value_size = entry.value_size
        item.kind = entry.kind
        list.count += 1


cdef void gather_branch(
    ItemList* list, const uint8_t* page, uint32_t size, const uint8_t* first_key, uint32_t first_key_size
) noexcept nogil:
    """Append the children of a branch image; the first, which has no separator of its own, gets `first_key`. O(n)."""
    cdef uint32_t i, count = entry_count(page)
    cdef Separator separator
    cdef Item* item
    for i in range(count):
        branch_separator(page, size, i, &separator)
        item = &list.items[list.count]
        item.lead_size = prefix_size(page)
        item.lead = page + size - item.lead_size
        item.rest = separator.suffix
        item.rest_size = separator.suffix_size
        if i == 0:
            item.lead = NULL
            item.lead_size = 0
            item.rest = first_key
            item.rest_size = first_key_size
        item.child = branch_child(page, i)
        item.entries = branch_entries(page, count, i)
        item.pages = branch_pages(page, count, i)
        list.count += 1


cdef Item* insert_item(ItemList* list, uint32_t position) noexcept nogil:
    """Open a place for one item before `position`."""
    memmove(&list.items[position + 1], &list.items[position], (list.count - position) * sizeof(Item))
    list.count += 1
    return &list.items[position]


cdef uint32_t leaf_prefix(const ItemList* list, uint32_t start, uint32_t stop) noexcept nogil:
    """What the page's keys have in common; for one key alone, what it has with its neighbour in the list.

    Such a page is the beginning of a sorted run: a prefix of the whole key would be cut down, and the page be built
    anew, with each of the next few keys.
    """
    if stop - start == 1 and list.count > 1:
        return common_prefix(&list.items[start], &list.items[start - 1 if start else 1])
    return common_prefix(&list.items[start], &list.items[stop - 1])


cdef uint32_t branch_prefix(const ItemList* list, uint32_t start, uint32_t stop) noexcept nogil:
    return common_prefix(&list.items[start + 1], &list.items[stop - 1]) if stop - start > 1 else 0


cdef uint32_t leaf_size(const ItemList* list, uint32_t start, uint32_t stop) noexcept nogil:
    """Bytes that a leaf of items [start, stop) takes, header included. O(n)."""
    cdef uint32_t prefix = leaf_prefix(list, start, stop)
    cdef uint32_t total = TREE_HEADER_SIZE + prefix
    cdef uint32_t i
    for i in range(start, stop):
        total += LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER + item_key_size(&list.items[i]) - prefix + list.items[i].value_size
    return total


cdef uint32_t branch_size(const ItemList* list, uint32_t start, uint32_t stop) noexcept nogil:
    """Bytes that a branch of items [start, stop) takes, header included. O(n)."""
    cdef uint32_t prefix = branch_prefix(list, start, stop)
    cdef uint32_t total = TREE_HEADER_SIZE + prefix + BRANCH_SLOT_SIZE + SEPARATOR_HEADER
    cdef uint32_t i
    for i in range(start + 1, stop):
        total += BRANCH_SLOT_SIZE + SEPARATOR_HEADER + item_key_size(&list.items[i]) - prefix
    return total


cdef void build_leaf(
    uint8_t* page, uint32_t size, const ItemList* list, uint32_t start, uint32_t stop
) noexcept nogil:
    """Write a leaf image of items [start, stop); number, birth and checksum are left zero. O(size)."""
    cdef uint32_t prefix = leaf_prefix(list, start, stop)
    cdef uint32_t count = stop - start
    cdef uint32_t heap = size - prefix
    cdef uint32_t i, suffix, at
    cdef uint8_t* heads = page + TREE_HEADER_SIZE
    cdef uint8_t* offsets = heads + 4 * count
    cdef const Item* item
    memset(page, 0, TREE_HEADER_SIZE)
    page[PAGE_KIND] = KIND_LEAF
    copy_key(&list.items[start], 0, prefix, page + heap)
    for i in range(count):
        item = &list.items[start + i]
        suffix = item_key_size(item) - prefix
        heap -= LEAF_ENTRY_HEADER + suffix + item.value_size
        at = heap
        page[at] = <uint8_t>item.kind
        store16(page + at + 1, <uint16_t>suffix)
        store16(page + at + 3, <uint16_t>item.value_size)
        at += LEAF_ENTRY_HEADER
        copy_key(item, prefix, prefix + suffix, page + at)
        store32(heads + 4 * i, head_of(page + at, suffix))
        store16(offsets + 2 * i, <uint16_t>heap)
        if item.value_size:
            memcpy(page + at + suffix, item.value, item.value_size)
    memset(offsets + 2 * count, 0, page + heap - (offsets + 2 * count))
    store16(page + PAGE_COUNT, <uint16_t>count)
    store16(page + PAGE_PREFIX, <uint16_t>prefix)
    store32(page + TREE_HEAP, heap)


cdef void build_branch(
    uint8_t* page, uint32_t size, uint32_t level, const ItemList* list, uint32_t start, uint32_t stop
) noexcept nogil:
    """Write a branch image of items [start, stop); the first item's key is dropped. O(size)."""
    cdef uint32_t prefix = branch_prefix(list, start, stop)
    cdef uint32_t count = stop - start
    cdef uint32_t heap = size - prefix
    cdef uint32_t i, suffix
    cdef uint8_t* base = page + TREE_HEADER_SIZE
    cdef const Item* item
    memset(page, 0, TREE_HEADER_SIZE)
    page[PAGE_KIND] = KIND_BRANCH
    page[PAGE_LEVEL] = <uint8_t>level
    if prefix:
        copy_key(&list.items[start + 1], 0, prefix, page + heap)
    for i in range(count):
        item = &list.items[start + i]
        suffix = item_key_size(item) - prefix if i else 0
        heap -= SEPARATOR_HEADER + suffix
        store16(page + heap, <uint16_t>suffix)
        if i:
            copy_key(item, prefix, prefix + suffix, page + heap + SEPARATOR_HEADER)
        store64(base + 8 * i, item.child)
        store64(base + 8 * count + 8 * i, item.entries)
        store64(base + 16 * count + 8 * i, item.pages)
        store32(base + 24 * count + 4 * i, head_of(page + heap + SEPARATOR_HEADER, suffix) if i else 0)
        store16(base + 28 * count + 2 * i, <uint16_t>heap)
    memset(base + BRANCH_SLOT_SIZE * count, 0, heap - TREE_HEADER_SIZE - BRANCH_SLOT_SIZE * count)
    store16(page + PAGE_COUNT, <uint16_t>count)
    store16(page + PAGE_PREFIX, <uint16_t>prefix)
    store32(page + TREE_HEAP, heap)


cdef bint split_fits(
    const ItemList* list, uint32_t capacity, bint leaf, uint32_t split
) noexcept nogil:
    if leaf:
        return leaf_size(list, 0, split) <= capacity and leaf_size(list, split, list.count) <= capacity
    return branch_size(list, 0, split) <= capacity and branch_size(list, split, list.count) <= capacity


cdef uint32_t choose_split(
    const ItemList* list, uint32_t capacity, bint leaf, uint32_t least, uint32_t preferred
) noexcept nogil:
    """Where to cut the items so that both images fit and each has `least` items: the first of the right one.

    `preferred` (0: none) is taken if it fits; else the cut nearest to equal halves. A cut that fits always exists: an
    entry takes at most half a page (a branch's at most a quarter), and a key that shortens the prefix stands at an
    end, where the cut beside it leaves the others as they were. O(n) mostly.
    """
    cdef uint32_t i, middle, distance, half = 0, total = 0
    if preferred >= least and preferred + least <= list.count and split_fits(list, capacity, leaf, preferred):
        return preferred
    for i in range(list.count):
        total += item_key_size(&list.items[i]) + list.items[i].value_size + 11
    middle = list.count // 2
    for i in range(list.count):
        half += item_key_size(&list.items[i]) + list.items[i].value_size + 11
        if 2 * half >= total:
            middle = i + 1
            break
    for distance in range(list.count):
        if middle >= distance and middle - distance >= least and middle - distance + least <= list.count:
            if split_fits(list, capacity, leaf, middle - distance):
                return middle - distance
        if distance and middle + distance >= least and middle + distance + least <= list.count:
            if split_fits(list, capacity, leaf, middle + distance):
                return middle + distance
    return 0
