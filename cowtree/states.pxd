"""The named trees and tags of a commit, read from its catalogue."""

from libc.stdint cimport uint32_t, uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.reader cimport FixedSource
from cowtree.storage.commit_record cimport TreeReference
from cowtree.tree.view cimport TreeView


# The unpacked tree record; fills the root of `view`.
cdef object tree_record_view(bytes record, TreeView* view)
cdef int tree_record_reference(bytes record, TreeReference* reference) except -1
cdef FixedSource catalogue_of(CommitState state, object path)
cdef int fill_named(CommitState state, str name, TreeView* view, object path) except -1
cdef bytes named_record(CommitState state, str name, object path)
cdef bytes catalogue_key(str name, uint32_t page_size)
cdef uint64_t tree_count(CommitState state, object path) except? 0
cdef list tree_names(CommitState state, object path)
cdef object catalogue_value(CommitState state, bytes key, object path)
cdef dict tags_of(CommitState state, object path)
