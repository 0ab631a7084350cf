"""A write session: changes that become a commit, or none. What transactions are made of."""

from libc.stdint cimport uint64_t

from cowtree.changes cimport Changes, WriteTree
from cowtree.engine cimport CommitState, Engine
from cowtree.tree.cursor cimport TreeSource


cdef class Session(Changes):
    cdef bint synced                       # its write was its sync

    cdef uint64_t commit(self, bint durable, bytes note) except? 0xFFFFFFFFFFFFFFFF
    cdef int write_trees(self) except -1
    cdef CommitState write_record(self, bint durable, bytes note)
    cdef int rollback(self) except -1
    cdef int end(self) except -1


cdef Session begin_session(Engine engine, object timeout, uint64_t write_memory, TreeSource handle)
