"""Two states of a tree, compared from page to page: what they share is skipped unread.

    old  [ref]  ── both at the start of one page? skip it on both sides
    new  [ref]  ── else open the higher of the two; two different leaves are merged entry by entry

A page is at most once in a tree and never changes (I1, I2), so equal page numbers of one file mean equal entries, at
whatever depth they stand. The order of steps keeps both sides at the same place in key order, except inside leaves
that do not begin or end together. Cost: the pages that only one side has, and their parents.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport LEVEL_MAX
from cowtree.pages.leaf cimport Entry
from cowtree.tree.cursor cimport TreeSource
from cowtree.tree.view cimport TreeView


cdef class DiffSide:
    """One of the two trees: a reference not opened yet, or a private copy of a leaf and a slot in it."""

    cdef TreeSource source
    cdef object pinned
    cdef TreeView view
    cdef uint64_t pages[LEVEL_MAX + 1]     # by level: opened branches above `level`, the reference at `level`
    cdef uint32_t slots[LEVEL_MAX + 1]     # of the opened branches
    cdef uint32_t level
    cdef bint ended
    cdef bint loaded                       # the reference is a leaf and lies in `leaf`
    cdef bint fresh                        # nothing of the leaf was passed yet
    cdef bint trusted                      # the leaf is a private page of a transaction
    cdef uint8_t* leaf
    cdef uint32_t capacity
    cdef uint32_t size
    cdef uint32_t count
    cdef uint32_t slot
    cdef Entry entry                       # at `slot`, while loaded
    cdef uint64_t steps                    # so far; a sound tree has each page once
    cdef bytes edge                        # the last key of the leaf before

    cdef int begin(self, bytes key, bint beyond) except -1
    cdef int seek(self, bytes key, bint beyond) except -1
    cdef int run(self, int how, bytes key) except -1
    cdef int open_branch(self) except -1
    cdef int load(self) except -1
    cdef int follow_edge(self) except -1
    cdef int skip(self, uint32_t level) except -1
    cdef int step(self) except -1
    cdef int enter(self, uint32_t slot) except -1
    cdef bytes key(self)
    cdef bytes value(self)


cdef class DiffIterator:
    """Yields (key, kind, old value or None, new value or None) in key order."""

    cdef DiffSide old
    cdef DiffSide new
    cdef bytes start
    cdef bytes stop
    cdef bytes last_key
    cdef uint64_t version
    cdef bint values
    cdef bint shared                       # both are of one file: equal numbers mean equal pages
    cdef bint started
    cdef bint finished
    cdef object error

    cdef int begin(self) except -1
    cdef int align(self) except -1
    cdef bint skip_shared(self) except -1
    cdef object compare(self)
    cdef object one_sided(self, DiffSide side, str kind)
    cdef bint same_value(self) except -1


cdef DiffIterator diff_iterator(
    TreeSource old, TreeSource new, bytes start, bytes stop, bint values, bint shared
)
