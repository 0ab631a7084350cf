# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""What is kept, and the hand-over. See `replacement.pxd`.

Hand-over (DESIGN D9): the new file is whole and synced, and its lock is held; the old one is marked as superseded, which
means "look at the path"; rename; directory sync. A process that dies between any two steps leaves one whole file at the
path, and at most a temporary file, which the next holder of the compacting byte removes. Readers keep the old file's
pages through their snapshots.
"""

import errno
import os
import time
from datetime import timedelta

from libc.stdint cimport int64_t, uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.snapshot cimport pinned_ids
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.storage.file_lock cimport same_file
from cowtree.storage.page_file cimport PageFile

from cowtree.history import record_of_tag
from cowtree.states import settings_of, tags_in
from cowtree.storage.chain import commit_of_id, commits_before
from cowtree.storage.checkpoint import CLEAN, SUPERSEDED, VOLATILE, read_checkpoint, write_checkpoint
from cowtree.storage.creation import remove_temporaries, write_empty_database
from cowtree.storage.devices import open_device
from cowtree.storage.file_lock import FileLock
from cowtree.storage.file_system import FileSystem
from cowtree.storage.page_file import anonymous_descriptor
from cowtree.storage.plain_records import write_gap
from cowtree.storage.record_reader import RecordReader

# Commits younger than this stay for who holds their id only: a pickled snapshot on its way, a feed's position.
cdef uint64_t YOUNG_NS = 60000000000


# ------------------------------------------------------------------------------------------------------- what is kept

def kept_records(Engine engine not None, CommitState newest not None, uint64_t since=0):
    """The commits that are kept, by id, without the empty state: see `Database.compact`.

    Of those that only `history` keeps, the ones whose commit page is not below page `since`.
    """
    reader = RecordReader(engine.file, newest.space)
    kept = {}
    history = settings_of(newest, engine.file.page_size, engine.path).history
    cutoff = None
    if isinstance(history, timedelta):
        cutoff = time.time_ns() - history // timedelta(microseconds=1) * 1000
    for count, record in enumerate(commits_before(reader, newest.record)):
        if count and (
            record.page < since
            or not (record.time_ns >= cutoff if cutoff is not None else count < (history or 0))
        ):
            break
        kept[record.commit_id] = record
    for name, tag in tags_in(newest, engine.path).items():
        kept[tag.commit_id] = record_of_tag(reader, name, tag)
    for commit_id in pinned_ids(engine.pins):
        record = commit_of_id(reader, newest.record, commit_id)
        if record is not None:
            kept[commit_id] = record
    kept.pop(0, None)
    return kept


def young_records(Engine engine not None, CommitState newest not None, uint64_t since, uint64_t pages):
    """The newest commits of the last minute, from page `since` on, as far as they need at most `pages` pages more."""
    cdef int64_t extra
    cutoff = time.time_ns() - YOUNG_NS
    found = []
    for record in commits_before(RecordReader(engine.file, newest.space), newest.record):
        extra = newest.record.fields.pages_retired - (<CommitRecord>record).fields.pages_retired
        if record.page < since or record.time_ns < cutoff or not 0 <= extra <= <int64_t>pages or not record.commit_id:
            break
        found.append(record)
    return found


def commit_before(reader, record):
    """The commit that came before another."""
    before = iter(commits_before(reader, record))
    next(before)
    return next(before)


# ------------------------------------------------------------------------------------------------------- the new file

cdef class Replacement:
    """See `replacement.pxd`."""

    def __init__(self, Engine engine not None):
        self.engine = engine
        self.system = FileSystem()

    cdef int begin(self, CommitState newest) except -1:
        cdef Engine engine = self.engine
        first = RecordReader(engine.file, newest.space).read_commit(2)
        device = open_device(anonymous_descriptor() if engine.anonymous else self.open_temporary())
        try:
            write_empty_database(
                device, engine.file.page_size, uuid=engine.file.uuid, nonce=first.nonce, time_ns=first.time_ns
            )
            self.target = PageFile(device, engine.path, anonymous=engine.anonymous)
            self.first = RecordReader(self.target, self.target.space(3)).read_commit(2)
        except BaseException:
            device.close()
            self.discard()
            raise
        return 0

    def open_temporary(self):
        """The descriptor of a new file beside the old one, with its mode and owner. OSError: it could not replace it."""
        path = os.path.realpath(self.engine.path)
        status = os.stat(path)
        if status.st_nlink > 1:
            raise OSError(errno.EMLINK, "a file with several names cannot be replaced under all of them", path)
        descriptor, temporary = self.system.create_temporary(path, 0o600)
        self.path = path
        self.temporary = temporary
        try:
            os.fchmod(descriptor, status.st_mode & 0o7777)
            try:
                os.fchown(descriptor, status.st_uid, status.st_gid)
            except PermissionError:
                pass
        except BaseException:
            os.close(descriptor)
            self.discard()
            raise
        return descriptor

    def discard(self):
        """Take the file away, unless it has become the database. Idempotent."""
        temporary = self.temporary
        self.temporary = None
        if temporary is not None:
            try:
                self.system.unlink(temporary)
            except OSError:
                pass
        if self.target is not None and self.engine.successor is None:
            self.target.close()

    cdef CommitRecord seal(self, CommitRecord tip):
        cdef PageFile target = self.target
        cdef uint64_t end = tip.fields.page + tip.fields.page_count
        target.device.set_size((end + 1) << target.shift)
        if self.engine.next_commit_id > tip.fields.commit_id + 1:
            # Ids below it may have been published and lost: they stay taken.
            tip = write_gap(target, tip, end + 1, self.engine.next_commit_id, 0)
            target.device.set_size((end + 2) << target.shift)
        write_checkpoint(
            target.device, target.page_size, target.generation, record=tip, boot_id=self.engine.boot, flags=CLEAN,
            sync=False,
        )
        return tip

    cdef int hand_over(self, CommitState newest, uint64_t end) except -1:
        cdef Engine engine = self.engine
        engine.pins.turn_owed = engine.writers_waiting > 0
        engine.pins.turn_owed_elsewhere = engine.lock is not None and engine.lock.others_waiting()
        engine.pins.handed_over_end = end
        if not engine.anonymous:
            return self.hand_over_path(newest, end)
        successor = Engine(self.target, None, None, engine.boot, True)
        successor.handles = 1
        engine.succeed(successor)
        return 0

    cdef int hand_over_path(self, CommitState newest, uint64_t end) except -1:
        cdef Engine engine = self.engine
        engine.require_same_file()
        engine.await_published(newest)
        # Before it has a name that others know: nobody writes to it until all steps are done.
        lock = FileLock(self.temporary)
        try:
            lock.try_acquire()
            lock.publish(end)
            self.supersede(newest)
            self.system.rename(self.temporary, self.path)
            self.temporary = None
            engine.succeed(None)
            self.system.sync_directory(self.path)
            engine.events.append(("info", f"{engine.path}: compacted, {newest.end << engine.file.shift:,} to {end << engine.file.shift:,} bytes"))
        finally:
            lock.close()
        return 0

    cdef int supersede(self, CommitState newest) except -1:
        """Make whoever looks for news in the old file look at the path instead.

        Nothing of this need be durable: it is for processes that live, and after a crash the path alone counts. So the
        slot goes on to name the record that it names, and says what it says of unsynced ones.
        """
        cdef Engine engine = self.engine
        device, page_size, generation = engine.file.device, engine.file.page_size, engine.file.generation
        slot = read_checkpoint(device, page_size, generation)
        if slot is None:
            engine.sync()
            write_checkpoint(
                device, page_size, generation, record=newest.record, boot_id=engine.boot, flags=SUPERSEDED, sync=False
            )
        else:
            write_checkpoint(
                device, page_size, generation, like=slot, boot_id=slot.boot_id,
                flags=SUPERSEDED | (slot.flags & VOLATILE), volatile_bound=slot.volatile_bound,
                volatile_id_bound=slot.volatile_id_bound, sync=False, newest=slot,
            )
        # Readers of other processes look here for a new commit: what they find makes them look at page 1, then at the path.
        device.write_bytes(newest.end * page_size, b"\x01".ljust(page_size, b"\0"))
        engine.trusted_tail = False
        return 0


cdef bint claim_compacting(Engine engine) except -1:
    if engine.anonymous:
        return True
    if not engine.lock.try_compacting():
        return False
    # Whoever made them is dead: the compacting byte is ours. That of another file at the path is another's.
    if same_file(engine.path_bytes, engine.dev, engine.ino):
        remove_temporaries(os.path.realpath(engine.path))
    return True


cdef int release_compacting(Engine engine) except -1:
    if engine.lock is not None:
        try:
            engine.lock.release_compacting()
        except (OSError, ValueError):
            pass                                   # closed, and with it given up
    return 0
