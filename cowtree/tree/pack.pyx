# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Fill up neighbouring leaves. See `pack.pxd`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from cowtree.layout cimport LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, TREE_HEADER_SIZE
from cowtree.pages.branch cimport branch_child, branch_entries, branch_pages, branch_set_counts
from cowtree.pages.builder cimport (
    Item, ItemList, branch_size, build_branch, build_leaf, common_prefix, gather_branch, gather_leaf, item_key_size,
)
from cowtree.pages.leaf cimport entry_count, leaf_free
from cowtree.tree.dirty_pages cimport arena_free_page, arena_page, header_of
from cowtree.tree.editor cimport page_totals
from cowtree.tree.view cimport DIRTY, dirty_page

cdef enum:
    PAGES_MIN = 64             # dirty ones, of all trees: less is not looked at
    RUN_MIN = 4                # neighbouring leaves
    SAVED_SHARE = 8            # at least an eighth of them must go
    FREE_SHARE = 10            # a tenth of a page is left free for what is put there later
    PACKED = 1                 # kind of a branch's item: a leaf made here


cdef void pack_tree(Editor* editor, Tree* tree) noexcept nogil:
    """O(dirty pages)."""
    if editor.arena.page_total < PAGES_MIN or tree.level == 0 or not tree.root & DIRTY:
        return
    tree.pages -= pack_below(editor, <uint8_t*>dirty_page(tree.root), tree.level)
    editor.last_leaf = NULL
    editor.version += 1


cdef uint64_t pack_below(Editor* editor, uint8_t* page, uint32_t level) noexcept nogil:
    """Pack the leaves below a dirty branch; how many pages that saved."""
    cdef uint64_t saved = 0, below, child
    cdef uint32_t slot, count
    if level == 1:
        return pack_leaves(editor, page)
    count = entry_count(page)
    for slot in range(count):
        child = branch_child(page, slot)
        if child & DIRTY:
            below = pack_below(editor, <uint8_t*>dirty_page(child), level - 1)
            if below:
                branch_set_counts(page, slot, branch_entries(page, count, slot), branch_pages(page, count, slot) - below)
                saved += below
    return saved


cdef uint64_t pack_leaves(Editor* editor, uint8_t* branch) noexcept nogil:
    """Pack each run of dirty leaves below a branch of level 1; how many pages that saved."""
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t slot, end, kept = 0, before = entry_count(branch)
    cdef int made
    cdef uint8_t* old = editor.scratch[1]
    cdef uint8_t* gone = editor.scratch[2]         # a byte for each child
    cdef Item* children = editor.parents.items
    memcpy(old, branch, size)
    memset(gone, False, before)
    editor.parents.count = 0
    gather_branch(&editor.parents, old, size, NULL, 0)
    for slot in range(before):
        children[slot].kind = 0
    slot = 0
    while slot < before:
        end = slot
        while end < before and branch_child(old, end) & DIRTY:
            end += 1
        made = pack_run(editor, old, slot, end, children + kept) if end - slot >= RUN_MIN else 0
        if made < 0:
            free_packed(editor, children, kept)    # as if nothing had happened
            return 0
        if made:
            memset(gone + slot, True, end - slot)
        else:
            end = max(end, slot + 1)
            made = end - slot
            memmove(children + kept, children + slot, made * sizeof(Item))
        kept += made
        slot = end
    editor.parents.count = kept
    if kept == before:
        return 0
    if kept < 2 or branch_size(&editor.parents, 0, kept) > size:
        free_packed(editor, children, kept)
        return 0
    build_branch(branch, size, 1, &editor.parents, 0, kept)
    for slot in range(before):
        if gone[slot]:
            arena_free_page(&editor.arena, <uint8_t*>dirty_page(branch_child(old, slot)))
    return before - kept


cdef void free_packed(Editor* editor, const Item* children, uint32_t count) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if children[i].kind == PACKED:
            arena_free_page(&editor.arena, <uint8_t*>dirty_page(children[i].child))


cdef int pack_run(Editor* editor, const uint8_t* branch, uint32_t start, uint32_t end, Item* children) noexcept nogil:
    """Put the entries of children [start, end) into fewer new leaves: how many; 0: it saves little; -1: no memory.

    `children` gets one item for each new leaf: they take the places of those in `editor.parents` from `start` on, or
    places before these.
    """
    cdef uint32_t size = editor.space.usable_size
    cdef uint32_t room = size - TREE_HEADER_SIZE - size // FREE_SHARE
    cdef uint32_t slot, count, limit, fitting, made = 0
    cdef uint64_t total = 0, entries = 0
    cdef bint runs = False
    cdef ItemList* items = &editor.items
    cdef uint8_t* leaf
    cdef Item last
    for slot in range(start, end):
        leaf = <uint8_t*>dirty_page(branch_child(branch, slot))
        total += size - TREE_HEADER_SIZE - leaf_free(leaf)
        entries += entry_count(leaf)
        runs |= header_of(leaf).has_runs
    count = <uint32_t>((total + room - 1) // room)
    if count + (end - start + SAVED_SHARE - 1) // SAVED_SHARE > end - start:
        return 0
    # As full as the last leaf allows, so that none is left nearly empty.
    limit = TREE_HEADER_SIZE + min(room, <uint32_t>(total // count + total // entries))
    items.count = 0
    for slot in range(start, end + 1):
        if slot < end:
            gather_leaf(items, dirty_page(branch_child(branch, slot)), size)
        while items.count:
            fitting = items_within(items, limit)
            if fitting == items.count and slot < end:
                break                              # the next leaf's may fit as well
            leaf = arena_page(&editor.arena, editor.epoch) if made < end - start else NULL
            if leaf == NULL:
                free_packed(editor, children, made)
                return -1
            build_leaf(leaf, size, items, 0, fitting)
            header_of(leaf).has_runs = runs
            # The first leaf takes the separator of the first child, which stands in `children` or further up.
            children[made] = items.items[0] if made else editor.parents.items[start]
            if made:
                cut_key(&children[made], common_prefix(&last, &items.items[0]) + 1)
            children[made].kind = PACKED
            children[made].child = DIRTY | <size_t>leaf
            page_totals(leaf, size, 0, editor.space.page_size, &children[made].entries, &children[made].pages)
            made += 1
            last = items.items[fitting - 1]
            items.count -= fitting
            memmove(items.items, items.items + fitting, items.count * sizeof(Item))
    return made


cdef uint32_t items_within(const ItemList* items, uint32_t limit) noexcept nogil:
    """How many of the first items a leaf of `limit` bytes holds; at least one. O(items)."""
    cdef uint32_t i, prefix = item_key_size(&items.items[0]), bytes = TREE_HEADER_SIZE
    cdef const Item* item
    for i in range(items.count):
        item = &items.items[i]
        # Sorted keys have in common what the first and the last have.
        prefix = min(prefix, common_prefix(&items.items[0], item))
        bytes += LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER + item_key_size(item) + item.value_size
        if i and bytes + prefix - prefix * (i + 1) > limit:
            return i
    return items.count


cdef inline void cut_key(Item* item, uint32_t size) noexcept nogil:
    """Shorten the key: the shortest separator that will do."""
    item.lead_size = min(item.lead_size, size)
    item.rest_size = size - item.lead_size
