"""What an editing session over some trees of one space holds, and how it comes by pages that it may edit.

    find (guarded, read-only) -> Path -> own_path: the pages of the path become private copies -> edit

Mapped memory is touched only by guarded finds and guarded copies; each copy is validated again, because bytes can
change beneath a mapping; whatever comes after works on private memory. A function that fails says so with a negative
status; the session is then good for nothing but a rollback.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cowtree.pages.builder cimport ItemList
from cowtree.pages.leaf cimport Entry
from cowtree.storage.retired_list cimport RetiredItem
from cowtree.storage.page_file cimport Space
from cowtree.tree.dirty_pages cimport Arena
from cowtree.tree.search cimport Path
from cowtree.tree.view cimport TreeView

cdef enum:
    NO_MEMORY = -50
    NO_SPLIT = -51

cdef struct Tree:
    uint64_t root
    uint64_t entries
    uint64_t pages             # below and with the root; an embedded root counts 0
    uint32_t level
    uint32_t offset            # embedded root's, else 0
    bint changed

cdef struct Replaced:
    void* thing                # a sealed page image or DirtyRun that the present state does not need
    bint is_run

cdef struct Editor:
    const Space* space
    uint64_t limit             # page numbers in reach are below this
    uint64_t birth             # the commit id being made
    uint64_t epoch             # of new pages
    uint64_t seal              # pages of older epochs are copied, not edited
    uint64_t version           # one more with every change: iterators notice
    uint64_t failed_page
    int status
    Arena arena
    ItemList items
    ItemList parents           # the branch above, while two of its children are evened out
    uint8_t* scratch[3]        # a page each
    uint8_t* separator         # a key each
    uint8_t* separator_up
    uint8_t* last_leaf         # where the last insert went: ascending runs are recognised by it
    uint32_t last_slot
    RetiredItem* retired
    size_t retired_count
    size_t retired_capacity
    uint64_t own_first         # pages from here on were written by this session, and may be written over; else no page is
    uint64_t* spare            # such pages that nothing needs
    size_t spare_count
    size_t spare_capacity
    Replaced* replaced
    size_t replaced_count
    size_t replaced_capacity


cdef inline void view_tree(const Editor* editor, const Tree* tree, TreeView* view) noexcept nogil:
    view.space = editor.space
    view.root = tree.root
    view.entries = tree.entries
    view.limit = editor.limit
    view.level = tree.level
    view.offset = tree.offset


cdef int editor_init(Editor* editor, const Space* space) except -1
cdef void editor_begin(Editor* editor, const Space* space, uint64_t limit, uint64_t birth) noexcept nogil
cdef void editor_release(Editor* editor) noexcept nogil
cdef int fail(Editor* editor, int status, uint64_t page) noexcept nogil
cdef int retire(Editor* editor, uint64_t page, uint64_t count, uint64_t birth, bint subtree) noexcept nogil
# The number of a leaf that is written over a spare page, which is above all that the leaf refers to; 0: there is none.
cdef uint64_t take_spare(Editor* editor, const uint8_t* leaf) noexcept nogil
cdef void order_spares(Editor* editor) noexcept nogil
cdef int retire_spares(Editor* editor) noexcept nogil
cdef int discard_page(Editor* editor, uint8_t* page) noexcept nogil
cdef int discard_reference(Editor* editor, uint64_t reference) noexcept nogil
cdef int discard_value(Editor* editor, const Entry* entry, uint64_t* pages) noexcept nogil
cdef int discard_subtree(Editor* editor, uint64_t reference, uint32_t level, uint64_t pages) noexcept nogil
cdef uint8_t* new_page(Editor* editor) noexcept nogil
cdef uint8_t* own_page(
    Editor* editor, uint64_t reference, uint32_t level, uint32_t offset, uint64_t limit
) noexcept nogil
cdef uint8_t* own_root(Editor* editor, Tree* tree) noexcept nogil
cdef uint8_t* own_child(Editor* editor, uint8_t* parent, uint32_t slot, uint32_t level) noexcept nogil
cdef uint8_t* own_path(Editor* editor, Tree* tree, Path* path) noexcept nogil
cdef int copy_page(
    Editor* editor, uint64_t reference, uint32_t level, uint32_t offset, uint64_t limit, uint8_t* into
) noexcept nogil
cdef void page_totals(
    const uint8_t* page, uint32_t size, uint32_t level, uint32_t page_size, uint64_t* entries, uint64_t* pages
) noexcept nogil
cdef void add_counts(
    Tree* tree, const Path* path, uint32_t from_level, int64_t entries, int64_t pages
) noexcept nogil
cdef int seal_epoch(Editor* editor) noexcept nogil
cdef void release_epoch(Editor* editor, size_t replaced_before, uint64_t outer_seal) noexcept nogil
