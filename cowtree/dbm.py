"""A database opened as `dbm.open` opens one: for programs that are written for that module.

    import cowtree.dbm

    with cowtree.dbm.open("cache.cow", "c") as db:
        db["key"] = "value"            # str is stored as UTF-8; what comes out is bytes
        print(db[b"key"], db.keys())   # b'value' [b'key']

As for the modules of `dbm`: keys and values go in as str or bytes and come out as bytes, `error` is what is raised, and
`firstkey` and `nextkey` walk over the keys (here in order). Every write is a durable commit; "f" in the flag makes
it a commit that a power cut may lose, as `sync=False` does, and `sync()` then makes all of them durable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from typing import Any, Self, final

import cowtree
from cowtree.errors import Error

__all__ = ["Dbm", "error", "library", "open"]

library = "cowtree.dbm"


class error(OSError):
    """What a database that was opened here raises; a missing key is a KeyError, as everywhere."""


Text = str | bytes


@final
class Dbm(MutableMapping[bytes, bytes]):
    """An open database, with the methods of `dbm`'s. Thread-safe. Made by `open`."""

    def __init__(self, database: cowtree.Database) -> None:
        self._database: cowtree.Database | None = database

    @property
    def database(self) -> cowtree.Database:
        """The database itself, with snapshots and all; `error` once this is closed."""
        if self._database is None:
            raise error("the database is closed")
        return self._database

    def __getitem__(self, key: Text) -> bytes:
        return bytes(self._call("__getitem__", _raw(key, "key")))

    def __setitem__(self, key: Text, value: Text) -> None:
        self._call("__setitem__", _raw(key, "key"), _raw(value, "value"))

    def __delitem__(self, key: Text) -> None:
        self._call("__delitem__", _raw(key, "key"))

    def __contains__(self, key: object) -> bool:
        return bool(self._call("__contains__", _raw(key, "key")))

    def __len__(self) -> int:
        return int(self._call("__len__"))

    def __iter__(self) -> Iterator[bytes]:
        keys = iter(self.database)
        while True:
            try:
                key = next(keys)
            except StopIteration:
                return
            except Error as failure:
                raise error(str(failure)) from failure
            yield key

    def keys(self) -> list[bytes]:  # type: ignore[override]
        """All keys, in order."""
        return list(self)

    def get(self, key: Text, default: Any = None) -> Any:
        """The value, or `default`."""
        return self._call("get", _raw(key, "key"), default)

    def setdefault(self, key: Text, default: Text = b"") -> bytes:
        """The value; `default`, stored, if there is none."""
        return bytes(self._call("setdefault", _raw(key, "key"), _raw(default, "value")))

    def pop(self, key: Text, *default: Any) -> Any:
        """The value, taken out; else `default`, or KeyError."""
        return self._call("pop", _raw(key, "key"), *default)

    def clear(self) -> None:
        """Take everything out, in one commit."""
        self._call("clear")

    def firstkey(self) -> bytes | None:
        """The first key, or None if there is none."""
        first = self._call("first")
        return None if first is None else first[0]

    def nextkey(self, key: Text) -> bytes | None:
        """The first key above `key`, which need not be there; None at the end. O(log n)."""
        following = self._call("higher", _raw(key, "key"))
        return None if following is None else following[0]

    def reorganize(self) -> None:
        """Give back the disk that what was overwritten takes."""
        self._call("compact")

    def sync(self) -> None:
        """Make every commit durable."""
        self._call("sync")

    def close(self) -> None:
        """Close the database; again does nothing."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _call(self, method: str, /, *arguments: Any) -> Any:
        """A method of the database; its errors but KeyError and TypeError as `error`."""
        database = self.database
        try:
            return getattr(database, method)(*arguments)
        except (Error, OSError) as failure:
            raise error(str(failure)) from failure


def open(
    file: str | bytes | os.PathLike[str] | os.PathLike[bytes], /, flag: str = "r", mode: int = 0o666
) -> Dbm:
    """Open the database in `file`.

    Args:
        file: one file, as it is: no suffix is added.
        flag: "r" to read, "w" to write what exists, "c" to create what does not exist, "n" for a new one: what was
            there is emptied, in one commit, and stays as history where the file keeps that.
            With "f" behind it ("cf"), commits are not synced, as with the modules of `dbm` that have this flag.
        mode: permissions of a created file, less the umask.

    Raises:
        ValueError: another flag.
        error: there is no such file, or it is no database, or cannot be opened. A file of something else is never
            changed, with "n" either, unless it is empty.
    """
    if not isinstance(flag, str):
        raise TypeError(f"a flag is a str, not {type(flag).__name__}")
    kind, fast = flag[:1], flag[1:]
    if kind not in ("r", "w", "c", "n") or fast not in ("", "f"):
        raise ValueError(f"a flag is 'r', 'w', 'c' or 'n', and perhaps 'f' behind it, not {flag!r}")
    path = os.fsdecode(file)
    try:
        if kind == "n" and os.path.isfile(path) and os.path.getsize(path) == 0:
            os.unlink(path)  # as programs leave that made a temporary file for its name
        database = cowtree.open(
            path,
            create=kind in ("c", "n"),
            readonly=kind == "r",
            mode=mode,
            sync=not fast,
        )
    except (Error, OSError) as failure:
        raise error(*_arguments(failure)) from failure
    opened = Dbm(database)
    if kind == "n" and len(database):
        try:
            opened.clear()
        except BaseException:
            opened.close()
            raise
    return opened


def _arguments(failure: BaseException) -> tuple[Any, ...]:
    """So that an `error` of an OSError has its errno, and its file's name."""
    if isinstance(failure, OSError) and failure.errno is not None:
        return failure.errno, failure.strerror, failure.filename
    return (str(failure),)


def _raw(given: object, what: str) -> bytes:
    if isinstance(given, str):
        return given.encode()
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    raise TypeError(f"a {what} is str or bytes, not {type(given).__name__}")
