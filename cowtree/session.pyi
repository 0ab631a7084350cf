"""Compiled; for other compiled modules only."""

from cowtree.changes import Changes

class Session(Changes): ...
