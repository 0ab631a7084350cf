"""Before a large transaction is written: neighbouring leaves that it has all changed are filled up.

    branch | a b c d e f |              | a b  c  d |
             |  |  |  |  |  |      ->     |  |  |  |         those of random input are two thirds full
             2/3 full each                full but for a tenth

Costs less than writing the leaves that are saved, and every later read and scan gains. What small commits touch is not
packed: its neighbours would have to be copied too.
"""

from cowtree.tree.editor cimport Editor, Tree

# No savepoint is open. Leaves everything as it is where memory is short.
cdef void pack_tree(Editor* editor, Tree* tree) noexcept nogil
