# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Order-preserving compaction. See `relocation.pxd`.

    old    page   2 | 3 c 5 6 | c 8 9 | c b c d ...        commit pages c; live: 5, 9, b, d; kept: the commits at c = 7 and c
    new           2 | C 5 9   | C b d                      the range of a kept record holds the live pages up to its end

The place of a record's new commit page is marked at the end of the kept record before it, where a commit page stood
that no tree refers to. So the new number of any page is its rank among the marked ones, commit pages included.

A later commit can need pages below `copied_end` that are not marked only when it restores a commit that is dropped, and
a tag or a snapshot can come to hold one: then ForgottenError says so, and it is begun again.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from cowtree.commit_state cimport CommitState, state_in
from cowtree.engine cimport Engine
from cowtree.layout cimport FIRST_RECORD_PAGE, PAGE_NUMBER, store64
from cowtree.replacement cimport Replacement
from cowtree.storage.commit_record cimport (
    FLAG_ADMINISTRATIVE, FLAG_COMPACTED, FLAG_EMBEDDED, FLAG_SPARSE, SKIP_POINTERS_MAX, CommitFields, CommitRecord,
    commit_set_embedded, decode_commit, encode_commit, next_fields, next_skip_pointers, parse_commit,
)
from cowtree.tree.cursor cimport TreeSource
from cowtree.tree.live_map cimport LiveMap, is_set, rank_of
from cowtree.page_mover cimport PageMover
from cowtree.tree.view cimport TreeView

from cowtree.errors import CorruptionError
from cowtree.replacement import commit_before, kept_records, young_records
from cowtree.states import catalogue_records, settings_of
from cowtree.storage.record_reader import RecordReader
from cowtree.tree.live_map import ForgottenError

# What young commits may add to what must be kept: a part of it, and a little.
cdef uint64_t YOUNG_PART = 8
cdef uint64_t YOUNG_BYTES = 1 << 20


class NotWorthwhileError(Exception):
    """Too little would be saved: what is kept fills most of the file."""


cdef class Relocation:
    """Into a new file beside the engine's. Belongs to one thread; `stop` is for others. OSError: there can be none."""

    def __cinit__(self, Engine engine not None):
        cdef CommitState newest = engine.newest()
        self.engine = engine
        self.page = <uint8_t*>calloc(2, engine.file.page_size)
        if self.page == NULL:
            raise MemoryError
        self.map = LiveMap()
        self.map.reserve(newest.end)
        for number in range(FIRST_RECORD_PAGE + 1):
            self.map.add(number)
        self.copied_end = FIRST_RECORD_PAGE + 1
        self.kept = set()
        self.mover = PageMover(engine.file, self.map, engine.path)
        self.mover.commit_pages[FIRST_RECORD_PAGE] = FIRST_RECORD_PAGE

    def __dealloc__(self):
        free(self.page)

    def stop(self):
        """Let what runs without the GIL end with StoppedError."""
        self.map.stopping = True

    def catch_up(self, worthwhile=None):
        """Copy what is new up to the newest published commit; how many pages of the old file that were.

        `worthwhile(needed pages, pages of the file)`: asked before anything is written; NotWorthwhileError.
        """
        cdef CommitState newest = self.engine.newest()
        cdef uint64_t before = self.copied_end
        if newest.end <= self.copied_end:
            return 0
        self.copy_round(newest, worthwhile)
        return newest.end - before

    def sync(self):
        """Sync what there is of the new file, so that little is left to sync under the lock."""
        if not self.engine.anonymous:
            self.replacement.target.device.sync_data()

    def discard(self):
        """Take the new file away, unless it is the database now. Idempotent."""
        if self.replacement is not None:
            self.replacement.discard()

    # -- a round ------------------------------------------------------------------------------------------------------

    cdef int copy_round(self, CommitState newest, object worthwhile) except -1:
        cdef Engine engine = self.engine
        cdef CommitRecord record
        cdef uint64_t end
        cdef dict chosen = {}
        history = settings_of(newest, engine.file.page_size, engine.path).history
        if self.kept and history != self.history:
            raise ForgottenError                   # it may keep more than before
        self.history = history
        self.map.reserve(newest.end)
        for record in kept_records(engine, newest, self.copied_end).values():
            if record.fields.page >= self.copied_end:
                chosen[record.fields.commit_id] = record
                self.mark(newest, record)
            elif record.fields.commit_id not in self.kept:
                raise ForgottenError
        if not newest.record.gives_id:             # tags, settings or a gap since the newest commit
            self.mark(newest, newest.record)
        if self.replacement is None:
            self.needed = self.map.count_all() + len(chosen)
            if worthwhile is not None and not worthwhile(self.needed, newest.end):
                raise NotWorthwhileError
            self.replacement = Replacement(engine)
            self.replacement.begin(newest)
            self.previous = self.replacement.first
            self.mover.target = self.replacement.target
        for record in young_records(
            engine, newest, self.copied_end, self.needed // YOUNG_PART + (YOUNG_BYTES >> engine.file.shift)
        ):
            if record.fields.commit_id not in chosen:
                chosen[record.fields.commit_id] = record
                self.mark(newest, record)
        order = []
        for commit_id in sorted(chosen):
            order.append(chosen[commit_id])
        if not newest.record.gives_id:
            order.append(newest.record)
        end = self.copied_end
        for record in order:
            self.map.add(end)
            end = record.fields.page + record.fields.page_count
        if end != newest.end:
            raise AssertionError("the newest record is always kept")
        self.map.settle(newest.end)
        for record in order:
            self.place(newest, record)
        return 0

    cdef int mark(self, CommitState newest, CommitRecord record) except -1:
        """Mark what a commit needs. Where its catalogue is marked, so are the trees."""
        cdef CommitState state = state_in(record, newest.space)
        cdef TreeView view = state.default_tree
        self.map.add_tree(&view, False, self.engine.path)
        view = state.catalogue
        if view.root == 0 or (view.root < self.map.capacity and is_set(self.map.live, view.root)):
            return 0
        self.map.add_tree(&view, True, self.engine.path)
        for _, fields in catalogue_records(state):
            view.level = fields[1]
            view.root = fields[5]
            view.entries = fields[6]
            view.offset = 0
            self.map.add_tree(&view, False, self.engine.path)
        return 0

    # -- a record -----------------------------------------------------------------------------------------------------

    cdef int place(self, CommitState newest, CommitRecord record) except -1:
        """Write the record of a kept commit, or an administrative one, behind the records that the new file has."""
        cdef CommitFields fields
        cdef const CommitFields* old = &record.fields
        cdef uint64_t skip[SKIP_POINTERS_MAX]
        cdef uint32_t skip_count
        cdef PageMover mover = self.mover
        cdef bytes note = record.note if record.gives_id else b""
        cdef uint8_t* page = self.page
        cdef uint32_t page_size = mover.target.page_size
        # What named trees have is what the totals say of the rest (I10).
        cdef uint64_t named_pages = (
            old.pages_appended - old.pages_retired - 3 - old.retired_pages - old.default_tree.pages - old.catalogue.pages
        )
        next_fields(self.previous, &fields)
        fields.commit_id = old.commit_id
        fields.nonce = old.nonce
        fields.commit_nonce = old.commit_nonce
        fields.time_ns = max(old.time_ns, fields.time_ns)
        fields.entries = old.entries
        fields.flags = FLAG_COMPACTED
        if not record.gives_id:
            fields.flags |= FLAG_ADMINISTRATIVE
        elif commit_before(
            RecordReader(self.engine.file, newest.space), record
        ).commit_id != self.previous.fields.commit_id:
            fields.flags |= FLAG_SPARSE
        fields.default_tree = old.default_tree
        fields.catalogue = old.catalogue
        self.copy_pages(record, &fields)
        skip_count = next_skip_pointers(self.previous, fields.commit_id, skip)
        fields.page_count = mover.writer.next_page - mover.writer.first_page
        fields.pages_appended += fields.page_count
        fields.pages_retired = fields.pages_appended - (
            3 + fields.default_tree.pages + fields.catalogue.pages + named_pages
        )
        memset(page, 0, page_size)
        if encode_commit(
            page, mover.target.usable_size, &fields, skip, skip_count, <const uint8_t*>PyBytes_AS_STRING(note),
            <uint32_t>PyBytes_GET_SIZE(note), NULL, 0,
        ) < 0:
            raise AssertionError("the parts of a commit page exceed it")
        if old.flags & FLAG_EMBEDDED:
            self.embed(record, &fields)
        mover.writer.finish(page)
        self.previous = parse_commit(page, page_size, fields.page, self.engine.path)
        self.copied_end = old.page + old.page_count
        self.kept.add(old.commit_id)
        return 0

    cdef int copy_pages(self, CommitRecord record, CommitFields* fields) except -1:
        """The pages of its range; then its trees lead to the copies."""
        cdef PageMover mover = self.mover
        if fields.page != rank_of(self.map, self.copied_end):
            raise AssertionError("a record does not begin where it was planned")
        mover.commit_pages[record.fields.page] = fields.page
        mover.writer.begin(mover.target, fields.page, fields.commit_id, fields.nonce)
        mover.move_range(self.copied_end + 1, record.fields.page + record.fields.page_count)
        return self.renumber_trees(record, fields)

    cdef int renumber_trees(self, CommitRecord record, CommitFields* fields) except -1:
        if fields.default_tree.root and not record.fields.flags & FLAG_EMBEDDED:
            fields.default_tree.root = rank_of(self.map, fields.default_tree.root)
        if fields.catalogue.root:
            fields.catalogue.root = rank_of(self.map, fields.catalogue.root)
        return 0

    cdef int embed(self, CommitRecord record, CommitFields* fields) except -1:
        """Repeat the root that is embedded in the old commit page, in the same place of the new one."""
        cdef PageMover mover = self.mover
        cdef uint32_t page_size = mover.target.page_size, offset = record.fields.embedded_offset
        cdef uint8_t* old = self.page + page_size
        cdef uint8_t* image = self.page + offset
        cdef uint64_t number = record.fields.page
        mover.read_page(number, old)
        decode_commit(
            old, page_size, number, self.engine.file.uuid_bytes, self.engine.file.generation, self.engine.path
        )
        memcpy(image, old + offset, mover.target.usable_size - offset)
        if mover.renumber(
            image, mover.target.usable_size - offset, record.fields.page + record.fields.page_count
        ) < 0:
            raise CorruptionError("not a sound root", path=self.engine.path, page=number)
        store64(image + PAGE_NUMBER, fields.page)
        commit_set_embedded(self.page, offset, &fields.default_tree)
        return 0

    # -- the end ------------------------------------------------------------------------------------------------------

    cdef int finish(self, double seconds, TreeSource watch) except -1:
        """Become the writer within `seconds`, copy what is left and hand over. LockTimeoutError: it may be tried again.

        SupersededError: another process was faster. What `watch` raises ends the wait.
        """
        cdef Engine engine = self.engine
        cdef CommitState newest
        cdef CommitRecord tip
        engine.begin_write(seconds, watch)
        try:
            if not engine.anonymous:
                engine.require_same_file()
            newest = engine.appended
            engine.await_published(newest)
            if newest.end > self.copied_end:
                self.copy_round(newest, None)
            elif set(kept_records(engine, newest, self.copied_end)) - self.kept:
                raise ForgottenError
            tip = self.replacement.seal(self.previous)
            self.sync()
            watch.check_open()
            self.replacement.hand_over(newest, tip.fields.page + tip.fields.page_count)
        finally:
            engine.finish_write()
        return 0
