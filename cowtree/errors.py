"""What can go wrong, as one tree of exceptions.

    Error
    ├── FormatError             not a cowtree database, or a newer format
    ├── CorruptionError         bytes that cannot be what was written
    ├── ReadOnlyError           a write through a read-only handle or file system
    ├── ClosedError             (ValueError) the handle was closed
    ├── LockTimeoutError        (TimeoutError) another writer kept the lock for too long
    ├── SnapshotGoneError       (LookupError) that commit is not kept any more
    ├── TransactionError        the transaction has ended, failed, or would wait for itself
    ├── CommitUncertainError    a sync failed: close and open again
    ├── CodecError              other codecs than the tree's
    │   └── DecodeError         (ValueError) stored bytes that the codec cannot decode
    ├── KeyTooLargeError        (ValueError)
    └── ValueTooLargeError      (ValueError)

A missing key is a `KeyError`; an error of the operating system is an `OSError` that keeps its errno. Neither is an
`Error`.
"""

from __future__ import annotations

__all__ = [
    "ClosedError",
    "CodecError",
    "CommitUncertainError",
    "CorruptionError",
    "DecodeError",
    "Error",
    "FormatError",
    "KeyTooLargeError",
    "LockTimeoutError",
    "ReadOnlyError",
    "SnapshotGoneError",
    "TransactionError",
    "ValueTooLargeError",
]


class Error(Exception):
    """Base of every error that cowtree itself raises."""


class FormatError(Error):
    """The file is not a cowtree database, or is of a format or with features that this release does not know.

    The file was not changed.
    """


class CorruptionError(Error):
    """Bytes in the file cannot be what was written there.

    Attributes: `path` (str or None), `page` (page number or None), `expected` and `found` (what disagrees, or None).
    """

    def __init__(
        self,
        reason: str,
        *,
        path: str | None = None,
        page: int | None = None,
        expected: object = None,
        found: object = None,
    ) -> None:
        self.reason = reason
        self.path = path
        self.page = page
        self.expected = expected
        self.found = found
        text = reason
        if expected is not None or found is not None:
            text += f" (expected {expected!r}, found {found!r})"
        if page is not None:
            text = f"page {page}: {text}"
        if path is not None:
            text = f"{path}: {text}"
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        return (
            _corruption_error,
            (self.reason, self.path, self.page, self.expected, self.found),
        )


def _corruption_error(
    reason: str, path: str | None, page: int | None, expected: object, found: object
) -> CorruptionError:
    return CorruptionError(reason, path=path, page=page, expected=expected, found=found)


class ReadOnlyError(Error):
    """A write was asked of a handle that was opened read-only."""


class ClosedError(Error, ValueError):
    """The handle was closed before the call, or while it waited."""


class LockTimeoutError(Error, TimeoutError):
    """Another writer held the lock for longer than `timeout` seconds. Nothing changed."""


class SnapshotGoneError(Error, LookupError):
    """The commit that was asked for is not kept any more, or belongs to another past."""


class TransactionError(Error):
    """The transaction has ended or failed, or the call would wait for this thread's own transaction."""


class CommitUncertainError(Error):
    """A sync failed, so it is unknown whether the commit is on the disk.

    Reads go on at the last published commit; every write raises this again until all handles of the file are closed
    and it is opened anew, which verifies the file from the device.
    """


class CodecError(Error):
    """A tree was opened with other codecs than those it was written with."""


class DecodeError(CodecError, ValueError):
    """Stored bytes are not what the codec writes.

    Attributes: `tree` (its name; None: the default tree), `key` (the raw key, of the value too; or None), `codec` (the
    name of the codec).
    """

    def __init__(
        self,
        reason: str,
        *,
        tree: str | None = None,
        key: bytes | None = None,
        codec: str = "",
    ) -> None:
        self.reason = reason
        self.tree = tree
        self.key = key
        self.codec = codec
        text = f"not {codec}: {reason}" if codec else reason
        if key is not None:
            text = f"key {_shortened(key)}: {text}"
        if tree is not None:
            text = f"tree {tree!r}: {text}"
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        return (_decode_error, (self.reason, self.tree, self.key, self.codec))


def _decode_error(reason: str, tree: str | None, key: bytes | None, codec: str) -> DecodeError:
    return DecodeError(reason, tree=tree, key=key, codec=codec)


_SHOWN_SIZE = 40  # bytes of a key in a message


def _shortened(key: bytes) -> str:
    if len(key) <= _SHOWN_SIZE:
        return repr(key)
    return f"{key[:_SHOWN_SIZE]!r}... ({len(key)} bytes)"


class KeyTooLargeError(Error, ValueError):
    """The key is longer than `db.key_size_max` bytes. Nothing changed."""


class ValueTooLargeError(Error, ValueError):
    """The value is longer than `db.value_size_max` bytes. Nothing changed."""
