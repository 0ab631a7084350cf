"""A tree as a reader sees it: a root over a space of pages, and the one way to step from page to page.

Every step checks that the number lies below the parent's (I4), that the page was verified once by this process, and
that its kind and level are the expected ones: bytes can change beneath a mapping. References with the DIRTY mark point
into private memory; they are followed only from pages that are themselves private.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport (
    FIRST_RECORD_PAGE, KIND_BRANCH, KIND_LEAF, PAGE_KIND, PAGE_LEVEL,
)
from cowtree.pages.leaf cimport DAMAGED
from cowtree.storage.page_file cimport Space, space_is_verified

cdef extern from *:
    """
    #define COWTREE_DIRTY ((uint64_t)1 << 63)
    """
    const uint64_t DIRTY "COWTREE_DIRTY"

cdef struct TreeView:
    const Space* space
    uint64_t root          # page number, or DIRTY | address; 0: empty
    uint64_t entries
    uint64_t limit         # every page number in the tree is below this
    uint32_t level         # of the root
    uint32_t offset        # of an embedded root in page `root`, else 0

cdef struct PageView:
    const uint8_t* page
    uint64_t number        # as referred to, for messages and paths
    uint64_t limit         # children are below this
    uint32_t size
    bint dirty


cdef int admit_page(const Space* space, uint64_t number, uint32_t offset, uint64_t limit) noexcept nogil


cdef inline const uint8_t* dirty_page(uint64_t reference) noexcept nogil:
    return <const uint8_t*><size_t>(reference & ~DIRTY)


cdef inline int view_page(
    const TreeView* view, uint64_t number, uint32_t level, uint64_t limit, bint trusted, PageView* at
) noexcept nogil:
    """Step onto page `number`; 0 or a negative status. `trusted`: the reference came from private memory."""
    at.number = number
    at.size = view.space.usable_size
    if number & DIRTY:
        if not trusted:
            return DAMAGED
        at.page = dirty_page(number)
        at.limit = view.limit
        at.dirty = True
        return 0
    if number >= limit or number <= FIRST_RECORD_PAGE:
        return DAMAGED
    cdef int status
    if not space_is_verified(view.space, number):
        status = admit_page(view.space, number, 0, number)
        if status < 0:
            return status
    at.page = view.space.base + (number << view.space.shift)
    if at.page[PAGE_LEVEL] != level or at.page[PAGE_KIND] != (KIND_BRANCH if level else KIND_LEAF):
        return DAMAGED
    at.limit = number
    at.dirty = False
    return 0


cdef inline int view_root(const TreeView* view, PageView* at) noexcept nogil:
    """Step onto the root of a tree that is not empty."""
    cdef int status
    if not view.offset:
        return view_page(view, view.root, view.level, view.limit, True, at)
    at.number = view.root
    if not space_is_verified(view.space, view.root):
        status = admit_page(view.space, view.root, view.offset, view.limit)
        if status < 0:
            return status
    at.page = view.space.base + (view.root << view.space.shift) + view.offset
    at.size = view.space.usable_size - view.offset
    if at.page[PAGE_LEVEL] != view.level or at.page[PAGE_KIND] != (KIND_BRANCH if view.level else KIND_LEAF):
        return DAMAGED
    at.limit = view.limit
    at.dirty = False
    return 0
