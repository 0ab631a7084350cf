"""What a write session sees: its trees as they are now, found by name, looked up by key.

    WriteTree (one tree) -> SessionTrees (all of them) -> Changes (edits them) -> Session (makes the commit)
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

    cdef SessionTrees session
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


cdef class Unsettled:
    """Entries that a session has taken and not yet put into a tree."""

    cdef int settle(self) except -1        # put them there; whoever looks at the session does that first


cdef class SessionTrees:
    cdef Engine engine
    cdef CommitState base
    cdef Workspace work
    cdef PageSpace space                   # the mapping that reaches what was spilled
    cdef WriteTree default_tree
    cdef WriteTree catalogue
    cdef dict trees                        # name -> WriteTree
    cdef bint active
    cdef bint failed                       # only a rollback is left
    cdef bint busy                         # another thread is in the middle of a commit
    cdef bint writing_out                  # a thread writes finished pages, without the GIL
    cdef bint default_loaded               # the default tree's codecs were looked up
    cdef Unsettled unsettled               # or None

    cdef WriteTree make_tree(self, str name, const TreeReference* reference)
    cdef uint64_t version(self) noexcept   # changes whenever a tree does
    cdef int check(self) except -1
    cdef int check_usable(self) except -1  # `check` that leaves unsettled entries alone
    cdef int await_written(self) except -1
    cdef WriteTree tree_named(self, str name)
    cdef int set_record(self, WriteTree tree, bytes record) except -1
    cdef int agree_codecs(self, WriteTree tree, TreeCodecs codecs) except -1
    cdef tuple codecs_of_default(self)
    cdef bytes catalogue_record(self, bytes key)
    cdef int find(self, WriteTree tree, const uint8_t* key, uint32_t key_size, Path* path) except -1
    cdef bytes value_of(self, WriteTree tree, Path* path)
    cdef object end_item(self, WriteTree tree, bint last)
    cdef bint matches(self, WriteTree tree, int found, Path* path, object expect) except -1
    cdef uint64_t rank(self, WriteTree tree, bytes key) except? 0xFFFFFFFFFFFFFFFF
