# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Differences between states, tree by tree. See `differences.pxd`.

Which trees differ is itself a difference: that of the two catalogues, whose records name the roots.
"""

from cowtree.commit_state cimport CommitState
from cowtree.reader cimport FixedSource
from cowtree.states cimport catalogue_of, fill_named
from cowtree.tree.cursor cimport TreeSource
from cowtree.tree.diff cimport diff_iterator
from cowtree.tree_codecs cimport text_of

from cowtree.catalogue import TAG, TREE
from cowtree.options import ALL


cdef object state_changes(
    CommitState old, CommitState new, TreeSource owner, object tree, bytes low, bytes high, bint values
):
    """An iterator of `Change` from one state to another of the same file: `tree` is ALL, a name or None.

    The default tree comes first, then the named ones in byte order. Ends with `owner`.
    """
    cdef list pairs = []
    names = [None, *changed_names(old, new, owner)] if tree is ALL else [tree]
    for name in names:                             # no comprehension: see `Reader.raw_keys`
        pairs.append((name, tree_source(old, name, owner), tree_source(new, name, owner)))
    return source_changes(pairs, low, high, values)


cdef TreeSource tree_source(CommitState state, str name, TreeSource owner):
    """One tree of a state, which ends with `owner`."""
    cdef FixedSource fixed = FixedSource.__new__(FixedSource)
    fixed.pinned = state
    fixed.owner = owner
    fixed.path = owner.source_path()
    fill_named(state, name, &fixed.view, fixed.path)
    return fixed


cdef list changed_names(CommitState old, CommitState new, TreeSource owner):
    """Names of the trees whose records differ, in byte order."""
    cdef list names = []
    path = owner.source_path()
    for key, _, _, _ in diff_iterator(
        catalogue_of(old, path), catalogue_of(new, path), TREE + b"\0", TAG, False, True
    ):
        names.append(text_of(key[1:]))
    return names


cdef object source_changes(list pairs, bytes low, bytes high, bint values):
    return iterate(pairs, low, high, values)


def iterate(pairs, low, high, values):
    """The changes of each (name, old source, new source) in turn."""
    from cowtree.feed import Change
    for name, old, new in pairs:
        for key, kind, before, after in diff_iterator(old, new, low, high, values, True):
            yield Change(name, key, kind, before, after)
