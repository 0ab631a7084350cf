"""One engine per file and process: who may write, what is published, and the sync that many commits share.

    begin_write ── writer mutex, process lock, tip ──> append ──> make_durable / publish ──> finish_write
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.storage.shared_sync cimport SharedSync
from cowtree.succession cimport Pins
from cowtree.tips cimport Tips
from cowtree.tree.cursor cimport TreeSource


cdef class Engine(Tips):
    cdef Pins pins
    cdef bint wrote                        # since it was opened: a clean close is owed
    cdef object writer                     # threading.Lock: one transaction at a time
    cdef object owner                      # thread that has a transaction open, or None
    cdef object last_owner                 # thread that made the commit before
    cdef readonly int writers_waiting
    cdef int syncs_pending
    cdef list unpublished                  # states behind `published`, oldest first
    cdef SharedSync syncing
    cdef uint64_t turn_ns                  # when the present writer began, on the monotonic clock
    cdef uint64_t released_ns              # when the one before ended
    cdef bint yielding                     # the process lock was given up for a process that waits
    cdef uint64_t slot_words               # page 1 as it was when the bounds were written
    cdef object poison                     # the exception that every write raises
    cdef unsigned long fork_mark
    cdef public int handles
    cdef public int snapshots
    cdef object directory_synced
    cdef bint withholding                  # commits are appended that nobody may see before the last one, see `increment`
    cdef uint64_t withheld_word            # the first word of the first of them, which is not in the file; 0: none yet
    cdef object spare                      # working memory of the last transaction
    cdef public uint64_t grown_at          # a commit that ends behind this page asks whether a compaction is due,
    cdef public uint64_t shrunk_to         # and one that needs no more pages than this
    cdef public uint64_t bound             # pages that the file should not exceed
    cdef public uint64_t pace_ns           # the writer sleeps so long for each page, while a compaction runs
    cdef public uint64_t pace_debt_ns
    cdef public object compactor           # the compaction that runs, or None
    cdef public object compaction_problem  # why the file is not compacted automatically, or None

    cdef int require_usable(self) except -1
    cdef bint doomed(self) noexcept
    cdef object reason(self)
    cdef int blank_unpublished(self) except -1
    cdef bint may_write_durably(self, uint64_t end) noexcept
    cdef int append(self, CommitState state, bint durable, bint synced) except -1
    cdef int make_durable(self, uint64_t sequence) except -1
    cdef int await_published(self, CommitState state) except -1
    cdef int publish(self, CommitState state) except -1
    cdef int publish_synced(self, uint64_t sequence) except -1
    cdef object uncertain(self, object error)
    cdef int begin_write(self, object timeout, TreeSource handle) except -1
    cdef int acquire_process_lock(self, object deadline, object timeout, TreeSource handle) except -1
    cdef int after_acquiring(self) except -1
    cdef int require_same_file(self) except -1
    cdef int sync_directory(self) except -1
    cdef int finish_write(self) except -1
    cdef int release_writer(self) except -1
    cdef int release_if_idle(self) except -1
    cdef int cover_unsynced(self, uint64_t end, uint64_t commit_id) except -1
    cdef int sync_alone(self) except -1
    cdef int prefill(self, bint durable) except -1
    cdef int mind_size(self, CommitState state) except -1
    cdef uint64_t checkpoint_words(self) except? 0
