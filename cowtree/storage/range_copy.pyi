"""Copies records into another file and seals every page anew, for that file's generation."""

from typing import Self

from .commit_record import CommitRecord
from .devices import Device
from .page_file import PageFile

class RangeCopier:
    zero_checksums: int
    def __new__(
        cls, source: PageFile, tip: CommitRecord, target: Device, generation: int
    ) -> Self: ...
    @property
    def end_page(self) -> int: ...
    @property
    def next_page(self) -> int: ...
    @property
    def unlucky(self) -> bool: ...
    def advance(self) -> int: ...
