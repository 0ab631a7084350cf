"""Give dirty pages their numbers, children first (I4), and hand them to the range that is being written."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.storage.range_writer cimport RangeWriter
from cowtree.tree.editor cimport Editor, Tree

cdef int flush_tree(Editor* editor, Tree* tree, RangeWriter writer) except -1
cdef int flush_children(Editor* editor, Tree* tree, RangeWriter writer) except -1
cdef int spill_tree(Editor* editor, Tree* tree, bint branches, RangeWriter writer) except -1
cdef uint32_t embed_root(Editor* editor, Tree* tree, uint8_t* into, uint32_t room) noexcept
