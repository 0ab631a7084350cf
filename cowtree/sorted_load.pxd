"""A sorted run of pairs on its way into the end of a tree: leaves are built whole instead of put by put."""

from libc.stdint cimport uint8_t, uint32_t

from cowtree.changes cimport Changes
from cowtree.session_trees cimport Unsettled, WriteTree
from cowtree.tree.append cimport Run


cdef class SortedLoad(Unsettled):
    cdef Changes session
    cdef WriteTree tree
    cdef list pairs                        # whose bytes the run borrows
    cdef Run run

    cdef bint take(self, object pair) except -1
    cdef bint begins(self, const uint8_t* key, uint32_t key_size, uint32_t value_size) except -1
    cdef int clear(self) except -1
    cdef int append(self) except -1
    cdef int settle(self) except -1


cdef SortedLoad load_into(Changes session, WriteTree tree)
