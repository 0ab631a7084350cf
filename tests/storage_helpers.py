"""Small files and pages for the tests of cowtree/storage."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cowtree.storage.creation import create_file
from cowtree.storage.page_file import PageFile, open_page_file
from cowtree.storage.recovery import find_tip

PAGE = 4096


def leaf_page(fill: int = 7, page_size: int = PAGE) -> bytearray:
    """An image that storage takes for a leaf: it looks at the kind only."""
    page = bytearray(page_size)
    page[24] = 3
    page[40:] = bytes([fill]) * (page_size - 40)
    return page


def new_file(directory: Path, page_size: int = PAGE, **options: object) -> tuple[PageFile, object]:
    """A new database file, open, and its first record."""
    path = os.path.join(directory, "test.cow")
    create_file(path, page_size)
    page_file = open_page_file(path, **options)
    return page_file, find_tip(page_file).tip


def reopened(page_file: PageFile) -> PageFile:
    page_file.close()
    return open_page_file(page_file.path)


class Trace:
    """Records operations; fails the one numbered `fail_at` with `code`, and all later ones if `for_ever`."""

    def __init__(self, fail_at: int = -1, code: int = errno.EIO) -> None:
        self.operations: list[tuple[object, ...]] = []
        self.fail_at = fail_at
        self.code = code
        self.short: int | None = None

    def _step(self, *operation: object) -> int | None:
        self.operations.append(operation)
        if len(self.operations) - 1 == self.fail_at:
            if self.short is not None:
                return self.short
            raise OSError(self.code, os.strerror(self.code))
        return None

    def write(self, offset: int, data: bytes) -> int | None:
        return self._step("write", offset, data)

    def sync(self) -> None:
        self._step("sync")

    def sync_range(self, offset: int, size: int) -> None:
        self._step("sync_range", offset, size)

    def truncate(self, size: int) -> None:
        self._step("truncate", size)
