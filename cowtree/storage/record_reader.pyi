"""Commit pages of a file's past, read from memory."""

from .commit_record import CommitRecord
from .page_file import PageFile, PageSpace

class RecordReader:
    file: PageFile
    def __init__(self, file: PageFile, space: PageSpace) -> None: ...
    @property
    def path(self) -> str | None: ...
    def read_commit(self, number: int) -> CommitRecord: ...
