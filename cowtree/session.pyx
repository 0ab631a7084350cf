# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Write sessions. See `session.pxd`.

    begin_session ── put, delete, ... ──> commit: number and write pages, commit page, append ──> ended
                          │    ^
                          └ spill: over the memory budget, finished subtrees are written early
"""

import time

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memset

from cowtree.layout cimport load64, store64
from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.changes cimport Changes, tree_record
from cowtree.pages.leaf cimport FOUND
from cowtree.storage.commit_record cimport (
    FLAG_ADMINISTRATIVE, FLAG_PRESYNCED, FLAG_RESTORED, FLAG_SPARSE, FLAG_UNSYNCED, SKIP_POINTERS_MAX, CommitFields, CommitRecord,
    TreeReference, commit_embedded_offset, commit_set_embedded, encode_commit, next_fields,
    next_skip_pointers, parse_commit,
)
from cowtree.storage.file_lock cimport fork_generation
from cowtree.storage.range_writer cimport RangeWriter
from cowtree.storage.retired_list cimport RetiredEncoder, RetiredItem
from cowtree.session_trees cimport WriteTree, Workspace
from cowtree.states cimport catalogue_key, catalogue_value, named_record, tree_record_reference
from cowtree.tree_codecs cimport record_codecs
from cowtree.tree.cursor cimport MODE_VALUES, TreeSource, raise_status, range_iterator
from cowtree.tree.dirty_pages cimport arena_clear
from cowtree.tree.editor cimport Editor, Tree, editor_begin, order_spares, own_root, retire_spares
from cowtree.tree.flush cimport embed_root, flush_children, flush_tree
from cowtree.tree.pack cimport pack_tree
from cowtree.tree.rebalance cimport clear_tree
from cowtree.tree.search cimport Path
from cowtree.tree.view cimport DIRTY

from cowtree.catalogue import TAG, TREE, Tag, pack_tag
from cowtree.options import ALL
from cowtree.states import catalogue_records, record_giving
from cowtree.storage.record_reader import RecordReader

cdef uint64_t PRESYNC_BYTES = 16 << 20


cdef int order_retired(const void* a, const void* b) noexcept nogil:
    cdef uint64_t left = (<const RetiredItem*>a).page, right = (<const RetiredItem*>b).page
    return <int>(left > right) - <int>(left < right)


cdef Session begin_session(Engine engine, object timeout, uint64_t write_memory, TreeSource handle):
    """Begin to write: waits for the lock; builds on the newest appended commit."""
    cdef Session session
    cdef CommitState base
    cdef uint64_t commit_id
    engine.begin_write(timeout, handle)
    try:
        session = Session.__new__(Session)
        base = engine.appended
        session.engine = engine
        session.base = base
        session.space = base.space
        session.work = <Workspace>engine.spare if engine.spare is not None else Workspace()
        engine.spare = None
        session.work.prepare(&base.space.space)
        commit_id = engine.next_commit_id if engine.next_commit_id else base.record.fields.commit_id + 1
        session.commit_id = commit_id
        editor_begin(&session.work.editor, &base.space.space, base.end, commit_id)
        session.default_tree = session.make_tree(None, &base.record.fields.default_tree)
        session.default_tree.tree.offset = base.default_tree.offset
        session.catalogue = session.make_tree(None, &base.record.fields.catalogue)
        session.trees = {}
        session.write_memory = write_memory
        session.active = True
        session.savepoints = []
        session.own_tags = set()
        engine.tell()
    except BaseException:
        engine.finish_write()
        raise
    return session


cdef class Session(Changes):
    """See `session.pxd`."""

    cdef uint64_t commit(self, bint durable, bytes note) except? 0xFFFFFFFFFFFFFFFF:
        """Write the commit and end; its id, or the base's if nothing changed."""
        cdef CommitState state
        cdef Engine engine = self.engine
        self.check()
        if not self.changed and not self.administrative:
            self.rollback()
            # What was found here, a False of compare-and-set say, is told only when every reader can see it.
            engine.await_published(self.base)
            return self.base.record.fields.commit_id
        while self.savepoints:
            self.close_savepoint(self.savepoints[0][0], True)
        if engine.doomed():
            self.rollback()
            engine.require_usable()
        self.busy = True
        try:
            if engine.lock is not None:
                engine.require_same_file()
            if not self.changed:
                self.become_administrative()
                note = b""
            self.begin_range(False)
            self.time_ns = self.base.record.fields.time_ns
            if self.given is not None:
                self.time_ns = max(self.time_ns, self.given.fields.time_ns)
            elif self.changed:
                self.time_ns = max(self.time_ns, <uint64_t>time.time_ns())
            self.write_tags()
            self.write_trees()
            state = self.write_record(durable, note)
        except BaseException:
            self.busy = False
            self.rollback()
            raise
        if self.changed:
            engine.next_commit_id = 0
        # From here on it is success or uncertain.
        self.end()
        engine.append(state, durable, self.synced)
        return self.commit_id

    cdef int repeat(self, CommitRecord given) except -1:
        """Before anything is written: make a commit of another file anew, with its id, nonce and time."""
        self.given = given
        self.commit_id = given.fields.commit_id
        editor_begin(&self.work.editor, &self.base.space.space, self.base.end, self.commit_id)
        return self.after_change(self.default_tree, 0)     # a commit even if no entry differs

    # -- tags, settings, restores -------------------------------------------------------------------------------------

    cdef int set_catalogue(self, bytes key, bytes record) except -1:
        """Store a record that is no tree's in the catalogue (None: take it out). Makes no commit id by itself."""
        cdef bint changed = self.changed
        cdef Path path
        cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(key)
        cdef uint32_t size = <uint32_t>PyBytes_GET_SIZE(key)
        cdef int found = self.find(self.catalogue, data, size, &path)
        if record is not None:
            self.store(
                self.catalogue, &path, found == FOUND, data, size, <const uint8_t*>PyBytes_AS_STRING(record),
                <uint64_t>PyBytes_GET_SIZE(record),
            )
        elif found == FOUND:
            self.remove(self.catalogue, &path, data, size)
        self.changed = changed
        self.administrative = True
        return 0

    cdef int tag_own(self, bytes key) except -1:
        """Let a tag point at the commit being made, or, if no entry changes, at the one it stands on."""
        self.check()
        self.set_catalogue(key, pack_tag(Tag(0, 0, 0, 0)))
        self.own_tags.add(key)
        return 0

    cdef int write_tags(self) except -1:
        cdef bytes record
        if not self.own_tags:
            return 0
        if self.changed:
            record = pack_tag(Tag(self.commit_id, self.work.writer.nonce, self.base.end, self.time_ns))
        else:
            record = tag_record(self.engine, self.base)
        for key in self.own_tags:
            if self.catalogue_record(key) is not None:
                self.set_catalogue(key, record)
        return 0

    cdef int become_administrative(self) except -1:
        """No entry has changed: the record repeats the id it stands on. What was spilled in vain is dropped."""
        cdef Editor* editor = &self.work.editor
        cdef size_t i, kept = 0
        if self.writing:
            self.work.writer.abort()
            self.engine.cut_back()
            self.engine.require_usable()
            self.writing = False
            for i in range(editor.retired_count):
                if editor.retired[i].page < self.base.end:
                    editor.retired[kept] = editor.retired[i]
                    kept += 1
            editor.retired_count = kept
            editor.spare_count = 0
            editor.own_first = <uint64_t>-1
        self.commit_id = self.base.record.fields.commit_id
        return 0

    cdef int restore(self, CommitState old, object tree) except -1:
        """Let the trees of an older commit (one of them: its name; None: the default tree) take their places."""
        cdef WriteTree target
        cdef TreeReference reference
        self.check()
        if not self.changed and old.record.fields.commit_nonce == self.base.record.fields.commit_nonce:
            return 0                               # the state that the session stands on
        names = set()
        if tree is ALL:
            names.update(name for name, _ in catalogue_records(old))
            names.update(name for name, _ in catalogue_records(self.base))
            names.update(self.trees)
        elif tree is not None:
            names.add(tree)
        if tree is ALL or tree is None:
            self.replace_tree(self.default_tree, &old.record.fields.default_tree, old.default_tree.offset)
            record = named_record(old, None, self.engine.path)
            if record_codecs(record) != self.codecs_of_default():
                self.after_change(self.default_tree, 0)
            self.set_record(self.default_tree, record)
        for name in names:
            target = self.tree_named(name)
            record = catalogue_value(old, catalogue_key(name, self.engine.file.page_size), self.engine.path)
            if record is None:
                self.drop(name)
            elif target.record != record or target.touched:
                tree_record_reference(record, &reference)
                self.replace_tree(target, &reference, 0)
                self.set_record(target, record)
        return 0

    cdef int replace_tree(self, WriteTree tree, const TreeReference* reference, uint32_t offset) except -1:
        cdef Tree* present = &tree.tree
        if present.root == reference.root and present.offset == offset:
            if tree.name is not None:
                self.after_change(tree, 0)         # its record is another one: it was there, and empty, or untyped
            return 0
        self.after_change(tree, clear_tree(&self.work.editor, present))
        present.root = reference.root
        present.entries = reference.entries
        present.pages = reference.pages
        present.level = reference.level
        present.offset = offset
        present.changed = True
        self.work.editor.last_leaf = NULL
        self.restored = True
        return 0

    cdef uint64_t pages_of_trees(self) except? 0:
        """Pages of all named trees, by their records, while the catalogue is still in reach. O(trees)."""
        cdef uint64_t pages = 0
        cdef TreeReference reference
        self.busy = False                          # its own reads; nothing here lets another thread run
        for record in range_iterator(self.catalogue, MODE_VALUES, TREE, TAG, False, False, False):
            tree_record_reference(record, &reference)
            pages += reference.pages
        self.busy = True
        return pages

    cdef int write_trees(self) except -1:
        """Number the named trees, store their records, number the catalogue and what is below the default root."""
        cdef Editor* editor = &self.work.editor
        cdef WriteTree tree
        cdef Path path
        cdef bytes key, record
        cdef int found
        order_spares(editor)
        pack_tree(editor, &self.default_tree.tree)
        for tree in self.trees.values():
            if not tree.touched:
                continue
            pack_tree(editor, &tree.tree)
            key = catalogue_key(tree.name, self.engine.file.page_size)
            found = self.find(
                self.catalogue, <const uint8_t*>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), &path
            )
            if tree.dropped:
                if found == FOUND:
                    self.remove(self.catalogue, &path, <const uint8_t*>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key))
                continue
            flush_tree(editor, &tree.tree, self.work.writer)
            record = tree_record(tree, self.commit_id)
            self.store(
                self.catalogue, &path, found == FOUND, <const uint8_t*>PyBytes_AS_STRING(key),
                <uint32_t>PyBytes_GET_SIZE(key), <const uint8_t*>PyBytes_AS_STRING(record),
                <uint64_t>PyBytes_GET_SIZE(record),
            )
        if self.default_loaded and self.default_tree.touched:
            self.write_default_codecs()
        if self.restored:
            self.named_pages = self.pages_of_trees()
        if self.default_tree.tree.offset and own_root(editor, &self.default_tree.tree) == NULL:
            # An embedded root moves along with each commit page.
            raise_status(self.engine.path, editor.failed_page, editor.status)
        if self.default_tree.tree.root & DIRTY:
            flush_children(editor, &self.default_tree.tree, self.work.writer)
        # A leaf of the catalogue is above the roots that it names (I4): it is written over nothing.
        if retire_spares(editor) < 0:
            raise MemoryError
        flush_tree(editor, &self.catalogue.tree, self.work.writer)
        return 0

    cdef int write_default_codecs(self) except -1:
        """The default tree has no tree record but for its codecs' names."""
        cdef bytes old = self.catalogue_record(TREE)
        cdef bytes new = None
        if self.default_tree.key_codec or self.default_tree.value_codec:
            new = tree_record(self.default_tree, self.commit_id)
        if record_codecs(old) != record_codecs(new):
            self.set_catalogue(TREE, new)
        return 0

    cdef CommitState write_record(self, bint durable, bytes note):
        """Everything but the default root has its number: build the commit page and write the range."""
        cdef Editor* editor = &self.work.editor
        cdef RangeWriter writer = self.work.writer
        cdef RetiredEncoder encoder = self.work.encoder
        cdef CommitRecord base = self.base.record
        cdef CommitFields fields
        cdef uint64_t skip[SKIP_POINTERS_MAX]
        cdef uint32_t skip_count, offset, room, inline_size, note_size = <uint32_t>len(note)
        cdef uint32_t usable = self.engine.file.usable_size
        cdef uint64_t list_pages = 0, listed = 0
        cdef size_t i
        cdef uint8_t* page = self.work.commit_page
        cdef Tree* tree = &self.default_tree.tree
        cdef WriteTree named
        cdef CommitState state
        next_fields(base, &fields)
        fields.commit_id = self.commit_id
        fields.nonce = writer.nonce
        fields.time_ns = self.time_ns
        if self.changed:
            fields.commit_nonce = writer.nonce
        fields.durable_upto = self.engine.durable_sequence
        fields.entries += tree.entries - self.default_tree.entries_before
        for named in self.trees.values():
            fields.entries += named.tree.entries - named.entries_before
        fields.flags = 0 if durable else FLAG_UNSYNCED
        if self.given is not None:
            fields.flags |= self.given.fields.flags & FLAG_SPARSE
        if not self.changed:
            fields.flags |= FLAG_ADMINISTRATIVE
        skip_count = next_skip_pointers(base, self.commit_id, skip)

        memset(page, 0, self.engine.file.page_size)
        listed = merge_retired(editor)
        encoder.begin(self.commit_id)
        for i in range(editor.retired_count):
            encoder.add(&editor.retired[i])
        offset = commit_embedded_offset(skip_count, note_size, 0)
        room = usable - offset if usable > offset else 0
        fields.retired_page = encoder.store(writer, room // 4, &list_pages)
        fields.retired_count = encoder.count
        fields.retired_pages = list_pages
        inline_size = 0 if fields.retired_page else <uint32_t>encoder.size
        # A gap record repeats the image at the same offset, behind a note of 8 bytes (FORMAT §3.5).
        offset = max(
            commit_embedded_offset(skip_count, note_size, inline_size), commit_embedded_offset(skip_count, 8, 0)
        )

        fields.embedded_offset = 0
        fields.default_tree.root = tree.root
        if tree.root & DIRTY:
            if usable > offset and embed_root(editor, tree, page + offset, usable - offset):
                store64(page + offset + 8, writer.first_page)      # its number is the commit page's (FORMAT §3.3)
                fields.embedded_offset = offset
                tree.pages -= 1
                fields.default_tree.root = writer.first_page
            else:
                flush_tree(editor, tree, writer)
                fields.default_tree.root = tree.root
        fields.default_tree.entries = tree.entries
        fields.default_tree.pages = tree.pages
        fields.default_tree.level = <uint8_t>tree.level
        fields.catalogue.root = self.catalogue.tree.root
        fields.catalogue.entries = self.catalogue.tree.entries
        fields.catalogue.pages = self.catalogue.tree.pages
        fields.catalogue.level = <uint8_t>self.catalogue.tree.level
        fields.page_count = writer.next_page - writer.first_page
        fields.pages_appended += fields.page_count
        # The predecessor's commit page and list pages are retired without being listed (FORMAT §3.4).
        fields.pages_retired += listed + 1 + base.fields.retired_pages
        if self.restored:
            # Pages that were retired before are needed again: the total is what I10 says.
            fields.flags |= FLAG_RESTORED
            fields.pages_retired = fields.pages_appended - (
                3 + list_pages + fields.default_tree.pages + fields.catalogue.pages + self.named_pages
            )
        if fields.page_count << self.engine.file.shift > PRESYNC_BYTES and not self.engine.anonymous:
            writer.flush()
            self.engine.sync_alone()
            fields.flags |= FLAG_PRESYNCED
        if encode_commit(
            page, usable, &fields, skip, skip_count, <const uint8_t*>PyBytes_AS_STRING(note), note_size,
            encoder.data if inline_size else NULL, inline_size,
        ) < 0:
            raise AssertionError("the parts of a commit page exceed it")
        if fields.embedded_offset:
            commit_set_embedded(page, offset, &fields.default_tree)
        if not durable:
            self.engine.cover_unsynced(writer.first_page + fields.page_count, self.commit_id)
        # Alone, and inside the prefilled tail, the write is its own sync: one call, of just that range (D5).
        self.synced = (
            durable and not fields.flags & FLAG_PRESYNCED and not writer.pages_written
            and self.engine.may_write_durably(writer.first_page + fields.page_count)
        )
        writer.durable = self.synced
        self.completing = True
        writer.withhold = self.engine.withholding and self.engine.withheld_word == 0
        try:
            writer.finish(page)
        except BaseException as error:
            if not self.synced:
                raise
            self.engine.poison_from(error)
            raise self.engine.uncertain(error) from error
        if writer.withhold:
            self.engine.withheld_word = load64(page)
        # Nothing below may fail without the engine knowing what is in the file: the caller cuts back.
        state = self.engine.state_of(parse_commit(page, self.engine.file.page_size, writer.first_page, self.engine.path))
        writer.mark_written_verified(&state.space.space)
        return state

    cdef int rollback(self) except -1:
        """Forget everything and end. What was spilled is cut off the file."""
        cdef Engine engine = self.engine
        if not self.active:
            return 0
        if fork_generation() != engine.fork_mark:
            self.active = False                    # the parent's to end; nothing is touched here
            return 0
        self.await_written()
        if not self.active:                        # by now: another thread has ended it
            return 0
        if self.busy:
            return self.check_usable()
        self.active = False                        # at once: to cut the file back lets other threads run
        try:
            if self.writing:
                self.work.writer.abort()
                if not engine.doomed():
                    engine.cut_back(self.completing)
        finally:
            self.end()
            engine.finish_write()
        return 0

    cdef int end(self) except -1:
        """Give the memory back; the workspace goes to the next session."""
        self.active = False
        self.busy = False
        self.writing = False
        self.unsettled = None
        arena_clear(&self.work.editor.arena)
        self.engine.spare = self.work
        self.default_tree.ended = True
        self.catalogue.ended = True
        try:
            for tree in self.trees.values():
                (<WriteTree>tree).ended = True
        except MemoryError:                        # the lock is given up all the same; they ask the session as well
            pass
        # Each of them refers to the session: left alone, the cycle keeps the file mapped until it is collected.
        self.default_tree = None
        self.catalogue = None
        self.trees.clear()
        return 0


cdef bytes tag_record(Engine engine, CommitState state):
    """What the catalogue says of a tag that points at the commit of a state."""
    giver = record_giving(RecordReader(engine.file, state.space), state.record)
    return pack_tag(Tag(giver.commit_id, giver.nonce, giver.page, giver.time_ns))


cdef uint64_t merge_retired(Editor* editor) noexcept nogil:
    """Sort the list and join neighbours of one birth; how many pages it names."""
    cdef size_t i, kept = 0
    cdef uint64_t total = 0
    cdef RetiredItem* items = editor.retired
    cdef RetiredItem* before
    if editor.retired_count == 0:
        return 0
    qsort(items, editor.retired_count, sizeof(RetiredItem), &order_retired)
    for i in range(editor.retired_count):
        total += items[i].count
        if kept:
            before = &items[kept - 1]
            # Trees of older commits share pages with those that were there, so that a page can be retired twice.
            if items[i].page == before.page:
                if items[i].subtree and not before.subtree:
                    before[0] = items[i]
                continue
            if not before.subtree and items[i].page < before.page + before.count:
                if not items[i].subtree:
                    continue
                before.count = items[i].page - before.page
            if (
                not before.subtree and not items[i].subtree and before.birth == items[i].birth
                and before.page + before.count == items[i].page
            ):
                before.count += items[i].count
                continue
        items[kept] = items[i]
        kept += 1
    editor.retired_count = kept
    return total
