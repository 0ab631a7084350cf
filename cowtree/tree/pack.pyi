"""Compiled; for other compiled modules only."""
