# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""The engine: locks, commits, syncs. See `engine.pxd`; the order of steps is DESIGN's and FORMAT §6's.

A durable commit: append (gather write) -> release the writer mutex -> one thread syncs for all that were appended
before it began -> publish -> acknowledge. While that sync runs, the next transaction already builds on the appended
commit; if the sync fails, both fail.
"""

import errno
import os
import signal
import threading
import time

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from cowtree.commit_state cimport CommitState
from cowtree.storage.commit_record cimport FLAG_ADMINISTRATIVE
from cowtree.storage.devices cimport iovec
from cowtree.storage.fault_guard cimport install_guard
from cowtree.storage.file_lock cimport fork_generation, same_file
from cowtree.storage.page_file cimport PageFile, space_clear_verified_from
from cowtree.storage.shared_sync cimport FAILED, LED, LED_AND_FAILED, TOLD, SharedSync
from cowtree.storage.tail cimport Tail
from cowtree.succession cimport pins_of
from cowtree.tree.cursor cimport TreeSource

from cowtree.errors import ClosedError, CommitUncertainError, LockTimeoutError, ReadOnlyError, TransactionError
from cowtree.succession import SupersededError
from cowtree.storage.checkpoint import CLEAN, NO_BOOT_ID, VOLATILE, read_checkpoint, write_checkpoint
from cowtree.storage.file_system import FileSystem

cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass
    PyThreadState* PyThreadState_Get()
    uint64_t PyThreadState_GetID(PyThreadState* state)

cdef uint64_t SMALL_COMMIT_BYTES = 1 << 18
# A lock is kept after a commit that began this soon after the one before.
cdef uint64_t KEEP_NS = 5000000
# How long the lock is kept, at most, from a process that begins to wait for it; see `FileLock.keep`.
KEPT_SECONDS = 0.02


cdef uint64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


cdef class Engine:
    """See `engine.pxd`. Made by `registry.engine_for`; counted by `handles`."""

    def __init__(self, PageFile file not None, lock, path, boot, bint copy_on_write):
        install_guard()
        self.file = file
        self.lock = lock
        self.path = path
        self.path_bytes = b"" if path is None else os.fsencode(path)
        self.anonymous = file.anonymous
        self.readonly = file.readonly or (lock is None and not file.anonymous)
        self.pins = pins_of(file.uuid)
        self.writer = threading.Lock()
        self.syncing = SharedSync()
        self.unpublished = []
        self.events = []
        self.boot = boot
        self.tail = Tail(file, boot, not copy_on_write and not file.anonymous)
        self.fork_mark = fork_generation()
        status = os.fstat(file.device.fd)
        self.dev = status.st_dev
        self.ino = status.st_ino
        self.find_first_tip()

    # -- who may write ------------------------------------------------------------------------------------------------

    cdef int require_usable(self) except -1:
        if self.superseded:
            raise SupersededError(errno.ESTALE, "the file was compacted: another one is at its path", self.path)
        if self.closed:
            raise ClosedError("the database is closed")
        if self.readonly:
            raise ReadOnlyError(f"{self.path}: the database is open read-only")
        if self.file.write_refused_reason is not None:
            raise ReadOnlyError(f"{self.path}: {self.file.write_refused_reason}")
        if self.doomed():
            raise CommitUncertainError(
                f"{self.path}: a sync failed before ({self.reason()}); close all handles and open the file again"
            ) from self.poison
        return 0

    cdef bint doomed(self) noexcept:
        """Did a sync fail? Known here before the thread whose sync it was has the GIL again and can say more."""
        return self.poison is not None or self.syncing.failed

    cdef object reason(self):
        return "in another thread" if self.poison is None else self.poison

    cdef int begin_write(self, object timeout, TreeSource handle) except -1:
        """Become the one writer: mutex, process lock, newest tip. `timeout` in seconds, None = for ever.

        Closing `handle`, through which the caller waits, ends the wait.

        Raises LockTimeoutError, ReadOnlyError, ClosedError, CommitUncertainError, and TransactionError when this
        thread has a transaction open on the file already.
        """
        me = PyThreadState_GetID(PyThreadState_Get())     # not get_ident(): a thread that has ended may be named by another's
        self.require_usable()
        if self.owner == me:
            raise TransactionError(
                "this thread has a transaction open on this file: use it, or end it first (waiting would be for ever)"
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self.writer.acquire(False):
            self.writers_waiting += 1
            try:
                while not self.writer.acquire(timeout=self.next_pause(0.05, deadline, timeout)):
                    handle.check_open()
            except BaseException:
                self.pins.turn_owed = False        # given up
                raise
            finally:
                self.writers_waiting -= 1
        try:
            handle.check_open()
            self.require_usable()
            if self.lock is not None and not self.lock.busy() and not self.lock.claim():
                self.acquire_process_lock(deadline, timeout, handle)
                self.after_acquiring()
            self.turn_ns = monotonic_ns()
            self.owner = me
            self.pins.turn_owed = False
        except BaseException:
            self.release_writer()
            raise

    def next_pause(self, pause, deadline, timeout):
        """How long to wait before looking again; LockTimeoutError at the deadline, KeyboardInterrupt after Ctrl-C."""
        # A signal that came between two sleeps interrupts none, and no bytecode runs here that would notice it.
        PyErr_CheckSignals()
        if deadline is None:
            return pause
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockTimeoutError(f"{self.path}: another writer had the lock for {timeout} s")
        return min(pause, left)

    cdef int acquire_process_lock(self, object deadline, object timeout, TreeSource handle) except -1:
        """Take the writer byte; polls, because byte-range locks are unfair and know no timeout."""
        pause = 0.0005
        if self.yielding:
            # The lock was given up for a process that waits for it: let it come first.
            self.yielding = False
            polite = time.monotonic() + KEPT_SECONDS
            while self.lock.others_waiting() and time.monotonic() < polite:
                time.sleep(self.next_pause(pause, deadline, timeout))
        if self.lock.try_acquire():
            return 0
        # Another process may only keep the lock between two commits: it lets go when it sees somebody wait.
        patience = time.monotonic() + KEPT_SECONDS
        self.lock.set_waiting(True)
        try:
            while not self.lock.try_acquire():
                if deadline is not None and time.monotonic() < patience:
                    time.sleep(pause)
                else:
                    time.sleep(self.next_pause(pause, deadline, timeout))
                handle.check_open()
                pause = min(pause * 1.5, 0.005)
        finally:
            self.lock.set_waiting(False)

    cdef int after_acquiring(self) except -1:
        """With the writer byte held and nothing published yet: learn the tip, then vouch for it."""
        cdef CommitState state
        try:
            # What follows this in a session checks the path again before it writes.
            if not self.trusted_tail or self.tail_changed():
                self.require_same_file()
                self.recover()
            if self.tail.volatile_bound and self.checkpoint_words() != self.slot_words:
                self.tail.volatile_bound = 0       # another process wrote a slot since: it may not cover us (I8)
            self.sync_directory()
            state = self.published
            self.lock.publish(state.end)
        except BaseException:
            self.lock.release()
            raise

    cdef int require_same_file(self) except -1:
        """The path must still name this file: rename, unlink and restore are noticed before anything is written."""
        if not same_file(self.path_bytes, self.dev, self.ino):
            if self.find_successor():
                self.require_usable()
            raise OSError(
                errno.ESTALE, "the database file was replaced or removed: close this handle and open the path again",
                self.path,
            )

    cdef int sync_directory(self) except -1:
        """Once per file, before the first acknowledgement: its directory entry must last too (M8)."""
        if self.directory_synced is None:
            FileSystem().sync_directory(self.path)
            self.directory_synced = True

    cdef int finish_write(self) except -1:
        """Give up the writer mutex; the process lock goes when nothing is left to sync."""
        self.owner = None
        self.release_writer()

    cdef int release_writer(self) except -1:
        """Give up the writer mutex, whatever becomes of the process lock."""
        try:
            self.release_if_idle()
        finally:
            self.writer.release()
        return 0

    cdef int release_if_idle(self) except -1:
        """With the writer mutex: let other processes write, unless a thread here is about to.

        A lock that is used again soon is kept, which saves taking, checking and releasing it with each commit.
        """
        cdef uint64_t before
        if self.lock is None or not self.lock.busy() or self.doomed() or self.withholding:
            return 0
        if self.syncs_pending or self.appended is not self.published:
            return 0
        if self.writers_waiting and not self.lock.others_waiting():
            return 0
        before = self.released_ns
        self.released_ns = monotonic_ns()
        if self.lock.wanted():
            self.yielding = True
        elif self.turn_ns - before < KEEP_NS and self.lock.keep():
            return 0
        self.lock.release()

    # -- commits ------------------------------------------------------------------------------------------------------

    cdef bint may_write_durably(self, uint64_t end) noexcept:
        """May the commit that ends at page `end` be written and synced in one call, while it holds the writer mutex?

        Only when nobody could share the sync, and where the file need not grow. When another thread made the commit
        before, that one is likely to come again while this one is written: they will share.
        """
        return (
            not self.anonymous and not self.withholding and self.writers_waiting == 0 and self.syncs_pending == 0
            and self.appended is self.published and end <= self.tail.zero_upto
            and self.durable_sequence == self.published.record.fields.sequence
            and self.owner == self.last_owner
        )

    cdef int append(self, CommitState state, bint durable, bint synced) except -1:
        """The pages of `state` are in the file: hand the writer mutex on, then sync or publish."""
        cdef uint64_t sequence = state.record.fields.sequence
        cdef bint alone = self.published.record.fields.sequence + 1 == sequence
        cdef bint held = True                      # the writer mutex
        self.syncs_pending += 1
        try:
            if self.doomed():                      # while it was written: its page may stand where one was blanked
                try:
                    self.blank_unpublished()
                except OSError:
                    pass                           # the outcome is uncertain in either case
                raise self.uncertain(self.reason()) from self.poison
            self.set_appended(state)
            self.wrote = True
            if state.end > self.tail.zero_upto:
                self.tail.zero_upto = 0
            try:
                self.unpublished.append(state)
                if synced:
                    self.publish_synced(sequence)
                elif self.anonymous or self.withholding or (alone and not durable):
                    self.publish(self.unpublished.pop())
            except BaseException as error:         # it is in the file, and nobody sees it
                self.poison_from(error)
                raise self.uncertain(error) from error
            held = False
            self.last_owner = self.owner
            self.owner = None
            self.writer.release()
            # Also an unsynced commit waits here when an earlier one is still being synced: published is published in
            # order, and only after its sync.
            if self.published.record.fields.sequence < sequence or (
                durable and not self.anonymous and not self.withholding and not synced
            ):
                self.make_durable(sequence)
        finally:
            if held:
                self.owner = None
                self.writer.release()
            self.syncs_pending -= 1
            if self.owner is None and self.writer.acquire(False):
                self.release_writer()
        if (
            (state.end - state.record.fields.page) << self.file.shift <= SMALL_COMMIT_BYTES and not self.anonymous
            and not self.withholding
        ):
            self.prefill(durable)
        return self.mind_size(state)

    cdef int mind_size(self, CommitState state) except -1:
        """After a commit: two comparisons tell whether a compaction may be due."""
        cdef uint64_t live = state.record.fields.pages_appended - state.record.fields.pages_retired
        if self.withholding or state.end < self.grown_at and live > self.shrunk_to and not (
            self.pace_ns or state.record.fields.flags & FLAG_ADMINISTRATIVE
        ):
            return 0
        from cowtree.auto_compaction import after_commit
        after_commit(self, state)
        return 0

    def stop_compaction(self, seconds=0.1):
        """Let one that runs in the background end, and wait at most so long for that; None: until it has ended."""
        worker = self.compactor
        if worker is not None:
            worker.stop(seconds)

    def count_handles(self, int more):
        """So many handles more; how many there are. One step, with the GIL held throughout."""
        self.handles += more
        return self.handles

    def pass_on(self):
        """The file was compacted: let the handles of this process turn to the new one now, and snapshots with them.

        One that stays idle would keep the space of the file before.
        """
        for handle in self.pins.handles_now():
            try:
                handle.follow()
            except Exception:
                pass                               # who uses it next is told why

    cdef int make_durable(self, uint64_t sequence) except -1:
        """Return when the record is synced and published; one thread syncs for all that wait.

        The wait cannot be interrupted: from the write to the end of the sync the outcome is success or uncertain.
        """
        cdef uint64_t target = 0
        cdef int outcome
        if self.durable_sequence >= sequence and self.published.record.fields.sequence >= sequence:
            return 0
        with nogil:
            outcome = self.syncing.join(self.file.device, sequence, &self.appended_sequence, &target)
        if outcome == TOLD:
            return 0
        if outcome == FAILED:
            raise self.uncertain(self.reason()) from self.poison
        try:
            if outcome == LED_AND_FAILED:
                raise self.file.device.sync_error
            self.publish_synced(target)
        except BaseException as error:
            if outcome == LED:
                with nogil:
                    self.syncing.lead()
            try:
                self.poison_from(error)            # with the device for itself: nobody closes the file meanwhile
            finally:
                self.syncing.end()
            raise self.uncertain(error) from error
        self.syncing.tell(target)
        return 0

    cdef object uncertain(self, object error):
        self.tell()
        return CommitUncertainError(
            f"{self.path}: the sync of this commit failed ({error}); it is unknown whether it is on the disk"
        )

    cdef int publish_synced(self, uint64_t sequence) except -1:
        """Everything up to the record is durable: let readers see it."""
        cdef CommitState newest = None
        if sequence > self.durable_sequence:
            self.durable_sequence = sequence
        while self.unpublished and (<CommitState>self.unpublished[0]).record.fields.sequence <= sequence:
            newest = self.unpublished.pop(0)
        if newest is not None:
            self.publish(newest)
        return 0

    cdef int await_published(self, CommitState state) except -1:
        """Return when readers see `state`, whose sync may be under way; CommitUncertainError if that fails."""
        if self.published.record.fields.sequence < state.record.fields.sequence:
            self.make_durable(state.record.fields.sequence)
        return 0

    cdef int publish(self, CommitState state) except -1:
        """From here on every reader sees it."""
        if self.lock is not None and self.lock.holds() and not self.withholding:
            self.lock.publish(state.end)
        self.published = state
        return 0

    def poison_from(self, error):
        """A sync failed: nothing that was not published ever will be, and nothing more is written (E1).

        The commit pages of the unpublished records are blanked in the page cache, so that no reader hops onto them
        when the lock is gone.
        """
        self.poison = error
        try:
            self.events.append(
                ("error", f"{self.path}: a sync failed ({error}): nothing is written until it is opened again")
            )
        except MemoryError:
            pass
        try:
            # What is durable stays: an earlier sync's whose leader waits for the GIL, and what a slot may name.
            self.publish_synced(max(self.syncing.synced, self.durable_sequence))
        except Exception:
            pass
        self.syncing.fail(min(self.durable_sequence, self.published.record.fields.sequence))
        try:
            self.blank_unpublished()
            # Commits that were published without a sync may be lost as well: say so, under no boot's name.
            write_checkpoint(
                self.file.device, self.file.page_size, self.file.generation,
                like=read_checkpoint(self.file.device, self.file.page_size, self.file.generation),
                boot_id=NO_BOOT_ID, flags=VOLATILE,
                volatile_bound=max(self.tail.volatile_bound, self.appended.end),
                volatile_id_bound=max(self.tail.volatile_id_bound, self.appended.record.fields.commit_id + 1),
            )
        except Exception:
            pass                                   # the poison stands; a reopen verifies from the medium

    cdef int blank_unpublished(self) except -1:
        """Nobody may find what stands behind the published record. Its first commit page is enough: hops stop there."""
        cdef CommitState tip = self.published
        cdef bytes zeros = bytes(self.file.page_size)
        cdef iovec piece
        space_clear_verified_from(&tip.space.space, tip.end)
        piece.iov_base = <void*><const char*>zeros
        piece.iov_len = self.file.page_size
        return self.file.device.write_cached(&piece, 1, tip.end << self.file.shift)

    cdef int cover_unsynced(self, uint64_t end, uint64_t commit_id) except -1:
        """I8: an unsynced record that ends at page `end` is about to be written."""
        if self.anonymous or self.tail.covers(end, commit_id):
            return 0
        with nogil:
            self.syncing.lead()
        try:
            if self.doomed():
                raise self.uncertain(self.reason()) from self.poison
            # The record that the slot names as durable must be so before the slot can be on the disk. With the writer
            # mutex held nothing is appended meanwhile.
            self.file.device.sync()
            self.publish_synced(self.appended_sequence)
            self.syncing.tell(self.appended_sequence)
            self.tail.cover(self.appended.record, end, commit_id)
        except OSError as error:
            self.poison_from(error)
            raise CommitUncertainError(f"{self.path}: a sync failed ({error})") from error
        finally:
            self.syncing.end()
        self.slot_words = self.checkpoint_words()
        return 0

    cdef int sync_alone(self) except -1:
        """Sync while no other thread does: of two syncs at once the kernel tells one of an error, maybe not the one whose
        pages are lost. Poisons when it fails, and raises what the sync did, or CommitUncertainError.
        """
        with nogil:
            self.syncing.lead()
        try:
            if self.doomed():
                raise self.uncertain(self.reason()) from self.poison
            try:
                self.file.device.sync()
            except BaseException as error:
                self.poison_from(error)            # other commits' pages may be what could not be written
                raise
        finally:
            self.syncing.end()
        return 0

    cdef uint64_t checkpoint_words(self) except? 0:
        """The checksums of both slots of page 1, mixed: changes when any process writes one."""
        cdef uint64_t at = self.file.page_size
        return self.word_at(at) ^ (self.word_at(at + self.file.page_size // 2) * 3)

    cdef int prefill(self, bint durable) except -1:
        """After the acknowledgement of a small commit: keep allocated zeros ahead of the tip (D5).

        Skipped while somebody writes.
        """
        if not self.tail.low(self.appended.end) or self.closed or self.doomed():
            return 0
        if durable and self.published.record.fields.sequence != self.durable_sequence:
            return 0                               # the slot that is written must name a durable record
        if not self.writer.acquire(False):
            return 0
        try:
            if not self.lock.busy() and not self.lock.claim():
                if not self.lock.try_acquire():
                    return 0
                if self.tail_changed():
                    self.trusted_tail = False
                    self.lock.release()
                    return 0
                self.lock.publish(self.published.end)
            try:
                self.tail.prefill(self.published.record if durable else None, self.appended.end)
            except KeyboardInterrupt:
                signal.raise_signal(signal.SIGINT)  # the commit stands: let Ctrl-C come after it
        finally:
            self.release_writer()
        return 0

    def sync(self):
        """Make every commit so far durable."""
        self.require_usable()
        if self.anonymous:
            return
        if self.appended.record.fields.sequence <= self.durable_sequence:
            return
        self.make_durable(self.appended.record.fields.sequence)

    # -- the end ------------------------------------------------------------------------------------------------------

    def shutdown(self):
        """The last handle is gone: sync, cut the tail, note the clean close, let go of the file."""
        if self.closed:
            return
        if fork_generation() != self.fork_mark:
            self.closed = True                     # the parent's; its mutexes may be held by threads of the parent
            return
        worker = self.compactor
        if worker is not None and worker.own:
            worker.shut_down = True                # a collection there found the last handle: when it is through
            return
        self.stop_compaction()
        # A commit of another thread ends first; who waits behind it finds the engine closed.
        self.writer.acquire()
        try:
            try:
                self.make_durable(self.appended_sequence if self.unpublished else 0)
            except CommitUncertainError:
                pass                               # its own thread says so
            with nogil:
                self.syncing.lead()
            try:
                if self.wrote and not self.anonymous and not self.doomed() and not self.find_successor():
                    if self.close_cleanly():
                        self.syncing.tell(self.appended_sequence)    # who still waits for a sync needs none
            finally:
                self.closed = True
                try:
                    if self.lock is not None:
                        self.lock.close()
                finally:
                    self.file.close()
                    self.syncing.end()
        finally:
            self.writer.release()

    def close_cleanly(self):
        """Sync, cut the tail, mark the slot; False: another process writes, the clean close is its, nothing was synced."""
        cdef CommitState tip = self.published
        if not self.lock.busy() and not self.lock.claim():
            if not self.lock.try_acquire():
                return False
            if not same_file(self.path_bytes, self.dev, self.ino) or self.tail_changed():
                self.lock.release()
                return False
        # Sync first: only what is durable may be called so.
        self.file.device.sync()
        self.file.device.truncate((tip.end + 1) << self.file.shift)
        write_checkpoint(
            self.file.device, self.file.page_size, self.file.generation, record=tip.record, boot_id=self.boot,
            flags=CLEAN,
        )
        self.lock.release()
        return True

    def cut_back(self, completed=False):
        """A commit could not be written: drop what it left behind the tip (E2). Poisons when even that fails.

        `completed`: the write that failed was the last one. What it left may be the whole commit (a commit page may end
        in zeros), which a power cut could bring back after its rollback was reported: so the cut is synced before.
        """
        self.tail.zero_upto = 0
        try:
            self.file.device.truncate(self.appended.end << self.file.shift)
            self.file.device.truncate((self.appended.end + 1) << self.file.shift)
            space_clear_verified_from(&self.appended.space.space, self.appended.end)
        except OSError as error:
            self.poison_from(error)
            return
        if completed and not self.anonymous:
            try:
                self.sync_alone()
            except (OSError, CommitUncertainError):
                pass                               # the handle is poisoned; the error of the write is what is told

    @property
    def busy(self):
        """Is a transaction open?"""
        return self.owner is not None

    @property
    def durable(self):
        """Sequence of the newest record known durable."""
        return self.durable_sequence
