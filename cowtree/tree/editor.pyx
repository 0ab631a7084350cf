# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Editing sessions: private copies of pages, what they replace, and savepoint epochs. See `editor.pxd`."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort, realloc
from libc.string cimport memcpy, memset
from posix.unistd cimport pread

from cowtree.layout cimport (
    BITMAP_SIZE, BRANCH_SLOT_SIZE, ENTRY_KIND_MASK, ENTRY_RUN, KIND_BRANCH, KIND_LEAF, LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, PAGE_BIRTH, PAGE_KIND,
    PAGE_LEVEL, load64, run_page_count,
)
from cowtree.pages.branch cimport (
    branch_child, branch_entries, branch_pages, branch_set_child, branch_set_counts, lay_out_branch,
)
from cowtree.pages.builder cimport Item, build_branch, build_leaf, gather_branch, gather_leaf
from cowtree.pages.leaf cimport DAMAGED, entry_count, lay_out_leaf, leaf_entry, leaf_kind
from cowtree.storage.fault_guard cimport guarded, guarded_copy
from cowtree.storage.page_file cimport SPACE_IO, Space, space_is_verified
from cowtree.tree.dirty_pages cimport (
    DirtyRun, arena_clear, arena_free_page, arena_free_run, arena_init, arena_page, header_of,
)
from cowtree.tree.view cimport DIRTY, admit_page, dirty_page


cdef int editor_init(Editor* editor, const Space* space) except -1:
    """Allocate the working memory of a session: two pages, two keys, items of two pages."""
    memset(editor, 0, sizeof(Editor))
    editor.items.capacity = 2 * (space.page_size // (LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER)) + 8
    editor.items.items = <Item*>malloc(editor.items.capacity * sizeof(Item))
    editor.parents.capacity = space.page_size // BRANCH_SLOT_SIZE + 8
    editor.parents.items = <Item*>malloc(editor.parents.capacity * sizeof(Item))
    editor.scratch[0] = <uint8_t*>malloc(space.page_size)
    editor.scratch[1] = <uint8_t*>malloc(space.page_size)
    editor.scratch[2] = <uint8_t*>malloc(space.page_size)
    editor.separator = <uint8_t*>malloc(space.page_size)
    editor.separator_up = <uint8_t*>malloc(space.page_size)
    arena_init(&editor.arena, space.page_size)
    if (
        editor.items.items == NULL or editor.parents.items == NULL
        or editor.scratch[0] == NULL or editor.scratch[1] == NULL or editor.scratch[2] == NULL
        or editor.separator == NULL or editor.separator_up == NULL
    ):
        editor_release(editor)
        raise MemoryError
    return 0


cdef void editor_begin(Editor* editor, const Space* space, uint64_t limit, uint64_t birth) noexcept nogil:
    """Start a session over the pages below `limit` that makes commit `birth`; working memory is kept."""
    editor.space = space
    editor.limit = limit
    editor.birth = birth
    editor.epoch = 1
    editor.seal = 0
    editor.version += 1
    editor.status = 0
    editor.failed_page = 0
    editor.last_leaf = NULL
    editor.retired_count = 0
    editor.replaced_count = 0
    editor.spare_count = 0
    editor.own_first = <uint64_t>-1


cdef void editor_release(Editor* editor) noexcept nogil:
    """Free all memory of the session."""
    arena_clear(&editor.arena)
    free(editor.items.items)
    free(editor.scratch[0])
    free(editor.scratch[1])
    free(editor.scratch[2])
    free(editor.parents.items)
    free(editor.separator)
    free(editor.separator_up)
    free(editor.retired)
    free(editor.replaced)
    free(editor.spare)
    memset(editor, 0, sizeof(Editor))


cdef int fail(Editor* editor, int status, uint64_t page) noexcept nogil:
    editor.status = status
    editor.failed_page = page
    return status


cdef int retire(Editor* editor, uint64_t page, uint64_t count, uint64_t birth, bint subtree) noexcept nogil:
    """Note that numbered pages are not needed any more (FORMAT §3.4). Amortised O(1).

    A page that the session wrote itself is spare then, unless a savepoint may need it: nobody else knows of it.
    """
    cdef size_t capacity
    cdef RetiredItem* grown
    if page >= editor.own_first and count == 1 and editor.seal == 0:
        return put_spare(editor, page)
    if editor.retired_count == editor.retired_capacity:
        capacity = editor.retired_capacity * 2 + 64
        grown = <RetiredItem*>realloc(editor.retired, capacity * sizeof(RetiredItem))
        if grown == NULL:
            return fail(editor, NO_MEMORY, 0)
        editor.retired = grown
        editor.retired_capacity = capacity
    cdef RetiredItem* item = &editor.retired[editor.retired_count]
    item.page = page
    item.count = count
    # The birth is read from a page that was verified, but is clamped: the list stores its distance.
    item.birth = birth if birth < editor.birth else editor.birth
    item.subtree = subtree
    editor.retired_count += 1
    return 0


cdef int put_spare(Editor* editor, uint64_t page) noexcept nogil:
    cdef size_t capacity
    cdef uint64_t* grown
    if editor.spare_count == editor.spare_capacity:
        capacity = editor.spare_capacity * 2 + 64
        grown = <uint64_t*>realloc(editor.spare, capacity * sizeof(uint64_t))
        if grown == NULL:
            return fail(editor, NO_MEMORY, 0)
        editor.spare = grown
        editor.spare_capacity = capacity
    editor.spare[editor.spare_count] = page
    editor.spare_count += 1
    return 0


cdef uint64_t take_spare(Editor* editor, const uint8_t* leaf) noexcept nogil:
    cdef uint64_t number
    cdef uint32_t slot
    cdef Entry entry
    if editor.spare_count == 0 or editor.seal:
        return 0
    number = editor.spare[editor.spare_count - 1]
    for slot in range(entry_count(leaf)):
        leaf_entry(leaf, editor.space.usable_size, slot, &entry)
        if (entry.kind & ENTRY_KIND_MASK) == ENTRY_RUN and load64(entry.value) >= number:
            return 0                               # what a page refers to has a smaller number (D4)
    editor.spare_count -= 1
    return number


cdef int descending(const void* a, const void* b) noexcept nogil:
    cdef uint64_t first = (<const uint64_t*>a)[0], second = (<const uint64_t*>b)[0]
    return (first < second) - (first > second)


cdef void order_spares(Editor* editor) noexcept nogil:
    """So that leaves next to each other are written next to each other where that is possible."""
    qsort(editor.spare, editor.spare_count, sizeof(uint64_t), &descending)


cdef int retire_spares(Editor* editor) noexcept nogil:
    """What is left of them is garbage in the range."""
    cdef uint64_t own_first = editor.own_first
    cdef size_t i
    editor.own_first = <uint64_t>-1
    for i in range(editor.spare_count):
        if retire(editor, editor.spare[i], 1, editor.birth, False) < 0:
            return editor.status
    editor.spare_count = 0
    editor.own_first = own_first
    return 0


cdef int keep_replaced(Editor* editor, void* thing, bint is_run) noexcept nogil:
    """A sealed page or value that only an open savepoint may still need."""
    cdef size_t capacity
    cdef Replaced* grown
    if editor.replaced_count == editor.replaced_capacity:
        capacity = editor.replaced_capacity * 2 + 64
        grown = <Replaced*>realloc(editor.replaced, capacity * sizeof(Replaced))
        if grown == NULL:
            return fail(editor, NO_MEMORY, 0)
        editor.replaced = grown
        editor.replaced_capacity = capacity
    editor.replaced[editor.replaced_count].thing = thing
    editor.replaced[editor.replaced_count].is_run = is_run
    editor.replaced_count += 1
    return 0


cdef int discard_page(Editor* editor, uint8_t* page) noexcept nogil:
    """A dirty page is not needed by the present state any more."""
    if editor.last_leaf == page:
        editor.last_leaf = NULL
    if header_of(page).epoch >= editor.seal:
        arena_free_page(&editor.arena, page)
        return 0
    return keep_replaced(editor, page, False)


cdef int read_birth(Editor* editor, uint64_t number, uint64_t* birth) noexcept nogil:
    """The birth in the header of a numbered page or run, without verifying it."""
    cdef uint8_t raw[8]
    cdef const Space* space = editor.space
    cdef int status
    if number >= editor.limit:
        return fail(editor, DAMAGED, number)
    if space.mirrored:
        if pread(space.fd, raw, 8, (number << space.shift) + PAGE_BIRTH) != 8:
            return fail(editor, SPACE_IO, number)
    else:
        status = guarded_copy(
            raw, space.base + (number << space.shift) + PAGE_BIRTH, 8,
            space.base, space.base + (space.page_limit << space.shift),
        )
        if status < 0:
            return fail(editor, status, number)
    birth[0] = load64(raw)
    return 0


cdef int discard_reference(Editor* editor, uint64_t reference) noexcept nogil:
    """A page, dirty or numbered, is not needed any more."""
    cdef uint64_t birth = 0
    if reference & DIRTY:
        return discard_page(editor, <uint8_t*>dirty_page(reference))
    if read_birth(editor, reference, &birth) < 0:
        return editor.status
    return retire(editor, reference, 1, birth, False)


cdef int discard_value(Editor* editor, const Entry* entry, uint64_t* pages) noexcept nogil:
    """Give up the run of an entry, if it has one; adds its pages to `pages`."""
    cdef uint64_t reference, count, birth = 0
    cdef DirtyRun* run
    if (entry.kind & ENTRY_KIND_MASK) != ENTRY_RUN:
        return 0
    reference = load64(entry.value)
    count = run_page_count(load64(entry.value + 16), editor.space.page_size)
    pages[0] += count
    if not reference & DIRTY:
        if read_birth(editor, reference, &birth) < 0:
            return editor.status
        return retire(editor, reference, count, birth, False)
    run = <DirtyRun*>dirty_page(reference)
    if run.number and retire(editor, run.number, count, editor.birth, False) < 0:
        return editor.status
    if run.epoch >= editor.seal:
        arena_free_run(&editor.arena, run)
        return 0
    return keep_replaced(editor, run, True)


cdef int discard_subtree(Editor* editor, uint64_t reference, uint32_t level, uint64_t pages) noexcept nogil:
    """Give up a page and all below it. Numbered subtrees are cut, not visited; dirty pages are walked."""
    cdef uint64_t birth = 0, dropped = 0
    cdef const uint8_t* page
    cdef uint32_t i, count
    cdef Entry entry
    if not reference & DIRTY:
        if read_birth(editor, reference, &birth) < 0:
            return editor.status
        return retire(editor, reference, pages, birth, pages > 1)
    page = dirty_page(reference)
    count = entry_count(page)
    for i in range(count):
        if level:
            if discard_subtree(editor, branch_child(page, i), level - 1, branch_pages(page, count, i)) < 0:
                return editor.status
        else:
            leaf_entry(page, editor.space.usable_size, i, &entry)
            if discard_value(editor, &entry, &dropped) < 0:
                return editor.status
    return discard_page(editor, <uint8_t*>page)


cdef uint8_t* new_page(Editor* editor) noexcept nogil:
    """A private page of undefined content, or NULL."""
    cdef uint8_t* page = arena_page(&editor.arena, editor.epoch)
    if page == NULL:
        fail(editor, NO_MEMORY, 0)
    return page


cdef struct Admission:
    const Space* space
    uint64_t number
    uint64_t limit
    uint32_t offset


cdef int run_admit(void* argument) noexcept nogil:
    cdef Admission* admission = <Admission*>argument
    return admit_page(admission.space, admission.number, admission.offset, admission.limit)


cdef int copy_page(
    Editor* editor, uint64_t reference, uint32_t level, uint32_t offset, uint64_t limit, uint8_t* into
) noexcept nogil:
    """Copy the image of a page into private memory. An embedded root is widened to a page.

    The page was validated when it was met first; the copy is looked at once more, because bytes can change beneath a
    mapping, and only for what keeps an edit inside its page and its references: the order of keys was a third of the
    instructions of a small commit.
    """
    cdef uint8_t bitmap[BITMAP_SIZE]
    cdef const Space* space = editor.space
    cdef uint32_t size = space.usable_size - offset
    cdef uint8_t* target = into
    cdef Admission admission
    cdef int status
    if reference & DIRTY:
        memcpy(into, dirty_page(reference), size)
        return 0
    if offset:
        target = editor.scratch[0]
    # A page met here for the first time is verified first: damage must not be copied under a new checksum.
    if reference >= editor.limit:
        return fail(editor, DAMAGED, reference)
    if not space_is_verified(space, reference):
        admission.space = space
        admission.number = reference
        admission.offset = offset
        admission.limit = limit
        status = guarded(run_admit, &admission, space.base, space.base + (space.page_limit << space.shift))
        if status < 0:
            return fail(editor, status, reference)
    status = guarded_copy(
        target, space.base + (reference << space.shift) + offset, size,
        space.base, space.base + (space.page_limit << space.shift),
    )
    if status < 0:
        return fail(editor, status, reference)
    if target[PAGE_LEVEL] != level or target[PAGE_KIND] != (KIND_BRANCH if level else KIND_LEAF):
        return fail(editor, DAMAGED, reference)
    if level:
        status = lay_out_branch(target, size, limit, bitmap)
    else:
        status = lay_out_leaf(target, size, limit, bitmap)
    if status < 0:
        return fail(editor, DAMAGED, reference)
    if offset:
        editor.items.count = 0
        if level:
            gather_branch(&editor.items, target, size, NULL, 0)
            build_branch(into, space.usable_size, level, &editor.items, 0, editor.items.count)
        else:
            gather_leaf(&editor.items, target, size)
            build_leaf(into, space.usable_size, &editor.items, 0, editor.items.count)
    return 0


cdef uint8_t* own_page(
    Editor* editor, uint64_t reference, uint32_t level, uint32_t offset, uint64_t limit
) noexcept nogil:
    """The page itself if it may be edited, else an editable copy that takes its place; NULL: `editor.status`."""
    cdef uint8_t* page
    cdef int status = 0
    if reference & DIRTY and header_of(dirty_page(reference)).epoch >= editor.seal:
        return <uint8_t*>dirty_page(reference)
    page = new_page(editor)
    if page == NULL:
        return NULL
    if copy_page(editor, reference, level, offset, limit, page) < 0:
        arena_free_page(&editor.arena, page)
        return NULL
    if reference & DIRTY:
        header_of(page).has_runs = header_of(dirty_page(reference)).has_runs
        status = discard_page(editor, <uint8_t*>dirty_page(reference))
    elif not offset:
        status = retire(editor, reference, 1, load64(page + PAGE_BIRTH), False)
    return page if status >= 0 else NULL


cdef uint8_t* own_root(Editor* editor, Tree* tree) noexcept nogil:
    """The root as an editable page; the tree is not empty."""
    cdef uint8_t* page = own_page(
        editor, tree.root, tree.level, tree.offset,
        editor.limit if tree.offset or tree.root & DIRTY else tree.root,
    )
    if page == NULL:
        return NULL
    if tree.offset:
        tree.pages += 1
        tree.offset = 0
    tree.root = DIRTY | <uint64_t><size_t>page
    tree.changed = True
    editor.version += 1
    return page


cdef uint8_t* own_child(Editor* editor, uint8_t* parent, uint32_t slot, uint32_t level) noexcept nogil:
    """Child `slot` of an editable branch as an editable page; `level` is the child's."""
    cdef uint64_t reference = branch_child(parent, slot)
    cdef uint8_t* page = own_page(editor, reference, level, 0, reference)
    if page != NULL:
        branch_set_child(parent, slot, DIRTY | <uint64_t><size_t>page)
    return page


cdef uint8_t* own_path(Editor* editor, Tree* tree, Path* path) noexcept nogil:
    """Make every page of the path editable, root first; returns the leaf. O(log n) copies."""
    cdef uint8_t* page
    cdef uint32_t level = tree.level
    # A leaf became editable after the pages above it, so that these need no look: a header each, in memory far apart.
    if path.pages[0] & DIRTY and header_of(dirty_page(path.pages[0])).epoch >= editor.seal:
        editor.version += 1
        return <uint8_t*>dirty_page(path.pages[0])
    page = own_root(editor, tree)
    while page != NULL:
        path.pages[level] = DIRTY | <uint64_t><size_t>page
        if level == 0:
            break
        level -= 1
        page = own_child(editor, page, path.slots[level + 1], level)
    return page


cdef void page_totals(
    const uint8_t* page, uint32_t size, uint32_t level, uint32_t page_size, uint64_t* entries, uint64_t* pages
) noexcept nogil:
    """Entries below a page, and pages below and with it. O(entries of the page)."""
    cdef uint32_t i, count = entry_count(page)
    cdef Entry entry
    entries[0] = 0 if level else count
    pages[0] = 1
    for i in range(count):
        if level:
            entries[0] += branch_entries(page, count, i)
            pages[0] += branch_pages(page, count, i)
        elif leaf_kind(page, count, i) == ENTRY_RUN:
            leaf_entry(page, size, i, &entry)
            pages[0] += run_page_count(load64(entry.value + 16), page_size)


cdef void add_counts(
    Tree* tree, const Path* path, uint32_t from_level, int64_t entries, int64_t pages
) noexcept nogil:
    """Add to what the branches of an owned path from `from_level` upwards count below the path's child."""
    cdef uint32_t level, count, slot
    cdef uint8_t* page
    for level in range(from_level, tree.level + 1):
        page = <uint8_t*>dirty_page(path.pages[level])
        count = entry_count(page)
        slot = path.slots[level]
        branch_set_counts(
            page, slot,
            branch_entries(page, count, slot) + <uint64_t>entries, branch_pages(page, count, slot) + <uint64_t>pages,
        )


cdef int seal_epoch(Editor* editor) noexcept nogil:
    """Open a savepoint: what is dirty now is copied from here on, not edited."""
    editor.epoch += 1
    editor.seal = editor.epoch
    editor.last_leaf = NULL
    editor.version += 1
    return 0


cdef void release_epoch(Editor* editor, size_t replaced_before, uint64_t outer_seal) noexcept nogil:
    """Close a savepoint and keep what was done: free what it alone had kept."""
    cdef size_t i, kept = replaced_before
    cdef Replaced* item
    for i in range(replaced_before, editor.replaced_count):
        item = &editor.replaced[i]
        if item.is_run and (<DirtyRun*>item.thing).epoch >= outer_seal:
            arena_free_run(&editor.arena, <DirtyRun*>item.thing)
        elif not item.is_run and header_of(<uint8_t*>item.thing).epoch >= outer_seal:
            arena_free_page(&editor.arena, <uint8_t*>item.thing)
        else:
            editor.replaced[kept] = item[0]
            kept += 1
    editor.replaced_count = kept
    editor.seal = outer_seal
