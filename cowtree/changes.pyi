"""Compiled; for other compiled modules only."""

import struct

from cowtree.session_trees import SessionTrees

TREE_RECORD: struct.Struct

class Changes(SessionTrees): ...
