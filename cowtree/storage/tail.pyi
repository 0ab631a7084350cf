"""What lies behind the newest record."""

from typing import final

from .page_file import PageFile

@final
class Tail:
    @property
    def zero_upto(self) -> int: ...
    @property
    def volatile_bound(self) -> int: ...
    @property
    def volatile_id_bound(self) -> int: ...
    def __init__(self, file: PageFile, boot: bytes, prefilled: bool) -> None: ...
