"""Leaves built whole from a sorted run that goes behind a tree's last key: no search, no split, each byte written once.

    last leaf (full)   parent | .. s |            parent | .. s | t |
                                    \\      ->                    \\    \\
                         [ .. x y z ]               [ .. x y z ]  [ run ]
"""

from libc.stdint cimport uint8_t, uint32_t

from cowtree.pages.builder cimport ItemList
from cowtree.tree.editor cimport Editor, Tree

cdef struct Run:
    ItemList items             # they borrow from whoever gave them
    uint32_t bytes             # of the entries, with whole keys
    uint32_t prefix            # bytes that all keys begin with


cdef int run_init(Run* run, uint32_t page_size) except -1
cdef void run_release(Run* run) noexcept nogil
cdef bint run_add(
    Run* run, uint32_t size, const uint8_t* key, uint32_t key_size, const uint8_t* value, uint32_t value_size
) noexcept nogil
cdef int append_leaf(Editor* editor, Tree* tree, Run* run) noexcept nogil
