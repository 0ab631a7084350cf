# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Verify a tree page the first time this process touches it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport KIND_BRANCH, KIND_COMMIT, KIND_LEAF, PAGE_KIND, PAGE_LEVEL, BITMAP_SIZE
from cowtree.pages.branch cimport validate_branch
from cowtree.pages.leaf cimport DAMAGED, validate_leaf
from cowtree.storage.page_file cimport Space, space_check_page, space_set_verified


cdef int admit_page(const Space* space, uint64_t number, uint32_t offset, uint64_t limit) noexcept nogil:
    """Checksum, number, then structure; 0 marks the page as verified. O(page size), once per page and process.

    `offset` is that of an embedded root, whose children lie below `limit` rather than below the page.
    """
    cdef uint8_t bitmap[BITMAP_SIZE]
    cdef int status = space_check_page(space, number)
    if status < 0:
        return status
    cdef const uint8_t* page = space.base + (number << space.shift)
    cdef uint32_t size = space.usable_size - offset
    if offset:
        if page[PAGE_KIND] != KIND_COMMIT:
            return DAMAGED
        page += offset
    if page[PAGE_KIND] == KIND_LEAF:
        if page[PAGE_LEVEL]:
            return DAMAGED
        status = validate_leaf(page, size, limit, bitmap)
    elif page[PAGE_KIND] == KIND_BRANCH:
        status = validate_branch(page, size, limit, bitmap)
    else:
        return DAMAGED
    if status < 0:
        return status
    space_set_verified(space, number)
    return 0
