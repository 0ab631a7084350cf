"""One commit to read."""

from libc.stdint cimport uint32_t

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
    cdef uint32_t moves                    # into files that took the place of the one before
    cdef object __weakref__

    cdef int let_go(self) except -1
    cdef int release_engine(self) except -1
    cdef int move(self, Engine engine, CommitState state) except -1


cdef class SnapshotTree(Reader):
    cdef Snapshot owner
    cdef readonly object name
    cdef TreeView view                     # of the owner's state after so many moves
    cdef uint32_t moves

    cdef int fill(self) except -1


cdef Snapshot take_snapshot(Engine engine, CommitState state)
cdef set pinned_ids(Pins pins)
# Let the snapshots that read the file of `old` read that of `new`, which has taken its place and has their commits too.
cdef int move_snapshots(Engine old, Engine new) except -1
cdef CommitState state_at(Engine engine, CommitState newest, object at)
