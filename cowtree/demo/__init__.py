"""`cowtree demo`: a directory tree as a database, read by threads while it changes, and a writer that is killed.

`run` tells the story; `files` walks the tree, `readers` verify snapshots, `crash` kills a child, `lmdb_side` loads the
same into LMDB for comparison.
"""

from __future__ import annotations

from cowtree.demo.story import run

__all__ = ["run"]
