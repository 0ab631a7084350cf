"""Trees being edited by a write session: find, store, remove, savepoints, spilling. Knows no commits.

    WriteTree (one tree) -> Changes (all of a session's) -> tree.editor
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.storage.commit_record cimport TreeReference
from cowtree.storage.page_file cimport PageSpace, Space
from cowtree.storage.range_writer cimport RangeWriter
from cowtree.storage.retired_list cimport RetiredEncoder
from cowtree.tree.cursor cimport TreeSource
from cowtree.tree.editor cimport Editor, Tree
from cowtree.tree.search cimport Path
from cowtree.tree.view cimport TreeView
from cowtree.tree_codecs cimport TreeCodecs


cdef class Workspace:
    """Memory that one session after another uses: an editor, a commit page, a writer, an encoder."""

    cdef Editor editor
    cdef uint8_t* commit_page
    cdef RangeWriter writer
    cdef RetiredEncoder encoder
    cdef bint ready

    cdef int prepare(self, const Space* space) except -1


cdef class WriteTree(TreeSource):
    """One tree of a session."""

    cdef Changes session
    cdef str name                          # None: the default tree
    cdef Tree tree
    cdef bint exists                       # a named tree that has a record in the catalogue
    cdef bint dropped
    cdef bint touched                      # its record must be written
    cdef bytes record                      # as found in the catalogue
    cdef bytes key_codec                   # names; empty: bytes
    cdef bytes value_codec
    cdef TreeCodecs pending                # of the handle that writes now: recorded with its first change
    cdef uint64_t entries_before


cdef struct Near:
    uint8_t* last              # the leaf of the put before
    uint8_t* leaf              # of the two puts before: then `path` leads to it, while the editor has this version
    void* tree
    uint64_t version
    bint at_end                # it is the tree's last one
    Path path


cdef class Changes:
    cdef Engine engine
    cdef CommitState base
    cdef Workspace work
    cdef PageSpace space                   # the mapping that reaches what was spilled
    cdef WriteTree default_tree
    cdef WriteTree catalogue
    cdef dict trees                        # name -> WriteTree
    cdef bint active
    cdef bint failed                       # only a rollback is left
    cdef bint writing                      # the range has been begun
    cdef bint busy                         # another thread is in the middle of a commit
    cdef bint changed                      # an entry: a commit with an id follows
    cdef bint administrative               # a tag or setting
    cdef bint restored                     # a tree of an older commit has taken a tree's place
    cdef bint default_loaded               # the default tree's codecs were looked up
    cdef Near near
    cdef set own_tags                      # names of tags that will point at the commit being made
    cdef uint64_t write_memory
    cdef uint64_t commit_id                # being made
    cdef list savepoints
    cdef uint64_t savepoint_serial         # of the newest, opened or closed: savepoints that are named by it

    cdef WriteTree make_tree(self, str name, const TreeReference* reference)
    cdef int set_record(self, WriteTree tree, bytes record) except -1
    cdef tuple codecs_of_default(self)
    cdef int agree_codecs(self, WriteTree tree, TreeCodecs codecs) except -1
    cdef int adopt_codecs(self, WriteTree tree) except -1
    cdef int use_codecs(self, WriteTree tree, TreeCodecs codecs) except -1
    cdef bytes catalogue_record(self, bytes key)
    cdef bint matches(self, WriteTree tree, int found, Path* path, object expect) except -1
    cdef uint64_t rank(self, WriteTree tree, bytes key) except? 0xFFFFFFFFFFFFFFFF
    cdef int reach_written(self) except -1
    cdef int check(self) except -1
    cdef uint64_t version(self) noexcept   # changes whenever a tree does
    cdef WriteTree tree_named(self, str name)
    cdef int find(self, WriteTree tree, const uint8_t* key, uint32_t key_size, Path* path) except -1
    cdef object end_item(self, WriteTree tree, bint last)
    cdef int find_to_store(self, WriteTree tree, const uint8_t* key, uint32_t key_size, Path* path) except -1
    cdef int remember(self, WriteTree tree, const Path* path, uint64_t before) except -1
    cdef bytes value_of(self, WriteTree tree, Path* path)
    cdef bint put(self, WriteTree tree, object key, object value, bint overwrite, object expect) except -1
    cdef int store(self, WriteTree tree, Path* path, bint found, const uint8_t* key, uint32_t key_size,
                   const uint8_t* value, uint64_t value_size) except -1
    cdef int remove(self, WriteTree tree, Path* path, const uint8_t* key, uint32_t key_size) except -1
    cdef bint delete(self, WriteTree tree, object key, object expect) except -1
    cdef uint64_t delete_range(self, WriteTree tree, bytes start, bytes stop) except? 0xFFFFFFFFFFFFFFFF
    cdef int clear(self, WriteTree tree) except -1
    cdef bint drop(self, str name) except -1
    cdef int rename(self, str old, str new) except -1
    cdef int after_change(self, WriteTree tree, int status) except -1
    cdef int begin_range(self) except -1
    cdef int spill(self) except -1
    cdef uint64_t open_savepoint(self) except 0
    cdef bint has_savepoint(self, uint64_t serial)
    cdef int close_savepoint(self, uint64_t serial, bint keep) except -1


cdef bytes tree_record(WriteTree tree, uint64_t commit_id)
