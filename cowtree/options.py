"""Arguments: their defaults, and the checks at the border."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, final
else:

    def final(decorated):
        return decorated


__all__ = ["ALL", "DEFAULT", "VALUE_SIZE_MAX", "Default", "as_bytes"]

NOTE_SIZE_MAX: Final = 1024
"""Longest note of a commit, in bytes: it lives in the commit page beside the root."""

VALUE_SIZE_MAX: Final = 1 << 36
"""Longest value, in bytes (64 GiB). The format could hold more; no Python program should."""


@final
class Default:
    """The type of `DEFAULT`."""

    _instance: Default | None = None

    def __new__(cls) -> Default:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "cowtree.DEFAULT"

    def __reduce__(self) -> str:
        return "DEFAULT"


@final
class All:
    """The type of `ALL`."""

    _instance: All | None = None

    def __new__(cls) -> All:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "cowtree.ALL"

    def __reduce__(self) -> str:
        return "ALL"


ALL: Final = All()
"""Every tree of a database, the default one included."""


DEFAULT: Final = Default()
"""'As the database has it', or: the argument was not given."""


def as_bytes(value: object, what: str) -> bytes:
    """The bytes of a C-contiguous buffer, copied; TypeError for anything else, naming the codec to use."""
    if isinstance(value, bytes):
        return bytes(value)
    try:
        view = memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        raise wrong_type(value, what) from None
    if not view.c_contiguous:
        raise TypeError(f"a {what} must be a C-contiguous buffer")
    return view.tobytes()


def wrong_type(value: object, what: str) -> TypeError:
    """The TypeError for a key or value that is not bytes-like."""
    codec = {str: "Text", int: "Int", bool: "Int", float: "Float", tuple: "Tuple"}.get(
        type(value), "MsgPack"
    )
    if what == "key" and codec == "MsgPack":
        codec = "Tuple"
    if what == "value" and codec in ("Tuple", "Int", "Float"):
        codec = "MsgPack"
    return TypeError(
        f"a {what} must be bytes or another C-contiguous buffer, not {type(value).__name__}; "
        f"for such a {what} open the tree with the codec cowtree.codecs.{codec}"
    )


def check_timeout(timeout: object) -> float | None:
    """Seconds to wait: None = for ever, 0 = not at all."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout is a number of seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout is not negative: {timeout}")
    return float(timeout)


def check_page_size(page_size: object) -> None:
    """A power of two from 4096 to 65536."""
    if not isinstance(page_size, int) or isinstance(page_size, bool):
        raise TypeError(f"page_size is an int, not {type(page_size).__name__}")
    if page_size & (page_size - 1) or not 4096 <= page_size <= 65536:
        raise ValueError(f"page_size is a power of two from 4096 to 65536, not {page_size}")
