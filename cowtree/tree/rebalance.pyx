# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Delete and mend. See `rebalance.pxd`.

After entries are gone, `mend` walks down from the root along a key. A page on the way that is less than a third full
is merged with a neighbour, or, where both together are more than a page, evened out with it; then the walk starts
again, because the parent may have become too empty in turn. The rounds are bounded: entries of very unequal size may
be evened out for ever.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cowtree.pages.branch cimport (
    Separator, branch_child, branch_entries, branch_find, branch_free, branch_pages, branch_remove, branch_separator,
    branch_set_child, branch_set_counts,
)
from cowtree.pages.builder cimport (
    Item, branch_size, build_branch, build_leaf, choose_split, common_prefix, copy_key, gather_branch, gather_leaf,
    item_key_size, leaf_size,
)
from cowtree.pages.leaf cimport Entry, entry_count, leaf_entry, leaf_find, leaf_free, leaf_remove, prefix_size
from cowtree.tree.dirty_pages cimport header_of
from cowtree.tree.editor cimport (
    add_counts, copy_page, discard_page, discard_reference, discard_subtree, discard_value, new_page, own_child,
    own_path, own_root, page_totals,
)
from cowtree.tree.view cimport DIRTY, dirty_page

cdef enum Mended:
    UNCHANGED = 0
    CHANGED = 1


cdef int remove_entry(
    Editor* editor, Tree* tree, Path* path, const uint8_t* key, uint32_t key_size
) noexcept nogil:
    """Take out the entry that `path` points at; `key` is its key. 0 or a negative status. O(log n)."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint64_t pages = 0
    cdef uint8_t* leaf = own_path(editor, tree, path)
    cdef Entry entry
    if leaf == NULL:
        return editor.status
    leaf_entry(leaf, size, path.slots[0], &entry)
    if discard_value(editor, &entry, &pages) < 0:
        return editor.status
    leaf_remove(leaf, size, path.slots[0])
    tree.entries -= 1
    tree.pages -= pages
    add_counts(tree, path, 1, -1, -<int64_t>pages)
    if editor.last_leaf == leaf:
        editor.last_leaf = NULL
    if too_empty(leaf, size, 0):
        return mend(editor, tree, key, key_size)
    return 0


cdef int clear_tree(Editor* editor, Tree* tree) noexcept nogil:
    """Take out everything. O(1) for what is not dirty."""
    if tree.root == 0:
        return 0
    # An embedded root has no page of its own: own it first, so that its children are cut one by one.
    if tree.offset and own_root(editor, tree) == NULL:
        return editor.status
    if discard_subtree(editor, tree.root, tree.level, tree.pages) < 0:
        return editor.status
    tree.root = 0
    tree.entries = 0
    tree.pages = 0
    tree.level = 0
    tree.changed = True
    editor.version += 1
    return 0


cdef int remove_range(
    Editor* editor, Tree* tree, const uint8_t* start, uint32_t start_size, const uint8_t* stop, uint32_t stop_size,
) noexcept nogil:
    """Take out start <= key < stop (NULL: no bound); the range holds some but not all entries. O(log n) pages."""
    cdef uint8_t* root = own_root(editor, tree)
    cdef uint64_t entries = 0, pages = 0
    if root == NULL:
        return editor.status
    editor.last_leaf = NULL
    if cut(editor, root, tree.level, start, start_size, stop, stop_size, &entries, &pages) < 0:
        return editor.status
    tree.entries -= entries
    tree.pages -= pages
    if start != NULL and mend(editor, tree, start, start_size) < 0:
        return editor.status
    if stop != NULL and mend(editor, tree, stop, stop_size) < 0:
        return editor.status
    if start == NULL and mend(editor, tree, <const uint8_t*>b"", 0) < 0:
        return editor.status
    return 0


cdef int cut_leaf(
    Editor* editor, uint8_t* page, const uint8_t* start, uint32_t start_size, const uint8_t* stop, uint32_t stop_size,
    uint64_t* entries, uint64_t* pages,
) noexcept nogil:
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t first = 0, last = entry_count(page)
    cdef Entry entry
    if start != NULL:
        leaf_find(page, size, start, start_size, &first)
    if stop != NULL:
        leaf_find(page, size, stop, stop_size, &last)
    while last > first:
        last -= 1
        leaf_entry(page, size, last, &entry)
        if discard_value(editor, &entry, pages) < 0:
            return editor.status
        leaf_remove(page, size, last)
        entries[0] += 1
    return 0


cdef int cut_child(
    Editor* editor, uint8_t* page, uint32_t level, uint32_t slot, const uint8_t* start, uint32_t start_size,
    const uint8_t* stop, uint32_t stop_size, uint64_t* entries, uint64_t* pages,
) noexcept nogil:
    """Cut inside one child and count what is left of it."""
    cdef uint64_t gone_entries = 0, gone_pages = 0
    cdef uint32_t count = entry_count(page)
    cdef uint8_t* child = own_child(editor, page, slot, level - 1)
    if child == NULL:
        return editor.status
    if cut(editor, child, level - 1, start, start_size, stop, stop_size, &gone_entries, &gone_pages) < 0:
        return editor.status
    branch_set_counts(
        page, slot, branch_entries(page, count, slot) - gone_entries, branch_pages(page, count, slot) - gone_pages
    )
    entries[0] += gone_entries
    pages[0] += gone_pages
    return 0


cdef int cut(
    Editor* editor, uint8_t* page, uint32_t level, const uint8_t* start, uint32_t start_size,
    const uint8_t* stop, uint32_t stop_size, uint64_t* entries, uint64_t* pages,
) noexcept nogil:
    """Cut a range out of an editable page: at most two children per level are entered, those between are dropped.

    Adds what went to `entries` and `pages`. May leave the page too empty, even without entries.
    """
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t count, first = 0, last, slot
    cdef uint64_t child_pages
    if level == 0:
        return cut_leaf(editor, page, start, start_size, stop, stop_size, entries, pages)
    count = entry_count(page)
    last = count                                   # children [first, last) go whole
    if start != NULL:
        branch_find(page, size, start, start_size, &first)
    if stop != NULL:
        branch_find(page, size, stop, stop_size, &last)
    if start != NULL and stop != NULL and first == last:
        if cut_child(editor, page, level, first, start, start_size, stop, stop_size, entries, pages) < 0:
            return editor.status
        return drop_if_empty(editor, page, level, first, pages)
    if stop != NULL and cut_child(editor, page, level, last, NULL, 0, stop, stop_size, entries, pages) < 0:
        return editor.status
    if start != NULL:
        if cut_child(editor, page, level, first, start, start_size, NULL, 0, entries, pages) < 0:
            return editor.status
        first += 1
    if stop != NULL and drop_if_empty(editor, page, level, last, pages) < 0:
        return editor.status
    slot = last
    while slot > first:
        slot -= 1
        count = entry_count(page)
        child_pages = branch_pages(page, count, slot)
        entries[0] += branch_entries(page, count, slot)
        pages[0] += child_pages
        if discard_subtree(editor, branch_child(page, slot), level - 1, child_pages) < 0:
            return editor.status
        branch_remove(page, size, slot)
    if start != NULL:
        return drop_if_empty(editor, page, level, first - 1, pages)
    return 0


cdef int drop_if_empty(
    Editor* editor, uint8_t* page, uint32_t level, uint32_t slot, uint64_t* pages
) noexcept nogil:
    """Take out a child that has no entry left."""
    cdef uint32_t count = entry_count(page)
    if branch_entries(page, count, slot):
        return 0
    pages[0] += branch_pages(page, count, slot)
    if discard_subtree(editor, branch_child(page, slot), level - 1, branch_pages(page, count, slot)) < 0:
        return editor.status
    branch_remove(page, editor.space.usable_size, slot)
    return 0


cdef bint too_empty(const uint8_t* page, uint32_t size, uint32_t level) noexcept nogil:
    """Less than a third full (a branch also: fewer than two children)."""
    cdef uint32_t free = branch_free(page) if level else leaf_free(page)
    return 3 * (size - free) < size or entry_count(page) < (2 if level else 1)


cdef int mend(Editor* editor, Tree* tree, const uint8_t* key, uint32_t key_size) noexcept nogil:
    """Merge or even out the pages along the path to `key` that are too empty; collapse the root. O(log n)."""
    cdef int status = CHANGED
    cdef uint32_t rounds = 4 * (tree.level + 2)
    cdef uint8_t* root
    while status == CHANGED and rounds:
        rounds -= 1
        if tree.root == 0:
            return 0
        root = own_root(editor, tree)
        if root == NULL:
            return editor.status
        if tree.entries == 0:
            return clear_tree(editor, tree)
        if tree.level and entry_count(root) == 1:
            tree.root = branch_child(root, 0)
            tree.level -= 1
            tree.pages -= 1
            if discard_page(editor, root) < 0:
                return editor.status
            continue
        status = mend_path(editor, tree, root, key, key_size)
        editor.version += 1
    return status if status < 0 else 0


cdef int mend_path(
    Editor* editor, Tree* tree, uint8_t* page, const uint8_t* key, uint32_t key_size
) noexcept nogil:
    """Find the topmost page below the root that is too empty and mend it: CHANGED; UNCHANGED if there is none."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t level = tree.level
    cdef uint32_t slot
    cdef uint64_t reference
    cdef int status
    cdef Path path
    while level:
        branch_find(page, size, key, key_size, &slot)
        path.pages[level] = DIRTY | <uint64_t><size_t>page
        path.slots[level] = slot
        reference = branch_child(page, slot)
        if not reference & DIRTY:
            return UNCHANGED                       # untouched from here on
        if too_empty(dirty_page(reference), size, level - 1):
            status = mend_child(editor, tree, &path, page, level, slot)
            if status != UNCHANGED:
                return status
        reference = branch_child(page, slot)
        level -= 1
        page = own_child(editor, page, slot, level)
        if page == NULL:
            return editor.status
    return UNCHANGED


cdef int gather_pair(
    Editor* editor, uint8_t* parent, uint32_t left_slot, uint32_t level
) noexcept nogil:
    """Copy children `left_slot` and the next into scratch and gather both; `level` is theirs. Number of left items."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint64_t reference
    cdef Separator separator
    cdef uint32_t i, prefix, left_count = 0
    for i in range(2):
        reference = branch_child(parent, left_slot + i)
        if copy_page(editor, reference, level, 0, reference, editor.scratch[i]) < 0:
            return editor.status
    editor.items.count = 0
    if level == 0:
        gather_leaf(&editor.items, editor.scratch[0], size)
        left_count = editor.items.count
        gather_leaf(&editor.items, editor.scratch[1], size)
    else:
        gather_branch(&editor.items, editor.scratch[0], size, NULL, 0)
        left_count = editor.items.count
        # The right page's first child stands under the separator that divides the two.
        branch_separator(parent, size, left_slot + 1, &separator)
        prefix = prefix_size(parent)
        memcpy(editor.separator, parent + size - prefix, prefix)
        memcpy(editor.separator + prefix, separator.suffix, separator.suffix_size)
        gather_branch(&editor.items, editor.scratch[1], size, editor.separator, prefix + separator.suffix_size)
    return <int>left_count


cdef bint has_runs(uint64_t reference) noexcept nogil:
    return reference & DIRTY and header_of(dirty_page(reference)).has_runs


cdef int own_emptied(Editor* editor, uint8_t* parent, uint32_t slot, uint8_t** page) noexcept nogil:
    """A page for child `slot` whose image is about to be built anew, without copying the old one."""
    cdef uint64_t reference = branch_child(parent, slot)
    if reference & DIRTY and header_of(dirty_page(reference)).epoch >= editor.seal:
        page[0] = <uint8_t*>dirty_page(reference)
        return 0
    page[0] = new_page(editor)
    if page[0] == NULL:
        return editor.status
    branch_set_child(parent, slot, DIRTY | <uint64_t><size_t>page[0])
    return discard_reference(editor, reference)


cdef int mend_child(
    Editor* editor, Tree* tree, Path* path, uint8_t* parent, uint32_t level, uint32_t slot
) noexcept nogil:
    """Child `slot` of `parent` (at `level`) is too empty: drop, merge, or even out with a neighbour."""
    cdef uint32_t count = entry_count(parent)
    cdef uint64_t pages = 0
    cdef int status = UNCHANGED
    if branch_entries(parent, count, slot) == 0:
        if drop_if_empty(editor, parent, level, slot, &pages) < 0:
            return editor.status
        tree.pages -= pages
        add_counts(tree, path, level + 1, 0, -<int64_t>pages)
        return CHANGED
    if slot > 0:
        status = join_children(editor, tree, path, parent, level, slot - 1)
    if status == UNCHANGED and slot + 1 < count:
        status = join_children(editor, tree, path, parent, level, slot)
    return status


cdef int join_children(
    Editor* editor, Tree* tree, Path* path, uint8_t* parent, uint32_t level, uint32_t left
) noexcept nogil:
    """Merge child `left` of `parent` with the next, or even the two out."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t count = entry_count(parent)
    cdef uint32_t total
    cdef int left_count
    cdef bint runs = has_runs(branch_child(parent, left)) or has_runs(branch_child(parent, left + 1))
    cdef uint8_t* page
    left_count = gather_pair(editor, parent, left, level - 1)
    if left_count < 0:
        return left_count
    if level == 1:
        total = leaf_size(&editor.items, 0, editor.items.count)
    else:
        total = branch_size(&editor.items, 0, editor.items.count)
    if total > size:
        return even_out(editor, parent, level, left, <uint32_t>left_count, runs)
    # Merge into the left page; the right one goes.
    if own_emptied(editor, parent, left, &page) < 0:
        return editor.status
    if level == 1:
        build_leaf(page, size, &editor.items, 0, editor.items.count)
    else:
        build_branch(page, size, level - 1, &editor.items, 0, editor.items.count)
    header_of(page).has_runs = runs
    if discard_reference(editor, branch_child(parent, left + 1)) < 0:
        return editor.status
    branch_set_counts(
        parent, left, branch_entries(parent, count, left) + branch_entries(parent, count, left + 1),
        branch_pages(parent, count, left) + branch_pages(parent, count, left + 1) - 1,
    )
    branch_remove(parent, size, left + 1)
    tree.pages -= 1
    add_counts(tree, path, level + 1, 0, -1)
    return CHANGED


cdef int even_out(
    Editor* editor, uint8_t* parent, uint32_t level, uint32_t left, uint32_t left_count, bint runs
) noexcept nogil:
    """Divide the gathered items of two neighbours evenly, if the parent has room for the new separator."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t least = 1 if level == 1 else 2
    cdef uint32_t split = choose_split(&editor.items, size, level == 1, least, 0)
    cdef uint32_t separator_size, i
    cdef uint8_t* page
    cdef Item* item
    if split == 0 or split == left_count:
        return UNCHANGED
    if level == 1:
        separator_size = common_prefix(&editor.items.items[split - 1], &editor.items.items[split]) + 1
    else:
        separator_size = item_key_size(&editor.items.items[split])
    copy_key(&editor.items.items[split], 0, separator_size, editor.separator_up)
    memcpy(editor.scratch[2], parent, size)
    editor.parents.count = 0
    gather_branch(&editor.parents, editor.scratch[2], size, NULL, 0)
    item = &editor.parents.items[left + 1]
    item.lead = NULL
    item.lead_size = 0
    item.rest = editor.separator_up
    item.rest_size = separator_size
    if branch_size(&editor.parents, 0, editor.parents.count) > size:
        return UNCHANGED
    for i in range(2):
        if own_emptied(editor, parent, left + i, &page) < 0:
            return editor.status
        if level == 1:
            build_leaf(page, size, &editor.items, split if i else 0, editor.items.count if i else split)
        else:
            build_branch(page, size, level - 1, &editor.items, split if i else 0, editor.items.count if i else split)
        header_of(page).has_runs = runs
        item = &editor.parents.items[left + i]
        item.child = DIRTY | <uint64_t><size_t>page
        page_totals(page, size, level - 1, editor.space.page_size, &item.entries, &item.pages)
    build_branch(parent, size, level, &editor.parents, 0, editor.parents.count)
    return CHANGED
