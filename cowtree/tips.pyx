# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""The newest commit of a file: see `tips.pxd`."""

import os

from libc.stdint cimport int64_t, uint8_t, uint64_t
from posix.unistd cimport pread

from cowtree.commit_state cimport CommitState, state_in
from cowtree.layout cimport load64
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.storage.fault_guard cimport guarded_copy
from cowtree.storage.file_lock cimport published_pages, same_file
from cowtree.storage.page_file cimport Space, space_clear_verified_from
from cowtree.storage.shared_sync cimport set_appended_sequence

from cowtree.errors import ClosedError
from cowtree.log import log_event
from cowtree.storage import recovery as recovery_steps
from cowtree.storage.checkpoint import read_checkpoint
from cowtree.storage.creation import remove_temporaries


cdef class Tips:
    """See `tips.pxd`."""

    cdef CommitState state_of(self, CommitRecord record):
        """Views of a record's trees over a mapping that reaches one page beyond its end: the word there is loaded."""
        return state_in(record, self.file.space_for(record.fields.page + record.fields.page_count + 1))

    cdef CommitState newest(self):
        """The newest commit that counts, in any process. One load from memory when nothing is new."""
        cdef CommitState state = self.published
        cdef uint8_t word[8]
        cdef const Space* space
        cdef const uint8_t* tail
        if self.closed:
            if self.superseded:
                return state                       # whoever still asks is about to turn to the successor
            raise ClosedError("the database is closed")
        if state.space.space.mirrored:
            state.space.trim()                     # nobody reads: readers hold the GIL while they are inside
        if self.anonymous or (self.lock is not None and self.lock.holds()):
            return state
        if not state.tail_in_file:
            if self.file.device.size() < (state.end + 1) << self.file.shift:
                return state
            state.tail_in_file = True
        space = &state.space.space
        if space.mirrored:
            if pread(space.fd, word, 8, state.end << space.shift) != 8:
                return state
        else:
            tail = space.base + (state.end << space.shift)
            if guarded_copy(word, tail, 8, tail, tail + 8) < 0:
                state.tail_in_file = False
                return state
        if load64(word) == 0:
            return state
        return self.refresh()

    cdef CommitState refresh(self):
        """Something stands behind the tip: hop over what is published."""
        cdef CommitState state = self.published
        cdef int64_t published
        if self.find_successor():
            return state
        self.file.ensure_open()                    # another thread may have closed it while this one read
        published = published_pages(self.file.device.fd)
        cdef object found
        if published > 0:
            if <uint64_t>published <= state.end:
                return state
            found = self.find_tip(state.record, published, False)
        else:
            # Nobody publishes: whole records count. Ask again afterwards, because a writer may have begun meanwhile,
            # and what it has written is not published yet.
            found = self.find_tip(state.record, None, False)
            self.file.ensure_open()
            published = published_pages(self.file.device.fd)
            if published > 0:
                if <uint64_t>published <= state.end:
                    return state
                found = self.find_tip(state.record, published, False)
        cdef CommitRecord tip = found.tip
        if tip.fields.sequence > self.published.record.fields.sequence and not (
            self.lock is not None and self.lock.holds()
        ):
            state = self.state_of(tip)
            self.published = state
            self.set_appended(state)
            self.trusted_tail = False
        return self.published

    def find_successor(self):
        """Was the file compacted, so that another one is at its path now? O(1), two reads."""
        if self.superseded or self.anonymous:
            return self.superseded
        slot = read_checkpoint(self.file.device, self.file.page_size, self.file.generation)
        if slot is not None and slot.superseded and not same_file(self.path_bytes, self.dev, self.ino):
            self.superseded = os.path.exists(self.path)
        return self.superseded

    @property
    def identity(self):
        """(device, inode) of the file."""
        return self.dev, self.ino

    def replaced(self):
        """Is another file at the path now? Not when there is none, or when it is not known."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) != self.identity

    def succeed(self, successor):
        """Another file has this one's place, or, where there is no path, another engine."""
        self.successor = successor
        self.superseded = True

    cdef int tell(self) except -1:
        """Log what has happened. Holds no lock that a handler may want."""
        while self.events:
            log_event(self.events.pop(0))
        return 0

    def find_tip(self, start, published_end, from_medium):
        """The newest record from `start` on (FORMAT §6.2)."""
        return recovery_steps.find_tip(
            self.file, start=start, published_end=published_end, from_medium=from_medium, boot=self.boot
        )

    def find_first_tip(self):
        """Opening: the newest record, verified as far as FORMAT §6.2 asks; repaired if this process may write."""
        published = None if self.anonymous else published_pages(self.file.device.fd)
        vouched = published if published is not None and published > 0 else None
        if not self.readonly and vouched is None and not self.anonymous and self.lock.try_acquire():
            try:
                # Where a compaction has put another file at the path meanwhile, nothing here is mended any more.
                if same_file(self.path_bytes, self.dev, self.ino):
                    self.recover()
                    return
            finally:
                self.lock.release()
        found = self.find_tip(None, vouched, False)
        self.published = self.state_of(found.tip)
        self.set_appended(self.published)
        self.durable_sequence = found.proven_sequence
        self.trusted_tail = self.anonymous

    def recover(self):
        """With the process lock held: find the tip, verify it from the medium, cut the rest (FORMAT §6.2)."""
        start = self.published.record if self.published is not None else None
        found = self.find_tip(start, None, True)
        cdef CommitRecord tip = recovery_steps.repair_tail(self.file, found, self.boot)
        if start is None and not found.clean and self.lock.try_compacting():
            if same_file(self.path_bytes, self.dev, self.ino):
                remove_temporaries(os.path.realpath(self.path))
            self.lock.release_compacting()
        self.durable_sequence = tip.fields.sequence
        self.next_commit_id = recovery_steps.next_commit_id(self.file, tip)
        if found.rolled_back or found.unfinished or found.possible_loss:
            self.events.append(("info", f"{self.path}: {found.told}"))
        if found.rolled_back:
            self.recovery = found
            if self.published is not None:
                space_clear_verified_from(&self.published.space.space, tip.fields.page)
        self.published = self.state_of(tip)
        self.set_appended(self.published)
        self.trusted_tail = True
        self.tail.zero_upto = 0
        self.tail.volatile_bound = 0

    cdef int set_appended(self, CommitState state) except -1:
        self.appended = state
        set_appended_sequence(&self.appended_sequence, state.record.fields.sequence)
        return 0

    cdef bint tail_changed(self) except -1:
        """Did another process write behind our tip since we released the lock?"""
        cdef CommitState state = self.published
        return self.word_at(state.end << self.file.shift) != 0

    cdef uint64_t word_at(self, uint64_t offset) except? 0:
        """Eight bytes of the file; 0 beyond its end. From memory where it is mapped: no system call."""
        cdef uint8_t word[8]
        cdef const Space* space = &self.published.space.space
        cdef const uint8_t* at = space.base + offset
        if not space.mirrored and offset + 8 <= space.page_limit << space.shift:
            if guarded_copy(word, at, 8, at, at + 8) == 0:
                return load64(word)
            return 0
        if pread(self.file.device.fd, word, 8, offset) != 8:
            return 0
        return load64(word)
