"""Walk a tree in key order, a private copy of one leaf at a time.

    TreeSource.pin -> TreeView, pinned -> LeafWalk: path + copy of the leaf -> RangeIterator, Cursor

The copy is made under the guard, so that objects are built from memory that can neither vanish nor change.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cowtree.pages.leaf cimport Entry
from cowtree.tree.search cimport Path
from cowtree.tree.view cimport PageView, TreeView

cdef class TreeSource:
    """What gives views of one tree: a snapshot, a database (its newest commit), an open transaction."""

    cdef bint ended                    # closed or finished: every use raises
    cdef bint changing                 # the view can change under a walk (a transaction's)
    cdef object pin(self, TreeView* view)      # fills `view`; the result keeps its memory alive
    cdef uint64_t version(self) noexcept       # changes with the tree, for a source that is `changing`
    cdef int check_open(self) except -1        # raises what the contract names once `ended`
    cdef object source_path(self)              # for messages

cdef int raise_status(object path, uint64_t page, int status) except -1
cdef bytes value_bytes(const TreeView* view, const Entry* entry, bint trusted, object path)
cdef bytes guarded_value(const TreeView* view, const Entry* entry, object path)
cdef object run_buffer(object pinned, const TreeView* view, const Entry* entry, object path)
cdef bytes entry_key(const uint8_t* page, uint32_t size, const Entry* entry)

cdef class ValueBuffer:
    """Exports a run's value where it lies; keeps the mapping."""

    cdef object pinned
    cdef const uint8_t* data
    cdef Py_ssize_t size

cdef enum Move:
    TO_KEY = 0            # first entry >= key
    TO_FIRST = 1
    TO_LAST = 2
    TO_INDEX = 3
    FORWARD = 4           # first entry of the next leaf
    BACKWARD = 5          # last entry of the previous leaf
    BELOW_KEY = 6         # last entry < key
    UPTO_KEY = 7          # last entry <= key
    ABOVE_KEY = 8         # first entry > key

cdef struct WalkRequest:
    const TreeView* view
    Path* path
    const uint8_t* key
    uint64_t index
    uint8_t* into
    uint32_t key_size
    uint32_t size
    int how
    PageView at

# Move a path and copy the leaf it ends in: FOUND, ABSENT (nothing there), or a negative status. To be run guarded.
cdef int walk(void* argument) noexcept nogil

cdef class LeafWalk:
    cdef TreeSource source
    cdef object pinned
    cdef TreeView view
    cdef Path path
    cdef uint8_t* leaf
    cdef uint32_t leaf_capacity
    cdef uint32_t size
    cdef uint32_t count
    cdef int64_t slot                  # -1: not positioned
    cdef bint trusted                  # the leaf is a private page: its references may be to memory
    cdef uint64_t version

    cdef int repin(self) except -1
    cdef int move(self, int how, const uint8_t* key, uint32_t key_size, uint64_t index) except -1
    cdef bytes key_at(self, uint32_t slot)
    cdef bytes value_at(self, uint32_t slot)

cdef enum:
    MODE_KEYS = 0
    MODE_VALUES = 1
    MODE_ITEMS = 2

cdef RangeIterator range_iterator(
    TreeSource source, int mode, bytes start, bytes stop, bint include_start, bint include_stop, bint reverse
)

cdef class RangeIterator(LeafWalk):
    cdef int mode
    cdef bint reverse
    cdef bint started
    cdef bint finished
    cdef bint last_leaf                # the range ends in the present leaf
    cdef bint include_start
    cdef bint include_stop
    cdef bytes start
    cdef bytes stop
    cdef bytes last_key                # given last; kept for a source that is changing
    cdef int64_t end                   # forward: one past the last slot; reverse: the lowest slot

    cdef object error                  # what ended it before its time

    cdef bint advance(self) except -1
    cdef object present(self)
    cdef int load_first(self) except -1
    cdef int load_next(self) except -1
    cdef int bound(self) except -1

cdef class Cursor(LeafWalk):
    cdef bytes current                 # the key it stands on, while positioned
    cdef bint land(self, int status) except -1
    cdef bint step(self, bint forward) except -1
    cdef int require(self) except -1
    cdef bytes value_bytes(self)
