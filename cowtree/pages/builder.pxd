"""Gather entries of one or two images as items, and build images from a range of them.

An item's key is two pieces, so that a page's prefix is never copied out per entry. Items borrow from the images they
were gathered from (or from the caller's key and value): these stay untouched until the last build.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef struct Item:
    const uint8_t* lead        # the source page's prefix, or NULL
    const uint8_t* rest
    const uint8_t* value       # leaf only
    uint64_t child             # branch only, with the two counts
    uint64_t entries
    uint64_t pages
    uint32_t lead_size
    uint32_t rest_size
    uint32_t value_size
    uint32_t kind

cdef struct ItemList:
    Item* items
    uint32_t count
    uint32_t capacity


cdef inline uint32_t item_key_size(const Item* item) noexcept nogil:
    return item.lead_size + item.rest_size


cdef inline uint8_t item_byte(const Item* item, uint32_t i) noexcept nogil:
    return item.lead[i] if i < item.lead_size else item.rest[i - item.lead_size]


cdef inline void fill_item(
    Item* item, const uint8_t* key, uint32_t key_size, uint32_t kind, const uint8_t* value, uint32_t value_size
) noexcept nogil:
    """An entry whose key is in one piece; borrows both."""
    item.lead = NULL
    item.lead_size = 0
    item.rest = key
    item.rest_size = key_size
    item.kind = kind
    item.value = value
    item.value_size = value_size


cdef uint32_t common_prefix(const Item* a, const Item* b) noexcept nogil
cdef void copy_key(const Item* item, uint32_t start, uint32_t stop, uint8_t* into) noexcept nogil
cdef void gather_leaf(ItemList* list, const uint8_t* page, uint32_t size) noexcept nogil
cdef void gather_branch(
    ItemList* list, const uint8_t* page, uint32_t size, const uint8_t* first_key, uint32_t first_key_size
) noexcept nogil
cdef Item* insert_item(ItemList* list, uint32_t position) noexcept nogil
cdef uint32_t leaf_size(const ItemList* list, uint32_t start, uint32_t stop) noexcept nogil
cdef uint32_t branch_size(const ItemList* list, uint32_t start, uint32_t stop) noexcept nogil
cdef void build_leaf(
    uint8_t* page, uint32_t size, const ItemList* list, uint32_t start, uint32_t stop
) noexcept nogil
cdef void build_branch(
    uint8_t* page, uint32_t size, uint32_t level, const ItemList* list, uint32_t start, uint32_t stop
) noexcept nogil
cdef uint32_t choose_split(
    const ItemList* list, uint32_t capacity, bint leaf, uint32_t least, uint32_t preferred
) noexcept nogil
