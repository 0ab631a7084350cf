"""The read methods that every handle shares, in one step from Python to the search."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.tree.cursor cimport TreeSource
from cowtree.tree_codecs cimport TreeCodecs
from cowtree.tree.view cimport PageView, TreeView

cdef enum:
    COPIED_SIZE_MAX = 2048     # a value up to this size is copied out by the search itself

cdef struct Lookup:
    const TreeView* view
    const uint8_t* key
    uint32_t key_size
    uint32_t kind
    uint32_t value_size
    const uint8_t* value       # where it lies, when it was not copied
    PageView at
    uint8_t copied[COPIED_SIZE_MAX]


cdef struct RankRequest:
    const TreeView* view
    const uint8_t* key
    uint32_t key_size
    uint64_t rank
    PageView at


cdef int run_rank(void* argument) noexcept nogil       # of a RankRequest, to be guarded


cdef class Reader(TreeSource):
    cdef TreeCodecs codecs                 # None: keys and values are bytes as they are

    cdef object lookup(self, object key, object default, bint required)
    cdef list raw_keys(self, object keys)
    cdef bytes lookup_bytes(self, bytes key)
    cdef object typed_lookup(self, object key, object default, bint required)
    cdef bytes key_bytes(self, object key)
    cdef object given(self, object item)
    cdef object given_value(self, bytes value, bytes key)
    cdef tuple prefix_bounds(self, object prefix)
    cdef tuple bounds(self, object start, object stop, object prefix)
    cdef uint64_t rank_in(self, const TreeView* view, bytes key, bint* found) except? 0xFFFFFFFFFFFFFFFF
    cdef tuple span(self, object start, object stop, object prefix, bint include_start, bint include_stop)


cdef class FixedSource(Reader):
    """One state of a tree, pinned; it ends with the handle it was made from."""

    cdef TreeView view
    cdef object pinned
    cdef object path
    cdef TreeSource owner
