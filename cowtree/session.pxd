"""A write session: changes that become a commit, or none. What transactions are made of."""

from libc.stdint cimport uint32_t, uint64_t

from cowtree.changes cimport Changes
from cowtree.session_trees cimport WriteTree
from cowtree.storage.commit_record cimport CommitRecord, TreeReference
from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.tree.cursor cimport TreeSource


cdef class Session(Changes):
    cdef bint synced                       # its write was its sync
    cdef bint completing                   # its commit page is in the file, or a part of it
    cdef uint64_t time_ns                  # of the commit
    cdef uint64_t named_pages              # of all named trees, when something was restored

    cdef uint64_t commit(self, bint durable, bytes note) except? 0xFFFFFFFFFFFFFFFF
    cdef int set_catalogue(self, bytes key, bytes record) except -1
    cdef int repeat(self, CommitRecord given) except -1
    cdef int tag_own(self, bytes key) except -1
    cdef int write_tags(self) except -1
    cdef int become_administrative(self) except -1
    cdef int restore(self, CommitState old, object tree) except -1
    cdef int replace_tree(self, WriteTree tree, const TreeReference* reference, uint32_t offset) except -1
    cdef uint64_t pages_of_trees(self) except? 0
    cdef int write_trees(self) except -1
    cdef int write_default_codecs(self) except -1
    cdef CommitState write_record(self, bint durable, bytes note)
    cdef int rollback(self) except -1
    cdef int end(self) except -1


cdef bytes tag_record(Engine engine, CommitState state)
cdef Session begin_session(Engine engine, object timeout, uint64_t write_memory, TreeSource handle)
