"""Many look-ups at once: a group of keys goes down the tree in step, so that their cache misses overlap.

    keys ── pieces of 256 ── groups of 16: level by level, ask for the next page of each, then search each ── values

A single look-up waits for memory at each level; here the waits of a group are one (Kocberber et al., "Asynchronous
Memory Access Chaining", 2015; Chen et al., "Improving Hash Join Performance through Prefetching", 2004).
"""

from cowtree.tree.columns cimport Column
from cowtree.tree.cursor cimport TreeSource
from cowtree.tree.view cimport TreeView


# The values of `keys` (a list of bytes) in their order, `default` where there is none. The tree does not change and lies
# in pages with numbers. O(n log N); lets go of the GIL while it searches, unless the space is mirrored.
cdef list find_values(TreeSource source, const TreeView* view, list keys, object default)

# The same as one column, in which missing rows are marked. OverflowError above 2 GiB.
cdef Column find_column(TreeSource source, const TreeView* view, list keys)
