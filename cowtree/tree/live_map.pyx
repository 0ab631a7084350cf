# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Marks what is needed. See `live_map.pxd`.

Only branches are read, and leaves that have large values: a branch counts the pages below each child, and a leaf that
counts as one has none.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cowtree.layout cimport (
    ENTRY_KIND_MASK, ENTRY_RUN, FIRST_RECORD_PAGE, RUN_REFERENCE_SIZE, load64, run_page_count,
)
from cowtree.pages.branch cimport branch_child, branch_children, branch_pages
from cowtree.pages.leaf cimport DAMAGED, Entry, entry_count, leaf_entry
from cowtree.storage.fault_guard cimport guarded
from cowtree.tree.cursor cimport raise_status
from cowtree.tree.view cimport PageView, TreeView, view_page, view_root

from cowtree.errors import CorruptionError

cdef struct Marking:
    const TreeView* view
    uint64_t* live
    uint64_t* catalogue        # NULL: not a catalogue
    uint64_t settled
    uint64_t failed
    bint* stopping


class ForgottenError(Exception):
    """A commit that came meanwhile needs pages which were not copied: begin again."""


class StoppedError(Exception):
    """Another thread asked to stop."""


cdef int mark_root(void* argument) noexcept nogil:
    cdef Marking* marking = <Marking*>argument
    cdef const TreeView* view = marking.view
    cdef PageView at
    cdef int status
    if not view.offset:
        return mark_page(marking, view.root, view.level, view.limit)
    marking.failed = view.root
    status = view_root(view, &at)
    return status if status < 0 else mark_below(marking, &at, view.level)


cdef int mark_page(Marking* marking, uint64_t number, uint32_t level, uint64_t limit) noexcept nogil:
    cdef PageView at
    cdef int status
    marking.failed = number
    if number >= limit or number <= FIRST_RECORD_PAGE:
        return DAMAGED
    if marking.live[number >> 6] >> (number & 63) & 1:
        return 0
    if number < marking.settled:
        return FORGOTTEN
    if marking.stopping[0]:
        return STOPPED
    status = view_page(marking.view, number, level, limit, True, &at)
    if status < 0:
        return status
    status = mark_below(marking, &at, level)
    if status < 0:
        return status
    # Last, so that what is below a marked page is marked.
    marking.live[number >> 6] |= <uint64_t>1 << (number & 63)
    if level == 0 and marking.catalogue != NULL:
        marking.catalogue[number >> 6] |= <uint64_t>1 << (number & 63)
    return 0


cdef int mark_below(Marking* marking, PageView* at, uint32_t level) noexcept nogil:
    """What a page refers to."""
    cdef uint32_t slot, count
    cdef uint64_t child
    cdef int status
    if level == 0:
        return mark_runs(marking, at)
    count = branch_children(at.page, at.size)
    if count == 0:
        return DAMAGED
    for slot in range(count):
        child = branch_child(at.page, slot)
        if level > 1 or marking.catalogue != NULL or branch_pages(at.page, count, slot) != 1:
            status = mark_page(marking, child, level - 1, at.limit)
        else:
            status = mark_range(marking, child, 1, at.limit)
        if status < 0:
            return status
    return 0


cdef int mark_runs(Marking* marking, PageView* at) noexcept nogil:
    cdef uint32_t slot
    cdef Entry entry
    cdef int status
    for slot in range(entry_count(at.page)):
        if leaf_entry(at.page, at.size, slot, &entry) < 0:
            return DAMAGED
        if entry.kind & ENTRY_KIND_MASK != ENTRY_RUN:
            continue
        if entry.value_size != RUN_REFERENCE_SIZE or load64(entry.value + 16) >> 50:
            return DAMAGED
        status = mark_range(
            marking, load64(entry.value), run_page_count(load64(entry.value + 16), marking.view.space.page_size),
            at.limit,
        )
        if status < 0:
            return status
    return 0


cdef int mark_range(Marking* marking, uint64_t number, uint64_t count, uint64_t limit) noexcept nogil:
    """Pages that need not be read."""
    marking.failed = number
    if number <= FIRST_RECORD_PAGE or number >= limit or count > limit - number:
        return DAMAGED
    while count:
        if number < marking.settled and not marking.live[number >> 6] >> (number & 63) & 1:
            return FORGOTTEN
        marking.live[number >> 6] |= <uint64_t>1 << (number & 63)
        number += 1
        count -= 1
    return 0


cdef class LiveMap:
    """See `live_map.pxd`."""

    def __dealloc__(self):
        free(self.live)
        free(self.catalogue)
        free(self.ranks)

    cdef int reserve(self, uint64_t pages) except -1:
        cdef uint64_t capacity = (pages + pages // 4 + 1024) >> 9 << 9
        cdef uint64_t* live
        cdef uint64_t* catalogue
        cdef uint64_t* ranks
        if pages + 1 < self.capacity:
            return 0
        live = <uint64_t*>calloc(capacity >> 6, 8)
        catalogue = <uint64_t*>calloc(capacity >> 6, 8)
        ranks = <uint64_t*>calloc((capacity >> 9) + 1, 8)
        if live == NULL or catalogue == NULL or ranks == NULL:
            free(live)
            free(catalogue)
            free(ranks)
            raise MemoryError
        if self.capacity:
            memcpy(live, self.live, self.capacity >> 3)
            memcpy(catalogue, self.catalogue, self.capacity >> 3)
            memcpy(ranks, self.ranks, ((self.capacity >> 9) + 1) * 8)
        free(self.live)
        free(self.catalogue)
        free(self.ranks)
        self.live, self.catalogue, self.ranks = live, catalogue, ranks
        self.capacity = capacity
        return 0

    cdef void add(self, uint64_t number) noexcept nogil:
        self.live[number >> 6] = self.live[number >> 6] | (<uint64_t>1 << (number & 63))

    cdef int add_tree(self, TreeView* view, bint is_catalogue, object path) except -1:
        cdef Marking marking
        cdef int status
        if view.root == 0:
            return 0
        if view.limit > self.capacity:
            raise CorruptionError("a commit reaches beyond the file", path=path)
        marking.view = view
        marking.live = self.live
        marking.catalogue = self.catalogue if is_catalogue else NULL
        marking.settled = self.settled
        marking.failed = view.root
        marking.stopping = &self.stopping
        with nogil:
            status = guarded(
                mark_root, &marking, view.space.base, view.space.base + (view.space.page_limit << view.space.shift)
            )
        if status == FORGOTTEN:
            raise ForgottenError
        if status == STOPPED:
            raise StoppedError
        if status < 0:
            raise_status(path, marking.failed, status)
        return 0

    cdef void settle(self, uint64_t end) noexcept nogil:
        cdef uint64_t group = self.settled >> 9, word
        cdef uint64_t rank = self.ranks[group]
        while group < (end + 511) >> 9:
            self.ranks[group] = rank
            for word in range(group << 3, (group + 1) << 3):
                rank += popcount(self.live[word])
            group += 1
        self.ranks[group] = rank
        self.count = rank
        self.settled = end

    cdef uint64_t count_all(self) noexcept nogil:
        cdef uint64_t word, count = 0
        for word in range(self.capacity >> 6):
            count += popcount(self.live[word])
        return count

    cdef uint64_t next_live(self, uint64_t number, uint64_t limit) noexcept nogil:
        cdef uint64_t word
        while number < limit:
            word = self.live[number >> 6] >> (number & 63)
            if word & 1:
                return number
            if word == 0:
                number = (number | 63) + 1
            else:
                number += 1
        return limit
