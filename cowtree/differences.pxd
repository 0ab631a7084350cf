"""Differences between states, tree by tree."""

from cowtree.commit_state cimport CommitState
from cowtree.tree.cursor cimport TreeSource

cdef object state_changes(
    CommitState old, CommitState new, TreeSource owner, object tree, bytes low, bytes high, bint values
)
cdef object source_changes(list pairs, bytes low, bytes high, bint values)
cdef TreeSource tree_source(CommitState state, str name, TreeSource owner)
cdef list changed_names(CommitState old, CommitState new, TreeSource owner)
