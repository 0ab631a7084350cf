# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Trees being edited: see `changes.pxd`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.buffers cimport Given, give_back, take_any_key, take_key, take_value
from cowtree.layout cimport (
    ENTRY_INLINE, ENTRY_RUN, LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, RUN_HEADER_SIZE, RUN_REFERENCE_SIZE, TREE_HEADER_SIZE,
    run_page_count, store32, store64,
)
from cowtree.pages.leaf cimport ABSENT, FOUND, entry_count, leaf_find
from cowtree.session_trees cimport WriteTree
from cowtree.storage.nonce cimport random_nonce
from cowtree.tree_codecs cimport TreeCodecs
from cowtree.tree.cursor cimport raise_status
from cowtree.tree.dirty_pages cimport DirtyRun, arena_bytes, arena_free_since, arena_run, arena_sweep
from cowtree.tree.editor cimport Editor, order_spares, release_epoch, retire, seal_epoch
from cowtree.tree.flush cimport spill_tree
from cowtree.tree.rebalance cimport clear_tree, remove_entry, remove_range
from cowtree.tree.search cimport Path
from cowtree.tree.update cimport at_edge, store_entry
from cowtree.tree.view cimport DIRTY

from cowtree.tree_codecs import TREE_RECORD
from cowtree.options import DEFAULT, as_bytes

cdef uint64_t WRITE_AT_ONCE_BYTES = 1 << 20
# What a put that splits nothing adds to the editor's version: one when the path is made editable, one when it is over.
cdef uint64_t PLAIN_PUT = 2


cdef class Changes:
    """See `changes.pxd`."""

    cdef int use_codecs(self, WriteTree tree, TreeCodecs codecs) except -1:
        """A write through a handle is about to come: CodecError, or its codecs are recorded if an entry changes."""
        tree.pending = codecs
        return 0 if codecs is None else self.agree_codecs(tree, codecs)

    cdef int adopt_codecs(self, WriteTree tree) except -1:
        if tree.pending.key_name and not tree.key_codec:
            tree.key_codec = tree.pending.key_name
        if tree.pending.value_name and not tree.value_codec:
            tree.value_codec = tree.pending.value_name
        tree.pending = None
        return 0

    # -- entries ------------------------------------------------------------------------------------------------------

    cdef int find_to_store(self, WriteTree tree, const uint8_t* key, uint32_t key_size, Path* path) except -1:
        """`find`, but first where the puts before went: sorted input stays in a leaf for dozens of keys."""
        cdef Near* near = &self.near
        cdef Editor* editor = &self.work.editor
        cdef uint32_t slot = 0, level, count
        cdef int found
        if near.leaf != NULL and near.tree == <void*>tree and near.version == editor.version:
            found = leaf_find(near.leaf, editor.space.usable_size, key, key_size, &slot)
            count = entry_count(near.leaf)
            # Between two keys of the leaf, or behind the last key of the tree.
            if found == FOUND or (found == ABSENT and slot and (slot < count or near.at_end)):
                for level in range(1, tree.tree.level + 1):
                    path.pages[level] = near.path.pages[level]
                    path.slots[level] = near.path.slots[level]
                path.pages[0] = near.path.pages[0]
                path.slots[0] = slot
                return found
        path.pages[0] = 0                          # in an empty tree it is not set
        return self.find(tree, key, key_size, path)

    cdef int remember(self, WriteTree tree, const Path* path, uint64_t before) except -1:
        """A put went where `path` points. When the one before went to the same leaf, the next one may come there too.

        `before`: the editor's version then; a split adds more to it, and `path` is no longer right.
        """
        cdef Near* near = &self.near
        cdef Editor* editor = &self.work.editor
        cdef uint8_t* leaf = editor.last_leaf
        cdef uint32_t level
        if (
            leaf == NULL or leaf != near.last or path.pages[0] != DIRTY | <uint64_t><size_t>leaf
            or editor.version != before + PLAIN_PUT
        ):
            near.leaf = NULL
        elif near.leaf != leaf or near.tree != <void*>tree or near.version != before:
            near.leaf = leaf
            near.tree = <void*>tree
            near.at_end = at_edge(&tree.tree, path, True)
            for level in range(tree.tree.level + 1):
                near.path.pages[level] = path.pages[level]
                near.path.slots[level] = path.slots[level]
        near.last = leaf
        near.version = editor.version
        return 0

    cdef bint put(self, WriteTree tree, object key, object value, bint overwrite, object expect) except -1:
        """`Tree.put`: True if it stored."""
        cdef Given name, stuff
        cdef Path path
        cdef int found
        cdef bint stored = False
        cdef uint64_t before
        take_key(key, &name, self.engine.file.page_size)
        try:
            take_value(value, &stuff)
        except BaseException:
            give_back(&name)
            raise
        try:
            self.check()
            if expect is not DEFAULT and expect is not None:
                expect = as_bytes(expect, "value")
            found = self.find_to_store(tree, name.data, <uint32_t>name.size, &path)
            if found == FOUND and not overwrite:
                return False
            if expect is not DEFAULT and not self.matches(tree, found, &path, expect):
                return False
            before = self.work.editor.version
            self.store(tree, &path, found == FOUND, name.data, <uint32_t>name.size, stuff.data, stuff.size)
            self.remember(tree, &path, before)
            stored = True
        finally:
            give_back(&name)
            give_back(&stuff)
        return stored

    cdef int store(
        self, WriteTree tree, Path* path, bint found, const uint8_t* key, uint32_t key_size,
        const uint8_t* value, uint64_t value_size,
    ) except -1:
        """Put a value where `path` points: inline, or as a run when it takes more than half a leaf."""
        cdef Editor* editor = &self.work.editor
        cdef uint8_t reference[RUN_REFERENCE_SIZE]
        cdef uint64_t pages, number
        cdef DirtyRun* run
        cdef int status
        if LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER + key_size + value_size <= (editor.space.usable_size - TREE_HEADER_SIZE) // 2:
            status = store_entry(
                editor, &tree.tree, path, found, key, key_size, ENTRY_INLINE, value, <uint32_t>value_size, 0
            )
            return self.after_change(tree, status)
        pages = run_page_count(value_size, editor.space.page_size)
        if value_size > WRITE_AT_ONCE_BYTES:
            self.begin_range(True)
            self.writing_out = True
            try:
                self.work.writer.add_run(value, value_size, &number)
                self.reach_written()
            except BaseException:
                self.failed = True
                raise
            finally:
                self.writing_out = False
        else:
            run = arena_run(&editor.arena, value, value_size, pages, editor.epoch)
            if run == NULL:
                raise MemoryError
            number = DIRTY | <uint64_t><size_t>run
        store64(reference, number)
        store32(reference + 8, RUN_HEADER_SIZE)
        store32(reference + 12, 0)
        store64(reference + 16, value_size)
        status = store_entry(
            editor, &tree.tree, path, found, key, key_size, ENTRY_RUN, reference, RUN_REFERENCE_SIZE, pages
        )
        return self.after_change(tree, status)

    cdef int after_change(self, WriteTree tree, int status) except -1:
        """An edit has happened: note it, or fail the session; spill when the budget is used up."""
        if status < 0:
            self.failed = True
            raise_status(self.engine.path, self.work.editor.failed_page, status)
        self.changed = True
        tree.touched = True
        tree.dropped = False
        if tree.pending is not None:
            self.adopt_codecs(tree)
        self.work.editor.version += 1
        if arena_bytes(&self.work.editor.arena) > self.write_memory:
            self.spill()
        return 0

    cdef int remove(self, WriteTree tree, Path* path, const uint8_t* key, uint32_t key_size) except -1:
        return self.after_change(tree, remove_entry(&self.work.editor, &tree.tree, path, key, key_size))

    cdef bint delete(self, WriteTree tree, object key, object expect) except -1:
        """`Tree.delete`: True if the key was there (and its value as expected)."""
        cdef Given name
        cdef Path path
        cdef int found
        take_any_key(key, &name)
        try:
            self.check()
            if expect is not DEFAULT and expect is not None:
                expect = as_bytes(expect, "value")
            found = self.find(tree, name.data, <uint32_t>min(name.size, 65537), &path)
            if found != FOUND:
                return False
            if expect is not DEFAULT and not self.matches(tree, found, &path, expect):
                return False
            self.remove(tree, &path, name.data, <uint32_t>name.size)
        finally:
            give_back(&name)
        return True

    cdef uint64_t delete_range(self, WriteTree tree, bytes start, bytes stop) except? 0xFFFFFFFFFFFFFFFF:
        """Take out start <= key < stop (None: no bound); how many went. O(log n), whole subtrees unvisited."""
        cdef uint64_t low, high
        self.check()
        low = 0 if start is None else self.rank(tree, start)
        high = tree.tree.entries if stop is None else self.rank(tree, stop)
        if high <= low:
            return 0
        if low == 0 and high == tree.tree.entries:
            self.after_change(tree, clear_tree(&self.work.editor, &tree.tree))
            return high
        self.after_change(tree, remove_range(
            &self.work.editor, &tree.tree,
            NULL if start is None else <const uint8_t*>PyBytes_AS_STRING(start),
            0 if start is None else <uint32_t>PyBytes_GET_SIZE(start),
            NULL if stop is None else <const uint8_t*>PyBytes_AS_STRING(stop),
            0 if stop is None else <uint32_t>PyBytes_GET_SIZE(stop),
        ))
        return high - low

    cdef int clear(self, WriteTree tree) except -1:
        self.check()
        if tree.tree.root == 0:
            return 0
        return self.after_change(tree, clear_tree(&self.work.editor, &tree.tree))

    cdef bint drop(self, str name) except -1:
        """Take a named tree out, entries and record: True if it was there."""
        cdef WriteTree tree
        self.check()
        tree = self.tree_named(name)
        if not (tree.exists or tree.touched) or tree.dropped:
            return False
        self.after_change(tree, clear_tree(&self.work.editor, &tree.tree))
        tree.dropped = True
        self.set_record(tree, None)
        return True

    cdef int rename(self, str old, str new) except -1:
        """Move a tree's root and record under another name."""
        cdef WriteTree source, target
        self.check()
        source = self.tree_named(old)
        target = self.tree_named(new)
        if not (source.exists or source.touched) or source.dropped:
            raise KeyError(old)
        if old == new:
            return 0
        if (target.exists or target.touched) and not target.dropped:
            raise ValueError(f"there is a tree named {new!r} already")
        target.tree = source.tree
        target.record = source.record
        target.key_codec = source.key_codec
        target.value_codec = source.value_codec
        self.set_record(source, None)
        empty_tree(source)
        source.pending = target.pending = None
        source.dropped = True
        source.touched = True
        return self.after_change(target, 0)

    # -- savepoints ---------------------------------------------------------------------------------------------------

    cdef uint64_t open_savepoint(self) except 0:
        """Remember the trees as they are and seal their dirty pages; the savepoint's serial, which none had before."""
        cdef Editor* editor = &self.work.editor
        self.check()
        if arena_bytes(&editor.arena) * 2 > self.write_memory:
            self.spill()
        state = []
        for tree in [self.default_tree, self.catalogue, *self.trees.values()]:
            state.append(saved_tree(tree))
        self.savepoint_serial += 1
        self.savepoints.append((
            self.savepoint_serial, state, (self.changed, self.administrative, self.restored, self.default_loaded, set(self.own_tags)),
            editor.seal, editor.retired_count, editor.replaced_count, editor.epoch + 1,
            self.work.writer.next_page if self.writing else 0,
        ))
        seal_epoch(editor)
        return self.savepoint_serial

    cdef bint has_savepoint(self, uint64_t serial):
        """Is it still open?"""
        return any(known[0] == serial for known in self.savepoints)

    cdef int close_savepoint(self, uint64_t serial, bint keep) except -1:
        """Close a savepoint and those inside it; without `keep` everything since it is undone."""
        cdef Editor* editor = &self.work.editor
        cdef uint64_t first, page
        self.await_written()
        if not self.active or self.busy:
            self.check_usable()
        if not keep:
            self.unsettled = None                  # its entries came after the savepoint: opening one settles them
        self.savepoint_serial += 1
        while self.savepoints and <uint64_t>self.savepoints[len(self.savepoints) - 1][0] >= serial:
            _, state, changed, seal, retired, replaced, epoch, next_page = self.savepoints.pop()
            if keep:
                release_epoch(editor, replaced, seal)
                continue
            for tree, saved in zip([self.default_tree, self.catalogue, *self.trees.values()], state):
                restore_tree(tree, saved)
            for name in list(self.trees)[len(state) - 2:]:
                empty_tree(self.trees.pop(name))
            editor.retired_count = retired
            editor.replaced_count = replaced
            editor.seal = seal
            arena_free_since(&editor.arena, epoch)
            editor.last_leaf = NULL
            editor.version += 1
            self.changed, self.administrative, self.restored, self.default_loaded, self.own_tags = changed
            # What was spilled since then is garbage in the commit's range (D4): retire it, page by page or run.
            if self.writing:
                first = next_page if next_page else self.base.end + 1
                page = self.work.writer.next_page
                if page > first and retire(editor, first, page - first, editor.birth, False) < 0:
                    raise MemoryError
        return 0

    # -- writing ------------------------------------------------------------------------------------------------------

    cdef int begin_range(self, bint spilling) except -1:
        if not self.writing:
            self.work.writer.begin(
                self.engine.file, self.base.end, self.commit_id,
                random_nonce() if self.given is None else self.given.fields.commit_nonce,
            )
            self.writing = True
            if spilling:
                self.work.writer.keep_entries()
        return 0

    cdef int reach_written(self) except -1:
        """After a flush: pages of this range are in the file and may be read back."""
        cdef Editor* editor = &self.work.editor
        self.space = self.engine.file.space_for(self.work.writer.next_page + 1)
        editor.space = &self.space.space
        editor.limit = self.work.writer.next_page
        if self.work.writer.keeping and not editor.space.mirrored:  # a mirror keeps what a page was when it was first read
            editor.own_first = self.work.writer.first_page + 1
        self.work.writer.mark_written_verified(editor.space)
        return 0

    cdef int spill(self) except -1:
        """Write leaves and free their memory; branches too, where these alone take half the budget.

        All leaves below a branch change as often as it does together: it would be written, and read again, each time.
        """
        self.spill_levels(False)
        if arena_bytes(&self.work.editor.arena) * 2 > self.write_memory:
            self.spill_levels(True)
        return 0

    cdef int spill_levels(self, bint branches) except -1:
        cdef Editor* editor = &self.work.editor
        cdef WriteTree tree
        self.writing_out = True
        try:
            self.begin_range(True)
            order_spares(editor)
            for tree in [self.default_tree, *self.trees.values()]:
                spill_tree(editor, &tree.tree, branches, self.work.writer)
            self.work.writer.flush()
            self.reach_written()
        except BaseException:
            self.failed = True
            raise
        finally:
            self.writing_out = False
        arena_sweep(&editor.arena)
        editor.last_leaf = NULL
        editor.version += 1
        return 0


cdef bytes tree_record(WriteTree tree, uint64_t commit_id):
    """FORMAT §3.3; the creation id is kept. The default tree's has its codec names only: its root is in the commit."""
    created, flags, root, entries, pages, level = commit_id, 0, 0, 0, 0, 0
    if tree.record is not None:
        fields = TREE_RECORD.unpack_from(tree.record)
        created = fields[8]
        flags = fields[2]
    if tree.name is not None:
        root, entries, pages, level = tree.tree.root, tree.tree.entries, tree.tree.pages, tree.tree.level
    return TREE_RECORD.pack(
        1, level, flags, len(tree.key_codec), len(tree.value_codec), root, entries, pages, created
    ) + tree.key_codec + tree.value_codec


cdef tuple saved_tree(WriteTree tree):
    return (
        tree.tree.root, tree.tree.entries, tree.tree.pages, tree.tree.level, tree.tree.offset, tree.tree.changed,
        tree.exists, tree.dropped, tree.touched, tree.record, tree.key_codec, tree.value_codec,
    )


cdef int restore_tree(WriteTree tree, tuple saved) except -1:
    (
        tree.tree.root, tree.tree.entries, tree.tree.pages, tree.tree.level, tree.tree.offset, tree.tree.changed,
        tree.exists, tree.dropped, tree.touched, tree.record, tree.key_codec, tree.value_codec,
    ) = saved
    tree.pending = None
    return 0


cdef int empty_tree(WriteTree tree) except -1:
    """It leads to no page any more, whoever still holds it."""
    tree.tree.root = tree.tree.entries = tree.tree.pages = 0
    tree.tree.level = tree.tree.offset = 0
    return 0
