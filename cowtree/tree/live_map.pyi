"""Compiled; for other compiled modules only."""

class LiveMap:
    count: int
