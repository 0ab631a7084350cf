"""Take entries out: one, or a range with all its subtrees, and mend what became too empty."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.tree.editor cimport Editor, Tree
from cowtree.tree.search cimport Path

cdef int remove_entry(
    Editor* editor, Tree* tree, Path* path, const uint8_t* key, uint32_t key_size
) noexcept nogil
cdef int remove_range(
    Editor* editor, Tree* tree, const uint8_t* start, uint32_t start_size, const uint8_t* stop, uint32_t stop_size,
) noexcept nogil
cdef int clear_tree(Editor* editor, Tree* tree) noexcept nogil
