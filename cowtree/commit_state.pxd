"""One commit to read: its record, the memory that holds it, views of its trees."""

from libc.stdint cimport uint64_t

from cowtree.storage.commit_record cimport CommitRecord
from cowtree.storage.page_file cimport PageSpace
from cowtree.tree.view cimport TreeView


cdef class CommitState:
    """A record, the mapping that holds it, and views of its trees. Immutable; a reference pins the mapping."""

    cdef readonly CommitRecord record
    cdef readonly PageSpace space
    cdef readonly uint64_t end             # the page behind its range
    cdef TreeView default_tree
    cdef TreeView catalogue
    cdef dict named                        # cache: name -> TreeRecord bytes or None
    cdef bint tail_in_file                 # the file reaches beyond page `end`


cdef CommitState state_in(CommitRecord record, PageSpace space)
