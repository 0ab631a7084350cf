"""A new file that takes the place of a database's file: the steps that both ways of compaction share (DESIGN D9).

    begin: temporary file with the empty state ──> filled by the one or the other ──> seal ──> hand_over, or discard
"""

from libc.stdint cimport uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.storage.page_file cimport PageFile


cdef class Replacement:
    cdef Engine engine
    cdef readonly PageFile target
    cdef readonly CommitRecord first       # the empty state in it
    cdef object path                       # where the old file is, without symbolic links; None in memory
    cdef readonly object temporary         # None: no longer, or never, a file with a name
    cdef object system

    cdef int begin(self, CommitState newest) except -1
    # Say where the tip is, and that the file was closed cleanly. `end`: the page behind its range.
    cdef CommitRecord seal(self, CommitRecord tip)
    # With the writer mutex and the writer lock, when the file is synced: from here on it is the database.
    cdef int hand_over(self, CommitState newest, uint64_t end) except -1
    cdef int hand_over_path(self, CommitState newest, uint64_t end) except -1
    cdef int supersede(self, CommitState newest) except -1

# The compacting byte of the old file; what earlier holders left behind is removed. False: another process has it.
cdef bint claim_compacting(Engine engine) except -1
cdef int release_compacting(Engine engine) except -1
