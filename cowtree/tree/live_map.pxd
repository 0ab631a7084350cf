"""Which pages of a file are needed by the commits that are kept, and how many of them lie before a page.

    page   0 1 2 3 4 5 6 7 8 ...     of the old file
    live   1 1 1 0 0 1 1 0 1 ...     one bit a page
    rank   0 1 2     3 4   5         its number in the new file: children stay below parents (I4), runs stay whole
"""

from libc.stdint cimport uint32_t, uint64_t

from cowtree.tree.view cimport TreeView

cdef extern from *:
    """
    #define COWTREE_POPCOUNT(x) ((uint32_t)__builtin_popcountll(x))
    """
    uint32_t popcount "COWTREE_POPCOUNT"(uint64_t word) noexcept nogil

cdef enum:
    FORGOTTEN = -60           # a page behind which the map is settled, and which is not live
    STOPPED = -61


cdef class LiveMap:
    cdef uint64_t* live       # one bit a page
    cdef uint64_t* catalogue  # the same, of leaves of catalogues; untouched memory but for a few
    cdef uint64_t* ranks      # live pages before each group of 512
    cdef uint64_t capacity    # pages, a multiple of 512
    cdef uint64_t settled     # below it no page becomes live any more
    cdef readonly uint64_t count
    cdef bint stopping        # set by another thread: what runs here ends with STOPPED

    # Room for pages below `pages`.
    cdef int reserve(self, uint64_t pages) except -1
    # A page that is not in a tree: a commit page's place.
    cdef void add(self, uint64_t number) noexcept nogil
    # Everything below and with the root of `view`, runs included. `is_catalogue`: its leaves are noted.
    cdef int add_tree(self, TreeView* view, bint is_catalogue, object path) except -1
    # Nothing below page `end` becomes live any more: ranks are known there.
    cdef void settle(self, uint64_t end) noexcept nogil
    # Live pages so far, settled or not. O(pages / 64).
    cdef uint64_t count_all(self) noexcept nogil
    # The first live page from `number` on and below `limit`, or `limit`.
    cdef uint64_t next_live(self, uint64_t number, uint64_t limit) noexcept nogil


cdef inline bint is_set(const uint64_t* bits, uint64_t number) noexcept nogil:
    return (bits[number >> 6] >> (number & 63)) & 1


cdef inline uint64_t rank_of(LiveMap map, uint64_t number) noexcept nogil:
    """Live pages below `number`, which is settled. O(1)."""
    cdef uint64_t rank = map.ranks[number >> 9]
    cdef uint64_t word = number >> 9 << 3
    while word < number >> 6:
        rank += popcount(map.live[word])
        word += 1
    if number & 63:
        rank += popcount(map.live[word] << (64 - (number & 63)))
    return rank
