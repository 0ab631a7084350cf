"""Compiled; for other compiled modules only."""

from cowtree.renumbering import Renumbering
from cowtree.storage.page_file import PageFile

class PageMover(Renumbering):
    target: PageFile
    moved: int
