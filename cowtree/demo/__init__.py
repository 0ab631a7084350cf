"""`cowtree demo`: a directory tree as a database, read by threads while it changes, and a writer that is killed.

`run` tells the story; `files` walks the tree and keeps the books, `readers` verify snapshots, `crash` kills `child`,
`loading` stores the same files alone with cowtree and with LMDB for comparison.
"""

from __future__ import annotations

from cowtree.demo.story import run

__all__ = ["run"]
