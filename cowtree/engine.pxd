"""One engine per file and process: who may write, what is published, and the sync that many commits share.

    begin_write ── writer mutex, process lock, tip ──> append ──> make_durable / publish ──> finish_write

    appended   newest record whose pages are in the file (a transaction builds on it)
    published  newest record that readers see; == appended when no sync is pending
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.storage.file_lock cimport FileLock
from cowtree.storage.page_file cimport PageFile
from cowtree.storage.shared_sync cimport SharedSync
from cowtree.storage.tail cimport Tail
from cowtree.succession cimport Pins
from cowtree.tree.cursor cimport TreeSource


cdef class Engine:
    cdef readonly PageFile file
    cdef FileLock lock                     # None: anonymous or read-only
    cdef readonly CommitState published
    cdef readonly CommitState appended
    cdef readonly object path              # str, absolute; None when anonymous
    cdef bytes path_bytes
    cdef readonly bint readonly
    cdef readonly bint closed
    cdef readonly bint superseded          # another file has taken this one's place at the path
    cdef readonly object successor         # its engine, if it has no path; else None
    cdef Pins pins
    cdef bint wrote                        # since it was opened: a clean close is owed
    cdef bint trusted_tail                 # what lies behind `appended` is known
    cdef bint anonymous
    cdef object writer                     # threading.Lock: one transaction at a time
    cdef object owner                      # thread that has a transaction open, or None
    cdef object last_owner                 # thread that made the commit before
    cdef int writers_waiting
    cdef int syncs_pending
    cdef SharedSync syncing
    cdef readonly uint64_t durable_sequence
    cdef Tail tail
    cdef uint64_t turn_ns                  # when the present writer began, on the monotonic clock
    cdef uint64_t released_ns              # when the one before ended
    cdef bint yielding                     # the process lock was given up for a process that waits
    cdef uint64_t slot_words               # page 1 as it was when the bounds were written
    cdef uint64_t next_commit_id           # 0: one more than the tip's
    cdef bytes boot
    cdef object poison                     # the exception that every write raises
    cdef unsigned long fork_mark
    cdef public int handles
    cdef public int snapshots
    cdef public object recovery            # what the last recovery found, or None
    cdef object directory_synced
    cdef object spare                      # working memory of the last transaction
    cdef uint64_t dev
    cdef uint64_t ino

    cdef CommitState newest(self)
    cdef CommitState refresh(self)
    cdef int require_usable(self) except -1
    cdef bint may_write_durably(self, uint64_t end) noexcept
    cdef int append(self, CommitState state, bint durable, bint synced) except -1
    cdef int make_durable(self, uint64_t sequence) except -1
    cdef int await_published(self, CommitState state) except -1
    cdef int publish(self, CommitState state) except -1
    cdef int begin_write(self, object timeout, TreeSource handle) except -1
    cdef int acquire_process_lock(self, object deadline, object timeout, TreeSource handle) except -1
    cdef int after_acquiring(self) except -1
    cdef bint tail_changed(self) except -1
    cdef int require_same_file(self) except -1
    cdef int sync_directory(self) except -1
    cdef int finish_write(self) except -1
    cdef int release_if_idle(self) except -1
    cdef int cover_unsynced(self, uint64_t end, uint64_t commit_id) except -1
    cdef int prefill(self, bint durable) except -1
    cdef uint64_t checkpoint_words(self) except? 0
    cdef uint64_t word_at(self, uint64_t offset) except? 0
    cdef CommitState state_of(self, CommitRecord record)
