# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Insert and replace, splitting from the leaf upwards. See `update.pxd`.

        parent  | .. s0 .. s2 .. |              | .. s0 .. s1 .. s2 .. |
                    |                    ->         |     |
        child   [ a b c d e f ]+x             [ a b c ] [ d x e f ]

Ascending (and descending) input cuts at the end instead, so that full pages stay full.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from cowtree.layout cimport ENTRY_RUN, LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, BRANCH_SLOT_SIZE, SEPARATOR_HEADER
from cowtree.pages.branch cimport branch_free, branch_insert, branch_set_counts
from cowtree.pages.builder cimport (
    Item, branch_size, build_branch, build_leaf, choose_split, common_prefix, copy_key, fill_item, gather_branch, gather_leaf,
    insert_item, item_key_size, leaf_size,
)
from cowtree.pages.leaf cimport Entry, entry_count, leaf_entry, leaf_free, leaf_insert, leaf_remove, prefix_size
from cowtree.tree.dirty_pages cimport header_of
from cowtree.tree.editor cimport (
    NO_SPLIT, add_counts, discard_value, fail, new_page, own_path, page_totals,
)
from cowtree.tree.view cimport DIRTY, dirty_page


cdef int store_entry(
    Editor* editor, Tree* tree, Path* path, bint found, const uint8_t* key, uint32_t key_size,
    uint32_t kind, const uint8_t* value, uint32_t value_size, uint64_t run_pages,
) noexcept nogil:
    """Put an entry where `path` points: over the one there (`found`) or before it. 0 or a negative status.

    `value` is the value, or with kind ENTRY_RUN a run reference to `run_pages` pages. O(log n) pages copied at most,
    O(1) amortised when they are dirty already.
    """
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t slot, prefix
    cdef uint64_t old_pages = 0
    cdef uint8_t* page
    cdef Entry entry
    if tree.root == 0:
        return plant(editor, tree, key, key_size, kind, value, value_size, run_pages)
    page = own_path(editor, tree, path)
    if page == NULL:
        return editor.status
    slot = path.slots[0]
    if kind == ENTRY_RUN:
        header_of(page).has_runs = True
    if found:
        leaf_entry(page, size, slot, &entry)
        if discard_value(editor, &entry, &old_pages) < 0:
            return editor.status
        if entry.kind == kind and entry.value_size == value_size:
            if value_size:
                memcpy(<uint8_t*>entry.value, value, value_size)
        else:
            leaf_remove(page, size, slot)
            found = False
            tree.entries -= 1
            add_counts(tree, path, 1, -1, 0)
    tree.pages += run_pages - old_pages
    if run_pages != old_pages:
        add_counts(tree, path, 1, 0, <int64_t>(run_pages - old_pages))
    if found:
        return 0
    tree.entries += 1
    add_counts(tree, path, 1, 1, 0)
    prefix = prefix_size(page)
    if key_size >= prefix and (prefix == 0 or memcmp(key, page + size - prefix, prefix) == 0):
        if LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER + key_size - prefix + value_size <= leaf_free(page):
            leaf_insert(page, size, slot, key + prefix, key_size - prefix, kind, value, value_size)
            editor.last_leaf = page
            editor.last_slot = slot
            return 0
    return spread_leaf(editor, tree, path, page, key, key_size, kind, value, value_size)


cdef int plant(
    Editor* editor, Tree* tree, const uint8_t* key, uint32_t key_size, uint32_t kind, const uint8_t* value,
    uint32_t value_size, uint64_t run_pages,
) noexcept nogil:
    """The first entry of a tree."""
    cdef uint8_t* page = new_page(editor)
    cdef Item* item
    if page == NULL:
        return editor.status
    editor.items.count = 0
    item = insert_item(&editor.items, 0)
    fill_item(item, key, key_size, kind, value, value_size)
    build_leaf(page, editor.space.usable_size, &editor.items, 0, 1)
    header_of(page).has_runs = kind == ENTRY_RUN
    tree.root = DIRTY | <uint64_t><size_t>page
    tree.entries = 1
    tree.pages = 1 + run_pages
    tree.level = 0
    tree.offset = 0
    tree.changed = True
    editor.version += 1
    return 0


cdef bint at_edge(const Tree* tree, const Path* path, bint last) noexcept nogil:
    """Does the path above the leaf run along the tree's last (or first) children?"""
    cdef uint32_t level, slot
    for level in range(1, tree.level + 1):
        slot = path.slots[level]
        if slot != (entry_count(dirty_page(path.pages[level])) - 1 if last else 0):
            return False
    return True


cdef int spread_leaf(
    Editor* editor, Tree* tree, Path* path, uint8_t* page, const uint8_t* key, uint32_t key_size,
    uint32_t kind, const uint8_t* value, uint32_t value_size,
) noexcept nogil:
    """Insert where the page has no room or not the key's prefix: build it anew, as one page or as two."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t slot = path.slots[0]
    cdef uint32_t preferred = 0, split, separator_size
    cdef uint8_t* right
    memcpy(editor.scratch[0], page, size)
    editor.items.count = 0
    gather_leaf(&editor.items, editor.scratch[0], size)
    fill_item(insert_item(&editor.items, slot), key, key_size, kind, value, value_size)
    if leaf_size(&editor.items, 0, editor.items.count) <= size:
        build_leaf(page, size, &editor.items, 0, editor.items.count)
        editor.last_leaf = page
        editor.last_slot = slot
        return 0
    # A run of neighbours, wherever it lies: cut at it, so that what it has filled stays full.
    if editor.last_leaf == page and editor.last_slot + 1 == slot:
        preferred = slot
    elif editor.last_leaf == page and editor.last_slot == slot:
        preferred = slot + 1
    elif slot + 1 == editor.items.count:
        preferred = slot if at_edge(tree, path, True) else 0
    elif slot == 0 and at_edge(tree, path, False):
        preferred = 1
    split = choose_split(&editor.items, size, True, 1, preferred)
    if split == 0:
        return fail(editor, NO_SPLIT, 0)
    right = new_page(editor)
    if right == NULL:
        return editor.status
    header_of(right).has_runs = header_of(page).has_runs
    build_leaf(page, size, &editor.items, 0, split)
    build_leaf(right, size, &editor.items, split, editor.items.count)
    editor.last_leaf = page if slot < split else right
    editor.last_slot = slot if slot < split else slot - split
    # The shortest key that is above the left page's last and not above the right one's first.
    separator_size = common_prefix(&editor.items.items[split - 1], &editor.items.items[split]) + 1
    copy_key(&editor.items.items[split], 0, separator_size, editor.separator)
    editor.version += 1
    return insert_siblings(editor, tree, path, page, right, separator_size)


cdef int insert_siblings(
    Editor* editor, Tree* tree, Path* path, uint8_t* left, uint8_t* right, uint32_t separator_size
) noexcept nogil:
    """Hang the new right sibling of a split leaf into its parent, splitting upwards as needed."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t page_size = editor.space.page_size
    cdef uint32_t level = 1
    cdef uint32_t slot, prefix, preferred, split, up_size
    cdef uint64_t entries, pages
    cdef uint8_t* parent
    cdef uint8_t* sibling
    cdef uint8_t* swap
    cdef Item* item
    while True:
        tree.pages += 1
        page_totals(right, size, level - 1, page_size, &entries, &pages)
        if level > tree.level:
            return grow_root(editor, tree, left, right, separator_size)
        add_counts(tree, path, level + 1, 0, 1)
        parent = <uint8_t*>dirty_page(path.pages[level])
        slot = path.slots[level]
        prefix = prefix_size(parent)
        if (
            separator_size >= prefix
            and (prefix == 0 or memcmp(editor.separator, parent + size - prefix, prefix) == 0)
            and BRANCH_SLOT_SIZE + SEPARATOR_HEADER + separator_size - prefix <= branch_free(parent)
        ):
            branch_insert(
                parent, size, slot + 1, editor.separator + prefix, separator_size - prefix,
                DIRTY | <uint64_t><size_t>right, entries, pages,
            )
            page_totals(left, size, level - 1, page_size, &entries, &pages)
            branch_set_counts(parent, slot, entries, pages)
            return 0
        memcpy(editor.scratch[1], parent, size)
        editor.items.count = 0
        gather_branch(&editor.items, editor.scratch[1], size, NULL, 0)
        item = insert_item(&editor.items, slot + 1)
        fill_item(item, editor.separator, separator_size, 0, NULL, 0)
        item.child = DIRTY | <uint64_t><size_t>right
        item.entries = entries
        item.pages = pages
        item = &editor.items.items[slot]
        page_totals(left, size, level - 1, page_size, &item.entries, &item.pages)
        if branch_size(&editor.items, 0, editor.items.count) <= size:
            build_branch(parent, size, level, &editor.items, 0, editor.items.count)
            return 0
        preferred = 0
        if slot + 2 == editor.items.count:
            preferred = editor.items.count - 2
        elif slot == 0:
            preferred = 2
        split = choose_split(&editor.items, size, False, 2, preferred)
        if split == 0:
            return fail(editor, NO_SPLIT, 0)
        sibling = new_page(editor)
        if sibling == NULL:
            return editor.status
        up_size = item_key_size(&editor.items.items[split])
        copy_key(&editor.items.items[split], 0, up_size, editor.separator_up)
        build_branch(parent, size, level, &editor.items, 0, split)
        build_branch(sibling, size, level, &editor.items, split, editor.items.count)
        swap = editor.separator
        editor.separator = editor.separator_up
        editor.separator_up = swap
        separator_size = up_size
        left = parent
        right = sibling
        level += 1


cdef int grow_root(
    Editor* editor, Tree* tree, uint8_t* left, uint8_t* right, uint32_t separator_size
) noexcept nogil:
    """A new root over the two halves of the old one."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint8_t* root = new_page(editor)
    cdef Item* item
    cdef uint32_t i
    if root == NULL:
        return editor.status
    editor.items.count = 0
    for i in range(2):
        item = insert_item(&editor.items, i)
        fill_item(item, editor.separator if i else NULL, separator_size if i else 0, 0, NULL, 0)
        item.child = DIRTY | <uint64_t><size_t>(right if i else left)
        page_totals(right if i else left, size, tree.level, editor.space.page_size, &item.entries, &item.pages)
    build_branch(root, size, tree.level + 1, &editor.items, 0, 2)
    tree.root = DIRTY | <uint64_t><size_t>root
    tree.level += 1
    tree.pages += 1
    return 0
