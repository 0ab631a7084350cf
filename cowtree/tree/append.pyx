# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Append whole leaves. See `append.pxd`."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from cowtree.layout cimport ENTRY_INLINE, LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, TREE_HEADER_SIZE
from cowtree.pages.builder cimport Item, build_leaf, common_prefix, copy_key, fill_item
from cowtree.pages.leaf cimport Entry, entry_count, leaf_entry, prefix_size
from cowtree.tree.dirty_pages cimport header_of
from cowtree.tree.editor cimport add_counts, new_page, own_child, own_root
from cowtree.tree.search cimport Path
from cowtree.tree.update cimport insert_siblings
from cowtree.tree.view cimport DIRTY


cdef int run_init(Run* run, uint32_t page_size) except -1:
    run.items.count = 0
    run.items.capacity = page_size // (LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER) + 1
    run.items.items = <Item*>malloc(run.items.capacity * sizeof(Item))
    if run.items.items == NULL:
        raise MemoryError
    return 0


cdef void run_release(Run* run) noexcept nogil:
    free(run.items.items)
    run.items.items = NULL


cdef bint run_add(
    Run* run, uint32_t size, const uint8_t* key, uint32_t key_size, const uint8_t* value, uint32_t value_size
) noexcept nogil:
    """Take an entry that follows the others and that a leaf of `size` bytes can hold; False if this one is full. O(1)."""
    cdef uint32_t bytes = LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER + key_size + value_size
    cdef uint32_t prefix = key_size
    cdef const Item* first
    if run.items.count:
        first = &run.items.items[0]
        prefix = run.prefix
        # Sorted keys have in common what the first and the last have.
        if key_size < prefix or memcmp(first.rest, key, prefix) != 0:
            prefix = 0
            while prefix < key_size and first.rest[prefix] == key[prefix]:
                prefix += 1
        bytes += run.bytes
        if TREE_HEADER_SIZE + prefix + bytes - prefix * (run.items.count + 1) > size:
            return False
    fill_item(&run.items.items[run.items.count], key, key_size, ENTRY_INLINE, value, value_size)
    run.items.count += 1
    run.bytes = bytes
    run.prefix = prefix
    return True


cdef uint8_t* own_last_path(Editor* editor, Tree* tree, Path* path) noexcept nogil:
    """Make the pages down to the last leaf editable; returns the leaf, NULL: `editor.status`."""
    cdef uint8_t* page = own_root(editor, tree)
    cdef uint32_t level = tree.level
    while page != NULL:
        path.pages[level] = DIRTY | <size_t>page
        path.slots[level] = entry_count(page) - 1
        if level == 0:
            break
        level -= 1
        page = own_child(editor, page, path.slots[level + 1], level)
    return page


cdef int append_leaf(Editor* editor, Tree* tree, Run* run) noexcept nogil:
    """The run becomes the tree's last leaf, and is empty then. 0 or a negative status. O(entries of the leaf).

    The tree is not empty, and its last key is below the run's first.
    """
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t separator_size, count = run.items.count
    cdef Path path
    cdef Entry entry
    cdef Item last
    cdef uint8_t* right
    cdef uint8_t* left = own_last_path(editor, tree, &path)
    if left == NULL:
        return editor.status
    right = new_page(editor)
    if right == NULL:
        return editor.status
    build_leaf(right, size, &run.items, 0, count)
    header_of(right).has_runs = False
    leaf_entry(left, size, path.slots[0], &entry)
    last.lead_size = prefix_size(left)
    last.lead = left + size - last.lead_size
    last.rest = entry.suffix
    last.rest_size = entry.suffix_size
    # The shortest key that is above the left page's last and not above the right one's first.
    separator_size = common_prefix(&last, &run.items.items[0]) + 1
    copy_key(&run.items.items[0], 0, separator_size, editor.separator)
    run.items.count = 0
    tree.entries += count
    add_counts(tree, &path, 1, <int64_t>count, 0)
    editor.last_leaf = right
    editor.last_slot = count - 1
    editor.version += 1
    return insert_siblings(editor, tree, &path, left, right, separator_size)
