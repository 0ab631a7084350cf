"""When a compacted file takes the place of the one before: what its engine says, and what both have in common.

    hand-over ──> the engine before is superseded ──> each handle turns to the new one (`Database.follow`), at its next use
    or because the thread that compacted asks it to ──> snapshots whose commits are kept move along (`move_snapshots`)
"""

from libc.stdint cimport uint64_t


cdef class Pins:
    """The open snapshots of a database in this process, whichever of its files they read: a list through them.

    Borrowed: a snapshot takes itself out when it is closed or collected. Costs two stores, where a table costs as much
    as the snapshot itself.
    """

    cdef void* first                       # Snapshot
    cdef object handles                    # those of databases, by their address; weak
    cdef bint turn_owed                    # a thread waited to write when a compaction was handed over
    cdef bint turn_owed_elsewhere          # so did another process
    cdef uint64_t handed_over_end          # the page behind what the new file had then
    cdef object __weakref__

    cdef int add_handle(self, object handle) except -1
    cdef list handles_now(self)


cdef Pins pins_of(bytes uuid)
