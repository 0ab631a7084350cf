"""When a compacted file takes the place of the one before: what its engine says, and what both have in common."""


cdef class Pins:
    """The open snapshots of a database in this process, whichever of its files they read: a list through them.

    Borrowed: a snapshot takes itself out when it is closed or collected. Costs two stores, where a table costs as much
    as the snapshot itself.
    """

    cdef void* first                       # Snapshot
    cdef object __weakref__


cdef Pins pins_of(bytes uuid)
