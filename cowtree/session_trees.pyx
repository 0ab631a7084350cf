# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""What a write session sees: see `session_trees.pxd`."""

import time

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cowtree.pages.leaf cimport ABSENT, FOUND, Entry, leaf_entry
from cowtree.reader cimport RankRequest, run_rank
from cowtree.states cimport catalogue_key, tree_record_reference
from cowtree.tree_codecs cimport TreeCodecs, record_codecs
from cowtree.storage.commit_record cimport TreeReference
from cowtree.storage.fault_guard cimport guarded
from cowtree.storage.file_lock cimport fork_generation
from cowtree.storage.page_file cimport Space
from cowtree.storage.range_writer cimport RangeWriter
from cowtree.storage.retired_list cimport RetiredEncoder
from cowtree.tree.cursor cimport TreeSource, MODE_ITEMS, raise_status, range_iterator, value_bytes
from cowtree.tree.editor cimport editor_init, editor_release, view_tree
from cowtree.tree.search cimport Path, find_path
from cowtree.tree.view cimport PageView, TreeView, view_page, view_root

from cowtree.catalogue import TREE
from cowtree.errors import TransactionError

cdef uint64_t UNSETTLED = ~(<uint64_t>0)           # a version that no editor reaches

cdef struct FindRequest:
    const TreeView* view
    const uint8_t* key
    Path* path
    uint32_t key_size
    uint8_t* into              # a copy of the leaf, or NULL
    PageView at


cdef int run_find(void* argument) noexcept nogil:
    cdef FindRequest* request = <FindRequest*>argument
    cdef int status = find_path(request.view, request.key, request.key_size, request.path, &request.at)
    if status >= 0 and request.into != NULL:
        memcpy(request.into, request.at.page, request.at.size)
    return status


cdef class Workspace:
    """See `session_trees.pxd`."""

    def __dealloc__(self):
        if self.ready:
            editor_release(&self.editor)
        free(self.commit_page)

    cdef int prepare(self, const Space* space) except -1:
        if not self.ready:
            editor_init(&self.editor, space)
            self.ready = True
            self.commit_page = <uint8_t*>calloc(1, space.page_size)
            if self.commit_page == NULL:
                raise MemoryError
            self.writer = RangeWriter()
            self.encoder = RetiredEncoder()
        return 0


cdef class WriteTree(TreeSource):
    """See `session_trees.pxd`."""

    cdef object pin(self, TreeView* view):
        self.session.check()
        view_tree(&self.session.work.editor, &self.tree, view)
        return self.session

    cdef uint64_t version(self) noexcept:
        return self.session.version()

    cdef int check_open(self) except -1:
        return self.session.check()

    cdef object source_path(self):
        return self.session.engine.path


cdef class Unsettled:
    """See `session_trees.pxd`."""

    cdef int settle(self) except -1:
        raise NotImplementedError


cdef class SessionTrees:
    """See `session_trees.pxd`."""

    cdef WriteTree make_tree(self, str name, const TreeReference* reference):
        cdef WriteTree tree = WriteTree.__new__(WriteTree)
        tree.session = self
        tree.name = name
        tree.changing = True
        tree.tree.root = reference.root
        tree.tree.entries = reference.entries
        tree.tree.pages = reference.pages
        tree.tree.level = reference.level
        tree.tree.offset = 0
        tree.tree.changed = False
        tree.entries_before = reference.entries
        tree.exists = True
        tree.key_codec = tree.value_codec = b""
        return tree

    cdef uint64_t version(self) noexcept:
        if self.unsettled is not None:
            return UNSETTLED                       # who compares looks again, and settles by it
        return self.work.editor.version if self.work is not None else 0

    cdef int check(self) except -1:
        cdef Unsettled unsettled
        self.check_usable()
        unsettled = self.unsettled                 # held here: settling, it takes itself out of the session
        if unsettled is not None:
            unsettled.settle()
        return 0

    cdef int check_usable(self) except -1:
        if not self.active:
            raise TransactionError("the transaction has ended")
        if self.failed:
            raise TransactionError("the transaction has failed: it can only be rolled back")
        if fork_generation() != self.engine.fork_mark:
            raise TransactionError("the transaction belongs to the parent process")
        if self.busy:
            raise TransactionError("the transaction is being committed by another thread")
        if self.writing_out:
            self.await_written()
            return self.check_usable()
        return 0

    cdef int await_written(self) except -1:
        """Return when no other thread is writing: the trees are between two states then. Milliseconds."""
        while self.writing_out and fork_generation() == self.engine.fork_mark:
            time.sleep(0.0002)
        return 0

    cdef WriteTree tree_named(self, str name):
        """The named tree of this session, from the catalogue the first time; a missing one is empty."""
        cdef WriteTree tree = self.trees.get(name)
        cdef Path path
        cdef bytes key
        cdef bytes record
        cdef TreeReference reference
        cdef int found
        if tree is not None:
            return tree
        key = catalogue_key(name, self.engine.file.page_size)
        found = self.find(
            self.catalogue, <const uint8_t*>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), &path
        )
        memset(&reference, 0, sizeof(reference))
        record = None
        if found == FOUND:
            record = self.value_of(self.catalogue, &path)
            tree_record_reference(record, &reference)
        tree = self.make_tree(name, &reference)
        tree.exists = record is not None
        self.set_record(tree, record)
        self.trees[name] = tree
        return tree

    cdef int set_record(self, WriteTree tree, bytes record) except -1:
        """What the catalogue says of the tree."""
        tree.record = record
        tree.key_codec, tree.value_codec = record_codecs(record)
        return 0

    cdef int agree_codecs(self, WriteTree tree, TreeCodecs codecs) except -1:
        """CodecError if the tree has other codecs, as this session sees it."""
        if tree.name is None:
            self.codecs_of_default()
        return codecs.agree(tree.key_codec, tree.value_codec)

    cdef tuple codecs_of_default(self):
        """The names of the default tree's codecs, as this session sees it."""
        if not self.default_loaded:
            self.set_record(self.default_tree, self.catalogue_record(TREE))
            self.default_loaded = True
        return self.default_tree.key_codec, self.default_tree.value_codec

    cdef bytes catalogue_record(self, bytes key):
        """A record of the catalogue as this session has it, or None."""
        cdef Path path
        if self.find(
            self.catalogue, <const uint8_t*>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), &path
        ) != FOUND:
            return None
        return self.value_of(self.catalogue, &path)

    cdef int find(self, WriteTree tree, const uint8_t* key, uint32_t key_size, Path* path) except -1:
        """FOUND or ABSENT, with the path and a copy of nothing. The guard covers what is mapped."""
        cdef TreeView view
        cdef FindRequest request
        cdef const Space* space = self.work.editor.space
        cdef int status
        if tree.tree.root == 0:
            return ABSENT
        view_tree(&self.work.editor, &tree.tree, &view)
        request.view = &view
        request.key = key
        request.key_size = key_size
        request.path = path
        request.into = NULL
        status = guarded(run_find, &request, space.base, space.base + (space.page_limit << space.shift))
        if status < 0:
            self.failed = True
            raise_status(self.engine.path, request.at.number, status)
        return status

    cdef bytes value_of(self, WriteTree tree, Path* path):
        """The value that a found path points at."""
        cdef TreeView view
        cdef Entry entry
        cdef uint8_t* copy = self.work.editor.scratch[0]
        cdef const Space* space = self.work.editor.space
        cdef FindRequest request
        cdef int status
        view_tree(&self.work.editor, &tree.tree, &view)
        request.view = &view
        request.path = path
        request.into = copy
        status = guarded(run_copy_leaf, &request, space.base, space.base + (space.page_limit << space.shift))
        if status >= 0:
            status = leaf_entry(copy, request.at.size, path.slots[0], &entry)
        try:
            if status < 0:
                raise_status(self.engine.path, path.pages[0], status)
            return value_bytes(&view, &entry, request.at.dirty, self.engine.path)
        except BaseException:
            self.failed = True
            raise

    cdef object end_item(self, WriteTree tree, bint last):
        """The first or last (key, value), or None."""
        return next(range_iterator(tree, MODE_ITEMS, None, None, True, False, last), None)

    cdef bint matches(self, WriteTree tree, int found, Path* path, object expect) except -1:
        if expect is None:
            return found != FOUND
        return found == FOUND and self.value_of(tree, path) == expect

    cdef uint64_t rank(self, WriteTree tree, bytes key) except? 0xFFFFFFFFFFFFFFFF:
        cdef TreeView view
        cdef RankRequest request
        cdef const Space* space = self.work.editor.space
        cdef int status
        if tree.tree.root == 0:
            return 0
        view_tree(&self.work.editor, &tree.tree, &view)
        request.view = &view
        request.key = <const uint8_t*>PyBytes_AS_STRING(key)
        request.key_size = <uint32_t>PyBytes_GET_SIZE(key)
        status = guarded(run_rank, &request, space.base, space.base + (space.page_limit << space.shift))
        if status < 0:
            raise_status(self.engine.path, request.at.number, status)
        return request.rank


cdef int run_copy_leaf(void* argument) noexcept nogil:
    """Copy the leaf of a path that was found before."""
    cdef FindRequest* request = <FindRequest*>argument
    cdef const TreeView* view = request.view
    cdef int status
    if view.level == 0:
        status = view_root(view, &request.at)
    else:
        status = view_page(view, request.path.pages[0], 0, view.limit, True, &request.at)
    if status >= 0:
        memcpy(request.into, request.at.page, request.at.size)
    return status
