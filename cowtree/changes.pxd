"""Trees being edited by a write session: store, remove, savepoints, spilling. Knows no commits."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.session_trees cimport SessionTrees, WriteTree
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.tree.search cimport Path
from cowtree.tree_codecs cimport TreeCodecs


cdef struct Near:
    uint8_t* last              # the leaf of the put before
    uint8_t* leaf              # of the two puts before: then `path` leads to it, while the editor has this version
    void* tree
    uint64_t version
    bint at_end                # it is the tree's last one
    Path path


cdef class Changes(SessionTrees):
    cdef bint writing                      # the range has been begun
    cdef bint changed                      # an entry: a commit with an id follows
    cdef bint administrative               # a tag or setting
    cdef bint restored                     # a tree of an older commit has taken a tree's place
    cdef Near near
    cdef set own_tags                      # names of tags that will point at the commit being made
    cdef uint64_t write_memory
    cdef uint64_t commit_id                # being made
    cdef CommitRecord given                # of another file: the commit that is made anew here; None: a new one
    cdef list savepoints
    cdef uint64_t savepoint_serial         # of the newest, opened or closed: savepoints that are named by it

    cdef int use_codecs(self, WriteTree tree, TreeCodecs codecs) except -1
    cdef int adopt_codecs(self, WriteTree tree) except -1
    cdef int find_to_store(self, WriteTree tree, const uint8_t* key, uint32_t key_size, Path* path) except -1
    cdef int remember(self, WriteTree tree, const Path* path, uint64_t before) except -1
    cdef bint put(self, WriteTree tree, object key, object value, bint overwrite, object expect) except -1
    cdef int store(self, WriteTree tree, Path* path, bint found, const uint8_t* key, uint32_t key_size,
                   const uint8_t* value, uint64_t value_size) except -1
    cdef int after_change(self, WriteTree tree, int status) except -1
    cdef int remove(self, WriteTree tree, Path* path, const uint8_t* key, uint32_t key_size) except -1
    cdef bint delete(self, WriteTree tree, object key, object expect) except -1
    cdef uint64_t delete_range(self, WriteTree tree, bytes start, bytes stop) except? 0xFFFFFFFFFFFFFFFF
    cdef int clear(self, WriteTree tree) except -1
    cdef bint drop(self, str name) except -1
    cdef int rename(self, str old, str new) except -1
    cdef uint64_t open_savepoint(self) except 0
    cdef bint has_savepoint(self, uint64_t serial)
    cdef int close_savepoint(self, uint64_t serial, bint keep) except -1
    cdef int begin_range(self, bint spilling) except -1
    cdef int reach_written(self) except -1
    cdef int spill(self) except -1
    cdef int spill_levels(self, bint branches) except -1


cdef bytes tree_record(WriteTree tree, uint64_t commit_id)
