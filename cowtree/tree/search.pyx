# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Descents that keep their path, count, or move from leaf to leaf. See `search.pxd`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.pages.branch cimport branch_child, branch_children, branch_entries, branch_find
from cowtree.pages.leaf cimport ABSENT, DAMAGED, FOUND, entry_count, leaf_find
from cowtree.tree.view cimport DIRTY, PageView, TreeView, dirty_page, view_page, view_root


cdef int find_path(
    const TreeView* view, const uint8_t* key, uint32_t key_size, Path* path, PageView* at
) noexcept nogil:
    """`tree_find` that records page and slot of every level. O(log n)."""
    cdef int status = view_root(view, at)
    cdef uint32_t level = view.level
    cdef uint32_t slot = 0
    cdef uint64_t child
    while status >= 0:
        path.pages[level] = at.number
        if level == 0:
            status = leaf_find(at.page, at.size, key, key_size, &slot)
            path.slots[0] = slot
            return status
        status = branch_find(at.page, at.size, key, key_size, &slot)
        if status < 0:
            break
        path.slots[level] = slot
        level -= 1
        child = branch_child(at.page, slot)
        if child < at.limit:
            prefetch_page(view.space.base + (child << view.space.shift), view.space.usable_size, level)
        elif child & DIRTY and at.dirty:
            prefetch_page(dirty_page(child), view.space.usable_size, level)
        status = view_page(view, child, level, at.limit, at.dirty, at)
    return status


cdef int descend_edge(
    const TreeView* view, uint32_t level, bint last, Path* path, PageView* at
) noexcept nogil:
    """From the page at `level`, go down along the first or last children."""
    cdef int status
    cdef uint32_t count, slot
    while True:
        path.pages[level] = at.number
        if level == 0:
            count = entry_count(at.page)
            if count == 0:
                return DAMAGED
            path.slots[0] = count - 1 if last else 0
            return 0
        count = branch_children(at.page, at.size)
        if count == 0:
            return DAMAGED
        slot = count - 1 if last else 0
        path.slots[level] = slot
        level -= 1
        status = view_page(view, branch_child(at.page, slot), level, at.limit, at.dirty, at)
        if status < 0:
            return status


cdef int end_path(const TreeView* view, bint last, Path* path, PageView* at) noexcept nogil:
    """The path to the first or last entry of a tree that is not empty. O(log n)."""
    cdef int status = view_root(view, at)
    if status < 0:
        return status
    return descend_edge(view, view.level, last, path, at)


cdef int nth_path(const TreeView* view, uint64_t index, Path* path, PageView* at) noexcept nogil:
    """The path to entry `index` (< view.entries) in key order. O(log n) pages."""
    cdef int status = view_root(view, at)
    cdef uint32_t level = view.level
    cdef uint32_t count, slot
    cdef uint64_t below
    while status >= 0:
        path.pages[level] = at.number
        if level == 0:
            if index >= entry_count(at.page):
                return DAMAGED
            path.slots[0] = <uint32_t>index
            return 0
        count = branch_children(at.page, at.size)
        slot = 0
        while slot < count:
            below = branch_entries(at.page, count, slot)
            if index < below:
                break
            index -= below
            slot += 1
        if slot == count:
            return DAMAGED
        path.slots[level] = slot
        level -= 1
        status = view_page(view, branch_child(at.page, slot), level, at.limit, at.dirty, at)
    return status


cdef int step_leaf(const TreeView* view, bint forward, Path* path, PageView* at) noexcept nogil:
    """Move the path to the next or previous leaf's first or last entry: FOUND, or ABSENT at the end.

    O(1) pages on average. The pages of the path are those of the same, unchanged tree.
    """
    cdef uint32_t level = 1
    cdef uint32_t slot, count
    cdef int status
    while level <= view.level:
        if level == view.level:
            status = view_root(view, at)
        else:
            status = view_page(view, path.pages[level], level, view.limit, True, at)
        if status < 0:
            return status
        count = branch_children(at.page, at.size)
        slot = path.slots[level]
        if slot >= count:
            return DAMAGED
        if (slot + 1 < count) if forward else (slot > 0):
            slot = slot + 1 if forward else slot - 1
            path.slots[level] = slot
            level -= 1
            status = view_page(view, branch_child(at.page, slot), level, at.limit, at.dirty, at)
            if status < 0:
                return status
            status = descend_edge(view, level, not forward, path, at)
            return status if status < 0 else FOUND
        level += 1
    return ABSENT


cdef int rank_of(
    const TreeView* view, const uint8_t* key, uint32_t key_size, uint64_t* rank, PageView* at
) noexcept nogil:
    """Number of entries below `key`; FOUND or ABSENT as the key itself is there. O(log n) pages."""
    cdef int status = view_root(view, at)
    cdef uint32_t level = view.level
    cdef uint32_t slot = 0, count, i
    rank[0] = 0
    while status >= 0:
        if level == 0:
            status = leaf_find(at.page, at.size, key, key_size, &slot)
            rank[0] += slot
            return status
        status = branch_find(at.page, at.size, key, key_size, &slot)
        if status < 0:
            break
        count = branch_children(at.page, at.size)
        if slot >= count:
            return DAMAGED
        for i in range(slot):
            rank[0] += branch_entries(at.page, count, i)
        level -= 1
        status = view_page(view, branch_child(at.page, slot), level, at.limit, at.dirty, at)
    return status
