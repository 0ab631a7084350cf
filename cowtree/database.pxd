"""The handle of a database, and of its trees."""

from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.session cimport Session
from cowtree.session_trees cimport WriteTree
from cowtree.writer cimport Writer


cdef class Database(Writer):
    cdef Engine engine
    cdef object handle_path
    cdef object options                    # what `open` was given, to open again in a forked child
    cdef bint released                     # its share of the engine
    cdef readonly bint readonly
    cdef bint durable
    cdef object timeout
    cdef unsigned long long write_memory
    cdef list transactions                 # weak references to those begun here
    cdef object __weakref__

    cdef Engine live(self)
    cdef CommitState current(self)
    cdef Session begin(self, object timeout)


cdef class DatabaseTree(Writer):
    cdef Database owner
    cdef readonly object name
