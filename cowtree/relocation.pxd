"""Compaction beside a writer: the pages that are kept move to a new file in the order of the old one (DESIGN D9).

    mark ──> copy ──> what was committed meanwhile, in rounds ──> finish: lock, the last round, sync, hand over
"""

from libc.stdint cimport uint8_t, uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.replacement cimport Replacement
from cowtree.storage.commit_record cimport CommitFields, CommitRecord
from cowtree.tree.cursor cimport TreeSource
from cowtree.tree.live_map cimport LiveMap
from cowtree.page_mover cimport PageMover


cdef class Relocation:
    cdef Engine engine
    cdef readonly Replacement replacement
    cdef LiveMap map
    cdef PageMover mover
    cdef CommitRecord previous             # the newest in the new file
    cdef readonly uint64_t copied_end      # pages of the old file below are dealt with
    cdef readonly uint64_t needed          # pages that must be kept, of the first round's state
    cdef set kept                          # ids of the commits in the new file
    cdef object history                    # the setting that decided
    cdef uint8_t* page

    cdef int copy_round(self, CommitState newest, object worthwhile) except -1
    cdef int mark(self, CommitState newest, CommitRecord record) except -1
    cdef int place(self, CommitState newest, CommitRecord record) except -1
    cdef int copy_pages(self, CommitRecord record, CommitFields* fields) except -1
    cdef int embed(self, CommitRecord record, CommitFields* fields) except -1
    cdef int renumber_trees(self, CommitRecord record, CommitFields* fields) except -1
    cdef int finish(self, double seconds, TreeSource watch) except -1
