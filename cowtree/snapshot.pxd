"""One commit to read."""

from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.reader cimport Reader
from cowtree.succession cimport Pins
from cowtree.tree.view cimport TreeView


cdef class Snapshot(Reader):
    cdef CommitState state
    cdef Engine engine
    cdef TreeView view
    cdef Pins pins
    cdef void* previous                    # in the list of `pins`
    cdef void* next
    cdef bint holds_engine                 # unpickled: it has a handle of the engine of its own
    cdef object __weakref__

    cdef int let_go(self) except -1


cdef class SnapshotTree(Reader):
    cdef Snapshot owner
    cdef readonly object name
    cdef TreeView view


cdef Snapshot take_snapshot(Engine engine, CommitState state)
cdef set pinned_ids(Pins pins)
cdef CommitState state_at(Engine engine, CommitState newest, object at)
