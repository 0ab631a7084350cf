# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Compaction by itself (DESIGN D9): when it is due, the thread that does it, and how the writer is slowed meanwhile.

    commit ──> due? ──> Worker: mark, copy, catch up in rounds ──> hand over        the file before goes on until then
                                                                                    and for ever, if it cannot be done

A writer is never stopped. From the second round on, or close to the hard bound, it sleeps after a commit for as long as
copying the commit's pages takes, twice: so each round is at most half of the one before.
"""

import atexit
import errno
import os
import signal
import threading
import time
import weakref

from libc.stdint cimport uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.relocation cimport Relocation
from cowtree.replacement cimport claim_compacting, release_compacting
from cowtree.storage.commit_record cimport CommitFields
from cowtree.tree.cursor cimport TreeSource

from cowtree.errors import ClosedError, LockTimeoutError
from cowtree.relocation import NotWorthwhileError
from cowtree.states import settings_of
from cowtree.succession import SupersededError
from cowtree.tree.live_map import ForgottenError, StoppedError

GROWN_BYTES = 16 << 20
"""No smaller file is compacted by itself."""

# The hard bound is this many times what is needed, and GROWN_BYTES.
cdef uint64_t BOUND_RATIO = 3
# Less than a third saved is not worth the copying.
SAVED_RATIO = 1.5
cdef uint64_t PACE_NS_MAX = 200000                 # a page
# What the writer sleeps for a page at the hard bound is PACE_NS_MAX * BRAKE / 8: it writes a few megabytes a second then.
cdef uint64_t BRAKE = 32
cdef uint64_t SLEEP_NS_MIN = 1000000
cdef uint64_t SLEEP_NS_MAX = 40000000
cdef uint64_t LARGE_NS = 40000                     # and for each page of the commit
# A last round of so many bytes is short enough to be done under the lock, and as much longer as nothing helps.
cdef uint64_t LAST_ROUND_BYTES = 1 << 20
cdef int ROUNDS_MAX = 24
cdef int TRIES_MAX = 3
LOCK_SECONDS = 0.25
LAST_SECONDS = 1.0

_workers = weakref.WeakSet()


# ------------------------------------------------------------------------------------------------------------ when due

def after_commit(Engine engine not None, CommitState state not None):
    """A commit was acknowledged: compact if it is time to, or pay for the compaction that runs. Raises nothing."""
    cdef uint64_t end = state.end
    try:
        worker = engine.compactor
        if worker is None:
            if not due(engine, state):
                return
            worker = Worker(engine)
            engine.compactor = worker
            worker.start()
        if engine.pace_ns or end > brake_at(engine):
            pace(engine, state, worker)
    except KeyboardInterrupt:
        signal.raise_signal(signal.SIGINT)         # the commit stands: let Ctrl-C come after it
    except Exception as error:
        report(engine, error, end)


cdef bint due(Engine engine, CommitState state) except -1:
    """Is the file too large for what is in it? If not: from when on to ask again."""
    cdef const CommitFields* fields = &state.record.fields
    cdef uint64_t live = fields.pages_appended - fields.pages_retired
    cdef uint64_t floor = <uint64_t>GROWN_BYTES >> engine.file.shift
    if engine.readonly or engine.closed or engine.superseded or engine.doomed():
        return False
    ratio = settings_of(state, engine.file.page_size, engine.path).auto_compact
    engine.shrunk_to = 0
    if ratio is None:
        engine.grown_at = state.end + floor        # another process may set it
        return False
    engine.bound = BOUND_RATIO * live + floor
    threshold = max(floor, int(max(ratio, SAVED_RATIO) * live))
    if state.end <= threshold:
        engine.grown_at = threshold + 1
        if state.end > floor:
            engine.shrunk_to = int(state.end / max(ratio, SAVED_RATIO))
        return False
    if not engine.anonymous and state.space.space.mirrored:
        report(
            engine, "it is open with mmap=False: compact() does it, or a process that maps it", state.end
        )
        return False
    return True


cdef uint64_t brake_at(Engine engine) noexcept:
    """Behind this page the writer is slowed although the compaction is in its first round."""
    return engine.bound - engine.bound // 8


cdef object pace(Engine engine, CommitState state, worker):
    """Slow the writer in proportion to what it writes, and close to the hard bound the more, the closer it is.

    At most until the worker has ended. Small commits sleep SLEEP_NS_MAX at most, large ones in proportion too.
    """
    cdef uint64_t pages = state.record.fields.page_count, brake = brake_at(engine)
    cdef uint64_t debt, pace_ns = engine.pace_ns if engine.pace_ns else PACE_NS_MAX // 8
    if state.end > brake:
        pace_ns += PACE_NS_MAX * BRAKE * (state.end - brake) // (engine.bound + 1)
    engine.pace_debt_ns += pages * pace_ns
    if engine.pace_debt_ns >= SLEEP_NS_MIN:
        debt = min(engine.pace_debt_ns, SLEEP_NS_MAX + pages * LARGE_NS)
        engine.pace_debt_ns = 0
        worker.done.wait(debt / 1e9)


cdef object report(Engine engine, object problem, uint64_t end):
    """It cannot be done: say so once, and try again when the file has doubled, or after other settings."""
    text = str(problem) if isinstance(problem, (str, OSError)) else f"{type(problem).__name__}: {problem}"
    known = engine.compaction_problem
    engine.compaction_problem = text
    engine.grown_at = 2 * end
    engine.shrunk_to = 0
    if known != text:
        engine.events.append(("warning", f"{engine.path}: it is not compacted automatically: {text}"))
        engine.tell()


# ---------------------------------------------------------------------------------------------------------- the worker

cdef class Watch(TreeSource):
    """Ends the wait for the lock when the worker is to stop."""

    cdef int check_open(self) except -1:
        if self.ended:
            raise StoppedError
        return 0


class Worker:
    """Compacts one file once, in a thread of its own that ends with it."""

    def __init__(self, engine):
        self.engine = engine
        self.relocation = None
        self.stopped = False
        self.shut_down = False
        self.handed_over = False
        self.old_descriptor = -1                   # of the file before, once it is handed over
        self.watch = Watch()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, name="cowtree-compaction", daemon=True)

    def start(self):
        """Begin. RuntimeError where no thread can be started."""
        _workers.add(self)
        try:
            self.thread.start()
        except BaseException:
            self.engine.compactor = None
            raise

    @property
    def own(self):
        """Does this thread ask, from a collection say?"""
        return self.thread is threading.current_thread()

    def stop(self, seconds=0.1):
        """Ask it to stop and wait so long for that (None: to the end); what is left of it then touches nothing that others use."""
        self.stopped = True
        (<Watch>self.watch).ended = True
        relocation = self.relocation
        if relocation is not None:
            relocation.stop()
        if not self.own:
            self.done.wait(seconds)

    def run(self):
        """The thread."""
        engine = self.engine
        end = (<Engine>engine).published.end
        try:
            self.compact()
            (<Engine>engine).compaction_problem = None
            (<Engine>engine).tell()
        except (StoppedError, SupersededError, ClosedError, NotWorthwhileError):
            pass
        except BaseException as error:
            # Where another process has compacted the file meanwhile, it may have taken what was made here for debris.
            if not self.stopped and not engine.find_successor():
                report(engine, error, end)
        finally:
            (<Engine>engine).pace_ns = 0
            (<Engine>engine).compactor = None
            self.relocation = None
            self.done.set()
            # Who waits for the end may keep others from the lock of the registry, which this takes.
            if self.handed_over and not self.stopped:
                engine.pass_on()
            if self.shut_down:
                engine.shutdown()
            if self.old_descriptor >= 0:
                mapping = weakref.ref((<Engine>engine).published.space)
                engine = self.engine = None
                close_last(self.old_descriptor, mapping)

    def compact(self):
        """Claim the file, and begin again where the past that is kept has changed."""
        cdef Engine engine = self.engine
        cdef int attempt
        try:
            claimed = claim_compacting(engine)
        except ValueError:                         # its lock is closed
            raise StoppedError from None
        if not claimed:                            # another process does it
            engine.grown_at = engine.published.end + (<uint64_t>GROWN_BYTES >> engine.file.shift) // 4
            engine.shrunk_to = 0
            return
        try:
            for attempt in range(TRIES_MAX):
                try:
                    self.relocate()
                    return
                except ForgottenError:
                    if attempt + 1 == TRIES_MAX:
                        raise OSError(errno.EBUSY, "the commits that are kept change all the time", engine.path) from None
        finally:
            release_compacting(engine)

    def relocate(self):
        """Copy, catch up, hand over."""
        cdef Engine engine = self.engine
        cdef Relocation relocation = Relocation(engine)
        self.relocation = relocation
        try:
            self.check()
            began = time.monotonic_ns()
            relocation.catch_up(self.worthwhile)
            spent = time.monotonic_ns() - began
            engine.pace_ns = min(PACE_NS_MAX, max(1000, 2 * spent // max(1, relocation.copied_end)))
            self.catch_up(relocation)
            self.finish(relocation)
        finally:
            self.relocation = None
            relocation.discard()

    def check(self):
        """StoppedError, if another thread asked for it before there was a relocation to stop."""
        if self.stopped:
            raise StoppedError

    def worthwhile(self, needed, pages):
        """Is a third or more saved, and the ratio exceeded, by what is really needed? If not, it is due later."""
        cdef Engine engine = self.engine
        cdef CommitState newest = engine.published
        floor = GROWN_BYTES >> engine.file.shift
        ratio = settings_of(newest, engine.file.page_size, engine.path).auto_compact
        if ratio is None:
            return False
        threshold = max(floor, int(max(ratio, SAVED_RATIO) * needed))
        engine.bound = BOUND_RATIO * needed + floor
        if pages > threshold:
            return True
        engine.grown_at = threshold + 1
        engine.shrunk_to = newest.record.live_pages // 2
        return False

    def catch_up(self, relocation):
        """Rounds until little is left; one more after a sync, which takes a while."""
        cdef Engine engine = self.engine
        cdef uint64_t last = LAST_ROUND_BYTES >> engine.file.shift
        cdef int _
        synced = False
        for _ in range(ROUNDS_MAX):
            self.check()
            copied = relocation.catch_up()
            if copied <= last:
                if synced:
                    return
                relocation.sync()
                synced = True
            else:
                engine.pace_ns = min(PACE_NS_MAX, engine.pace_ns + engine.pace_ns // 2)

    def finish(self, relocation):
        """Hand over as soon as nobody writes."""
        while True:
            self.check()
            try:
                (<Relocation>relocation).finish(LOCK_SECONDS, <Watch>self.watch)
                self.handed_over = True
                self.old_descriptor = (<Relocation>relocation).mover.give_descriptor()
                return
            except LockTimeoutError:
                relocation.catch_up()              # a long transaction: stay close behind it


def close_last(descriptor, mapping):
    """Close the file before, after those who read it just now: who has the last reference to a large file frees it, which
    takes long. Here it takes nobody's time, as `os.close` gives up the GIL.
    """
    deadline = time.monotonic() + LAST_SECONDS
    while mapping() is not None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.close(descriptor)


# ------------------------------------------------------------------------------------------- the ends of a process

def _stop_all():
    """Before a fork, and at the exit of the interpreter."""
    for worker in list(_workers):
        worker.stop()


def _forget_all():
    """A forked child has none of the threads."""
    _workers.clear()


atexit.register(_stop_all)
os.register_at_fork(before=_stop_all, after_in_child=_forget_all)
