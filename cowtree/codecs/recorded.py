"""A codec of which only the name counts."""

from __future__ import annotations

from cowtree.views import prefix_end

__all__ = ["RecordedCodec"]


class RecordedCodec:
    """Has the name of a codec and takes its bytes: a tree written through it records that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, obj: bytes, /) -> bytes:
        """The bytes themselves."""
        return obj

    def decode(self, data: bytes, /) -> bytes:
        """The bytes themselves."""
        return data

    def prefix(self, obj: bytes, /) -> tuple[bytes, bytes | None]:
        """As of bytes."""
        return obj, prefix_end(obj)
