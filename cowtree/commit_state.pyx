# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""States of a database. See `commit_state.pxd`."""

from libc.stdint cimport uint32_t, uint64_t

from cowtree.storage.commit_record cimport FLAG_EMBEDDED, CommitRecord, TreeReference
from cowtree.storage.page_file cimport PageSpace, Space
from cowtree.tree.view cimport TreeView


cdef class CommitState:
    """See `commit_state.pxd`."""


cdef void fill_view(
    TreeView* view, const Space* space, const TreeReference* tree, uint64_t limit, uint32_t embedded_offset
) noexcept:
    view.space = space
    view.root = tree.root
    view.entries = tree.entries
    view.level = tree.level
    view.limit = limit
    view.offset = embedded_offset


cdef CommitState state_in(CommitRecord record, PageSpace space):
    """Views of a record's trees over a mapping that holds them."""
    cdef CommitState state = CommitState.__new__(CommitState)
    state.record = record
    state.end = record.fields.page + record.fields.page_count
    state.space = space
    state.named = {}
    fill_view(
        &state.default_tree, &state.space.space, &record.fields.default_tree, state.end,
        record.fields.embedded_offset if record.fields.flags & FLAG_EMBEDDED else 0,
    )
    fill_view(&state.catalogue, &state.space.space, &record.fields.catalogue, state.end, 0)
    state.tail_in_file = False                 # not looked up yet
    return state
