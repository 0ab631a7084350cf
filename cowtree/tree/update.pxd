"""Store one entry: insert, replace, split. The caller has found the path (`find_tree_path`)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.tree.editor cimport Editor, Tree
from cowtree.tree.search cimport Path

cdef int store_entry(
    Editor* editor, Tree* tree, Path* path, bint found, const uint8_t* key, uint32_t key_size,
    uint32_t kind, const uint8_t* value, uint32_t value_size, uint64_t run_pages,
) noexcept nogil

# Hang the new right sibling of a leaf, whose separator is in `editor.separator`, into its parent on an owned path.
cdef int insert_siblings(
    Editor* editor, Tree* tree, Path* path, uint8_t* left, uint8_t* right, uint32_t separator_size
) noexcept nogil

# Does an owned path above the leaf run along the tree's last (or first) children?
cdef bint at_edge(const Tree* tree, const Path* path, bint last) noexcept nogil
