"""The newest commit of a file, as this process knows it: what is appended, published, durable; found anew when need be.

    appended   newest record whose pages are in the file (a transaction builds on it)
    published  newest record that readers see; == appended when no sync is pending
"""

from libc.stdint cimport uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.storage.file_lock cimport FileLock
from cowtree.storage.page_file cimport PageFile
from cowtree.storage.tail cimport Tail


cdef class Tips:
    cdef readonly PageFile file
    cdef FileLock lock                     # None: anonymous or read-only
    cdef Tail tail
    cdef readonly CommitState published
    cdef readonly CommitState appended
    cdef uint64_t appended_sequence
    cdef readonly uint64_t durable_sequence
    cdef uint64_t next_commit_id           # 0: one more than the tip's
    cdef readonly object path              # str, absolute; None when anonymous
    cdef bytes path_bytes
    cdef uint64_t dev
    cdef uint64_t ino
    cdef bytes boot
    cdef bint anonymous
    cdef readonly bint readonly
    cdef readonly bint closed
    cdef readonly bint superseded          # another file has taken this one's place at the path
    cdef readonly object successor         # its engine, if it has no path; else None
    cdef bint trusted_tail                 # what lies behind `appended` is known
    cdef public object recovery            # what the last recovery found, or None
    cdef readonly list events              # to be logged where no lock is held: a handler may do anything

    cdef int tell(self) except -1
    cdef CommitState state_of(self, CommitRecord record)
    cdef CommitState newest(self)
    cdef CommitState refresh(self)
    cdef int set_appended(self, CommitState state) except -1
    cdef bint tail_changed(self) except -1
    cdef uint64_t word_at(self, uint64_t offset) except? 0
