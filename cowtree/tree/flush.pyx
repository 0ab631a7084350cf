# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Number and write the dirty part of a tree, bottom-up. See `flush.pxd`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport ENTRY_KIND_MASK, ENTRY_RUN, load64, store64
from cowtree.pages.branch cimport branch_child, branch_set_child
from cowtree.pages.builder cimport branch_size, build_branch, build_leaf, gather_branch, gather_leaf, leaf_size
from cowtree.pages.leaf cimport Entry, entry_count, leaf_entry
from cowtree.storage.range_writer cimport RangeWriter
from cowtree.tree.dirty_pages cimport DirtyRun, header_of
from cowtree.tree.editor cimport take_spare
from cowtree.tree.view cimport DIRTY, dirty_page

cdef enum:
    EVERY_LEVEL = 256                # is written, however high


cdef bint flush_values(Editor* editor, uint8_t* page, uint64_t seal, RangeWriter writer) except -1:
    """Write the values that a leaf refers to and that have no number yet; True if all of them have numbers now.

    A sealed value stays in memory: a savepoint that is rolled back gives up every page written since it was opened,
    but what was sealed comes back.
    """
    cdef bint finished = True
    cdef uint32_t slot
    cdef Entry entry
    cdef DirtyRun* run
    cdef uint64_t reference
    for slot in range(entry_count(page)):
        leaf_entry(page, editor.space.usable_size, slot, &entry)
        if (entry.kind & ENTRY_KIND_MASK) != ENTRY_RUN:
            continue
        reference = load64(entry.value)
        if not reference & DIRTY:
            continue
        run = <DirtyRun*>dirty_page(reference)
        if run.number == 0 and run.epoch < seal:
            finished = False
            continue
        if run.number == 0:
            writer.add_run(run.data, run.value_size, &run.number)
        store64(<uint8_t*>entry.value, run.number)
    header_of(page).has_runs = not finished
    return finished


cdef int flush_page(
    Editor* editor, uint64_t reference, uint32_t level, uint32_t staying, uint64_t seal, RangeWriter writer, uint64_t* number
) except -1:
    """Write a page and what is dirty below it; `number` is its number, or 0 if it stays in memory: sealed pages do, what
    is above them, and the levels from `staying` on.

    A leaf takes the place of a page that was spilled and then changed, if there is one: a transaction over its memory
    budget takes as much of the disk as its pages are, however often they change. A branch is above all its children.
    """
    cdef uint8_t* page
    if not reference & DIRTY:
        number[0] = reference
        return 0
    page = <uint8_t*>dirty_page(reference)
    number[0] = 0
    if header_of(page).epoch < seal:
        return 0
    if level and (not flush_below(editor, page, level, staying, seal, writer) or level >= staying):
        return 0
    if not level and header_of(page).has_runs and not flush_values(editor, page, seal, writer):
        return 0
    if not level:
        number[0] = take_spare(editor, page)
    if number[0]:
        writer.rewrite_page(page, number[0])
    else:
        writer.add_page(page, number)
    header_of(page).written = True
    return 0


cdef bint flush_below(
    Editor* editor, uint8_t* page, uint32_t level, uint32_t staying, uint64_t seal, RangeWriter writer
) except -1:
    """Write the dirty children of a branch; True if all of them have numbers now."""
    cdef uint32_t slot
    cdef uint64_t number
    cdef bint finished = True
    for slot in range(entry_count(page)):
        if not branch_child(page, slot) & DIRTY:
            continue
        flush_page(editor, branch_child(page, slot), level - 1, staying, seal, writer, &number)
        if number:
            branch_set_child(page, slot, number)
        else:
            finished = False
    return finished


cdef int flush_children(Editor* editor, Tree* tree, RangeWriter writer) except -1:
    """Write all that is dirty below a dirty root, but not the root itself."""
    cdef uint8_t* page = <uint8_t*>dirty_page(tree.root)
    if tree.level:
        flush_below(editor, page, tree.level, EVERY_LEVEL, 0, writer)
    elif header_of(page).has_runs:
        flush_values(editor, page, 0, writer)
    return 0


cdef int flush_tree(Editor* editor, Tree* tree, RangeWriter writer) except -1:
    """Write all that is dirty in a tree; its root has a number then."""
    cdef uint64_t number
    if tree.root & DIRTY:
        flush_page(editor, tree.root, tree.level, EVERY_LEVEL, 0, writer, &number)
        tree.root = number
    return 0


cdef int spill_tree(Editor* editor, Tree* tree, bint branches, RangeWriter writer) except -1:
    """Write the leaves, or all subtrees below the root, but what a savepoint has sealed. The root stays in memory."""
    cdef uint8_t* page
    if not tree.root & DIRTY:
        return 0
    page = <uint8_t*>dirty_page(tree.root)
    if header_of(page).epoch < editor.seal:
        return 0
    if tree.level:
        flush_below(editor, page, tree.level, EVERY_LEVEL if branches else 1, editor.seal, writer)
    elif header_of(page).has_runs:
        flush_values(editor, page, editor.seal, writer)
    return 0


cdef uint32_t embed_root(Editor* editor, Tree* tree, uint8_t* into, uint32_t room) noexcept:
    """Build the dirty root's image in `room` bytes of the commit page (FORMAT §3.3): its size, or 0: it is too large."""
    cdef uint8_t* page = <uint8_t*>dirty_page(tree.root)
    cdef uint32_t size = editor.space.usable_size
    if tree.root & DIRTY == 0:
        return 0
    editor.items.count = 0
    if tree.level:
        gather_branch(&editor.items, page, size, NULL, 0)
        if branch_size(&editor.items, 0, editor.items.count) > room:
            return 0
        build_branch(into, room, tree.level, &editor.items, 0, editor.items.count)
    else:
        gather_leaf(&editor.items, page, size)
        if leaf_size(&editor.items, 0, editor.items.count) > room:
            return 0
        build_leaf(into, room, &editor.items, 0, editor.items.count)
    return room
