"""Find a key, a rank or a position: descents from the root. None of them allocates or touches Python objects."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport LEVEL_MAX, prefetch
from cowtree.pages.branch cimport branch_child, branch_children, branch_find
from cowtree.pages.leaf cimport ABSENT, DAMAGED, FOUND, Entry, entry_count, leaf_entry, leaf_find
from cowtree.tree.view cimport PageView, TreeView, view_page, view_root

cdef struct Path:
    uint64_t pages[LEVEL_MAX + 1]     # by level, the root's last
    uint32_t slots[LEVEL_MAX + 1]


cdef enum:
    LINE = 64                  # bytes that a cache miss brings


cdef inline void prefetch_page(const uint8_t* page, uint32_t size, uint32_t level) noexcept nogil:
    """Ask for what a search touches first: the header, and of a leaf the heads and the prefix. One wait, not three."""
    prefetch(page)
    if level == 0:
        prefetch(page + LINE)
        prefetch(page + 2 * LINE)
        prefetch(page + size - LINE)


cdef inline int tree_find(
    const TreeView* view, const uint8_t* key, uint32_t key_size, PageView* at, uint32_t* slot
) noexcept nogil:
    """Descend to the leaf that would hold `key`: FOUND, ABSENT, or a negative status with `at.number` at fault.

    The tree is not empty. O(log n).
    """
    cdef int status = view_root(view, at)
    cdef uint32_t level = view.level
    cdef uint64_t child
    while status >= 0 and level:
        status = branch_find(at.page, at.size, key, key_size, slot)
        if status < 0:
            break
        level -= 1
        child = branch_child(at.page, slot[0])
        if child < at.limit:
            prefetch_page(view.space.base + (child << view.space.shift), view.space.usable_size, level)
        status = view_page(view, child, level, at.limit, at.dirty, at)
    if status < 0:
        return status
    return leaf_find(at.page, at.size, key, key_size, slot)


cdef int find_path(
    const TreeView* view, const uint8_t* key, uint32_t key_size, Path* path, PageView* at
) noexcept nogil
cdef int end_path(const TreeView* view, bint last, Path* path, PageView* at) noexcept nogil
cdef int nth_path(const TreeView* view, uint64_t index, Path* path, PageView* at) noexcept nogil
cdef int step_leaf(const TreeView* view, bint forward, Path* path, PageView* at) noexcept nogil
cdef int rank_of(
    const TreeView* view, const uint8_t* key, uint32_t key_size, uint64_t* rank, PageView* at
) noexcept nogil
