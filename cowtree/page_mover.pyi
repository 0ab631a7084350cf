"""Compiled; for other compiled modules only."""

from cowtree.storage.page_file import PageFile

class PageMover:
    target: PageFile
    moved: int
