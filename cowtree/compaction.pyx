# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Compaction under the writer lock: see `compaction.pxd`.

    lock ──> which commits are kept ──> copy them, oldest first, into a new file ──> sync ──> hand over (`replacement`)

Each kept commit becomes a record of the new file with its own id, nonce, time and note; between them is what the next
needs and the ones before do not have. Trees are copied depth first, so that pages stand in the order of their keys.
"""

import os
import time

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from cowtree.database cimport Database
from cowtree.commit_state cimport CommitState, state_in
from cowtree.engine cimport Engine
from cowtree.layout cimport ENTRY_RUN, FIRST_RECORD_PAGE, load64, store64
from cowtree.pages.branch cimport branch_child, branch_set_child
from cowtree.pages.leaf cimport Entry, entry_count, leaf_entry
from cowtree.renumbering cimport Renumbering
from cowtree.replacement cimport Replacement, claim_compacting, release_compacting
from cowtree.storage.commit_record cimport (
    FLAG_ADMINISTRATIVE, FLAG_COMPACTED, FLAG_SPARSE, SKIP_POINTERS_MAX, CommitFields, CommitRecord, TreeReference,
    decode_commit, encode_commit, next_fields, next_skip_pointers,
)
from cowtree.storage.page_file cimport PageFile
from cowtree.storage.range_writer cimport RangeWriter
from cowtree.succession cimport Pins
from cowtree.tree.cursor cimport raise_status, value_bytes
from cowtree.tree.editor cimport copy_page, editor_begin, editor_init, editor_release

from cowtree.errors import ReadOnlyError
from cowtree.replacement import commit_before, kept_records
from cowtree.storage.record_reader import RecordReader
from cowtree.succession import SupersededError

cdef uint64_t FLUSH_BYTES = 1 << 22
# A writer that does not come within this time waits for something else, or has ended without a word.
TURN_SECONDS = 5.0


cdef class Rewriter(Renumbering):
    """See `compaction.pxd`."""

    def __cinit__(self, PageFile target not None, CommitState newest not None, object meter):
        self.target = target
        self.meter = meter
        self.limit = newest.end
        self.writer = RangeWriter()
        self.commit_pages = {FIRST_RECORD_PAGE: FIRST_RECORD_PAGE}     # the empty state is in every file
        self.pending = []
        self.numbers = <uint64_t*>calloc(newest.end, sizeof(uint64_t))
        self.commit_page = <uint8_t*>calloc(1, target.page_size)
        if self.numbers == NULL or self.commit_page == NULL:
            raise MemoryError
        editor_init(&self.editor, &newest.space.space)
        self.ready = True

    def __dealloc__(self):
        if self.ready:
            editor_release(&self.editor)
        free(self.numbers)
        free(self.commit_page)

    cdef int hold(self, object thing, uint64_t size) except -1:
        """Keep what the writer has queued until it is written; write when it is much."""
        self.pending.append(thing)
        self.pending_bytes += size
        self.copied += (size + self.target.page_size - 1) // self.target.page_size
        if self.pending_bytes >= FLUSH_BYTES:
            self.writer.flush()
            self.pending.clear()
            self.pending_bytes = 0
            self.meter.advance(self.copied * self.target.page_size)
        return 0

    cdef uint64_t copy_subtree(
        self, uint64_t number, uint64_t level, uint64_t offset, uint64_t limit, bint catalogue
    ) except 0:
        """Copy a page and what is below it; its new number. The page is verified and validated before."""
        cdef bytearray image
        cdef uint8_t* page
        cdef uint64_t copy = 0, child
        cdef uint32_t slot
        if number >= limit:
            raise_status(self.path, number, -1)
        if self.numbers[number] and not offset:
            return self.numbers[number]
        image = bytearray(self.target.page_size)
        page = <uint8_t*>PyByteArray_AS_STRING(image)
        if copy_page(&self.editor, number, <uint32_t>level, <uint32_t>offset, limit if offset else number, page) < 0:
            raise_status(self.path, self.editor.failed_page, self.editor.status)
        if level:
            for slot in range(entry_count(page)):
                child = self.copy_subtree(
                    branch_child(page, slot), level - 1, 0, limit if offset else number, catalogue
                )
                branch_set_child(page, slot, child)
        else:
            self.copy_values(page)
            if catalogue:
                self.renumber_records(page, self.target.usable_size, number)
        self.writer.add_page(page, &copy)
        if not offset:
            self.numbers[number] = copy
        self.hold(image, self.target.page_size)
        return copy

    cdef int copy_values(self, uint8_t* page) except -1:
        """Copy the runs that a leaf in private memory refers to, and refer to the copies."""
        cdef Entry entry
        cdef bytes value
        cdef uint64_t old, copy = 0
        cdef uint32_t slot
        for slot in range(entry_count(page)):
            leaf_entry(page, self.target.usable_size, slot, &entry)
            if entry.kind != ENTRY_RUN:
                continue
            old = load64(entry.value)
            if old >= self.limit:
                raise_status(self.path, old, -1)
            copy = self.numbers[old]
            if not copy:
                value = value_bytes(&self.source.default_tree, &entry, False, self.path)
                self.writer.add_run(
                    <const uint8_t*>PyBytes_AS_STRING(value), <uint64_t>PyBytes_GET_SIZE(value), &copy
                )
                self.numbers[old] = copy
                self.hold(value, <uint64_t>PyBytes_GET_SIZE(value))
            store64(<uint8_t*>entry.value, copy)
        return 0

    cdef uint64_t new_root(self, uint64_t root, uint32_t level, uint64_t limit) except 0:
        return self.copy_subtree(root, level, 0, limit, False)

    cdef int copy_tree(self, TreeReference* tree, uint64_t offset, bint catalogue) except -1:
        """Copy a whole tree; its reference then leads to the copy. An embedded root becomes a page of its own."""
        if tree.root == 0:
            return 0
        tree.root = self.copy_subtree(tree.root, tree.level, offset, self.source.end, catalogue)
        if offset:
            tree.pages += 1
        return 0

    cdef CommitRecord copy_state(self, CommitState state, CommitRecord previous, bint sparse):
        """Write the record of a kept state behind `previous`. `sparse`: commits between the two are dropped."""
        cdef CommitFields fields
        cdef const CommitFields* old = &state.record.fields
        cdef uint64_t skip[SKIP_POINTERS_MAX]
        cdef uint32_t skip_count
        cdef uint64_t named_pages
        cdef bytes note = state.record.note if state.record.gives_id else b""
        cdef uint8_t* page = self.commit_page
        self.source = state
        next_fields(previous, &fields)
        fields.commit_id = old.commit_id
        fields.nonce = old.nonce
        fields.commit_nonce = old.commit_nonce
        fields.time_ns = max(old.time_ns, fields.time_ns)
        fields.entries = old.entries
        fields.flags = FLAG_COMPACTED | (FLAG_SPARSE if sparse else 0)
        if not state.record.gives_id:
            fields.flags |= FLAG_ADMINISTRATIVE
        fields.default_tree = old.default_tree
        fields.catalogue = old.catalogue
        self.commit_pages[old.page] = fields.page
        self.writer.begin(self.target, fields.page, fields.commit_id, fields.nonce)
        editor_begin(&self.editor, &state.space.space, state.end, fields.commit_id)
        named_pages = (
            old.pages_appended - old.pages_retired - 3 - old.retired_pages - old.default_tree.pages
            - old.catalogue.pages
        )
        self.copy_tree(&fields.default_tree, state.default_tree.offset, False)
        self.copy_tree(&fields.catalogue, 0, True)
        skip_count = next_skip_pointers(previous, fields.commit_id, skip)
        fields.page_count = self.writer.next_page - self.writer.first_page
        fields.pages_appended += fields.page_count
        fields.pages_retired = fields.pages_appended - (
            3 + fields.default_tree.pages + fields.catalogue.pages + named_pages
        )
        memset(page, 0, self.target.page_size)
        if encode_commit(
            page, self.target.usable_size, &fields, skip, skip_count, <const uint8_t*>PyBytes_AS_STRING(note),
            <uint32_t>PyBytes_GET_SIZE(note), NULL, 0,
        ) < 0:
            raise AssertionError("the parts of a commit page exceed it")
        self.writer.finish(page)
        self.pending.clear()
        self.pending_bytes = 0
        return decode_commit(
            page, self.target.page_size, fields.page, self.target.uuid_bytes, self.target.generation, self.path
        )


class Progress:
    """Passes on at most ten calls a second."""

    def __init__(self, progress):
        self.progress = progress
        self.next_call = 0.0

    def advance(self, done):
        """`done` bytes are written."""
        if self.progress is not None:
            now = time.monotonic()
            if now >= self.next_call:
                self.next_call = now + 0.125
                self.progress(done, None)

    def finish(self, done):
        """The last call."""
        if self.progress is not None:
            self.progress(done, done)


cdef CommitRecord write_states(Engine engine, CommitState newest, Replacement replacement, object meter):
    """Write every kept state behind the empty one of a new file, and seal it; the new tip."""
    cdef PageFile target = replacement.target
    cdef CommitRecord previous = replacement.first
    cdef Rewriter rewriter = Rewriter(target, newest, meter)
    reader = RecordReader(engine.file, newest.space)
    rewriter.path = engine.path
    kept = kept_records(engine, newest)
    for commit_id in sorted(kept):
        record = kept[commit_id]
        before = commit_before(reader, record)
        previous = rewriter.copy_state(
            state_in(record, newest.space), previous, before.commit_id != previous.fields.commit_id
        )
    if not newest.record.gives_id:
        # Tags and settings since the newest commit.
        previous = rewriter.copy_state(newest, previous, False)
    previous = replacement.seal(previous)
    meter.finish(previous.end_page << target.shift)
    return previous


class Foreground:
    """Says that `compact()` runs, so that none is begun in the background."""

    own = False

    def stop(self, seconds=0):
        """It stops by itself."""


def compact(Database database not None, progress):
    """See `Database.compact`."""
    # The last reference to the file before: to free a large one takes long, and is done without the GIL.
    os.close(compact_database(database, progress))


cdef object compact_database(Database database, object progress):
    """A descriptor of the file that was compacted."""
    cdef Engine engine
    while True:
        engine = database.live()
        if database.readonly:
            raise ReadOnlyError(f"{database.path}: the database is open read-only")
        try:
            give_turn(engine, database)
            engine.begin_write(database.timeout, database)
            break
        except SupersededError:
            continue
    try:
        # To its end: what is left of it would give up the compacting byte in the middle of this.
        engine.stop_compaction(None)
        engine.compactor = Foreground()
        descriptor = os.dup(engine.file.device.fd)
        try:
            compact_engine(engine, progress)
        except BaseException:
            os.close(descriptor)
            raise
    finally:
        engine.compactor = None
        engine.finish_write()
    engine.pass_on()
    engine.tell()
    return descriptor


cdef int give_turn(Engine engine, Database database) except -1:
    """Who has waited during the compaction before, in any process, writes first: it has yet to find the new file.

    One compaction after another would else let nobody write.
    """
    cdef Pins pins = engine.pins
    patience = time.monotonic() + TURN_SECONDS
    while pins.turn_owed or pins.turn_owed_elsewhere and engine.newest().end == pins.handed_over_end:
        if time.monotonic() > patience:
            break
        time.sleep(0.0005)
        database.check_open()
    pins.turn_owed = pins.turn_owed_elsewhere = False
    return 0


cdef int compact_engine(Engine engine, object progress) except -1:
    """With the writer mutex and lock."""
    cdef CommitState newest
    cdef CommitRecord tip
    cdef Replacement replacement
    claimed = claim_compacting(engine)             # not: another process is at it, and will find that it comes too late
    try:
        if not engine.anonymous:
            engine.require_same_file()
        newest = engine.appended
        replacement = Replacement(engine)
        try:
            replacement.begin(newest)
            tip = write_states(engine, newest, replacement, Progress(progress))
            if not engine.anonymous:
                replacement.target.device.sync_data()
            replacement.hand_over(newest, tip.end_page)
        finally:
            replacement.discard()
    finally:
        if claimed:
            release_compacting(engine)
    return 0
