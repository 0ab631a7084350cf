"""Compiled; for other compiled modules only."""

from cowtree.session_trees import Unsettled

class SortedLoad(Unsettled): ...
