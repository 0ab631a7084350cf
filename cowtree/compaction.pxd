"""A new file with the commits that are kept, in the place of the old one."""

from libc.stdint cimport uint8_t, uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.renumbering cimport Renumbering
from cowtree.storage.commit_record cimport CommitFields, CommitRecord, TreeReference
from cowtree.storage.page_file cimport PageFile
from cowtree.storage.range_writer cimport RangeWriter
from cowtree.tree.editor cimport Editor


cdef class Rewriter(Renumbering):
    """Copies states of one file into another, each page once, children before parents (I4).

    A page's new number is looked up in an array by its old one, so what states share they share again.
    """

    cdef PageFile target
    cdef CommitState source                # the state that is being copied
    cdef RangeWriter writer
    cdef Editor editor
    cdef bint ready
    cdef uint64_t* numbers                 # by old page number; 0: not copied yet
    cdef uint64_t limit
    cdef list pending                      # what the writer has queued and borrows: bytearrays and values
    cdef uint64_t pending_bytes
    cdef uint64_t copied                   # pages
    cdef object meter
    cdef uint8_t* commit_page

    cdef uint64_t copy_subtree(self, uint64_t number, uint64_t level, uint64_t offset, uint64_t limit, bint catalogue) except 0
    cdef int copy_values(self, uint8_t* page) except -1
    cdef int hold(self, object thing, uint64_t size) except -1
    cdef int copy_tree(self, TreeReference* tree, uint64_t offset, bint catalogue) except -1
    cdef CommitRecord copy_state(self, CommitState state, CommitRecord previous, bint sparse)
