"""A cache of a function's results that outlives the program and that its processes share.

`@cached(db)` is used as `functools.cache` is; `cache_clear`, `cache_info` and `cache_discard` are there, too. With
`maxsize` the results stored first go first, which a second tree, in order of storing, makes one range to delete.
Arguments are a `Tuple` key: None, bool, int, float, str, bytes, UUIDs or tuples of these, and 1 and 1.0 are two calls.
Results are what MsgPack takes. Commits are not synced: a power cut loses the newest results, nothing else.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, cast

import cowtree
from cowtree.codecs import Int, MsgPack, Tuple

P = ParamSpec("P")
R = TypeVar("R")


class CacheInfo(NamedTuple):
    """Of this process: hits, misses. Of the file: how many results it has."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class Cached(Generic[P, R]):
    """A function with its results. Safe for many threads and processes: at worst a result is computed twice."""

    def __init__(self, db: cowtree.Database, function: Callable[P, R], maxsize: int | None) -> None:
        self.function = function
        self.maxsize = maxsize
        self._db = db
        self._name = f"cache/{function.__qualname__}"
        self._order = f"{self._name}/order"
        self._results = db.tree(self._name, key=Tuple, value=MsgPack)
        self._hits = self._misses = 0
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = self._key(args, kwargs)
        found = self._results.get(key)
        if found is not None:
            self._hits += 1
            return cast(R, found[1])
        self._misses += 1
        result = self.function(*args, **kwargs)
        self._store(key, result)
        return result

    def cache_info(self) -> CacheInfo:
        return CacheInfo(self._hits, self._misses, self.maxsize, len(self._results))

    def cache_discard(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget one result; was there one?"""
        with self._db.transaction(sync=False) as txn:
            found = txn.tree(self._name, key=Tuple, value=MsgPack).pop(
                self._key(args, kwargs), None
            )
            if found is not None:
                txn.tree(self._order, key=Int, value=Tuple).delete(found[0])
            return found is not None

    def cache_clear(self) -> None:
        with self._db.transaction(sync=False) as txn:
            txn.drop(self._name)
            txn.drop(self._order)
        self._hits = self._misses = 0

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        return args, tuple(sorted(kwargs.items()))

    def _store(self, key: tuple[Any, ...], result: R) -> None:
        with self._db.transaction(sync=False) as txn:
            results = txn.tree(self._name, key=Tuple, value=MsgPack)
            order = txn.tree(self._order, key=Int, value=Tuple)
            if key in results:  # another was faster
                return
            last = order.last()
            number = 0 if last is None else last[0] + 1
            results[key] = [number, result]
            order[number] = key
            while self.maxsize is not None and len(order) > self.maxsize:
                del results[order.popitem(last=False)[1]]


def cached(
    db: cowtree.Database, maxsize: int | None = None
) -> Callable[[Callable[P, R]], Cached[P, R]]:
    """A decorator: results are kept in trees of `db` that are named for the function."""
    return lambda function: Cached(db, function, maxsize)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.cow"
        computed = []

        def square(number: int, *, offset: int = 0) -> int:
            computed.append(number)
            return number * number + offset

        with cowtree.open(path) as db:
            first = cached(db, maxsize=3)(square)
            assert [first(number) for number in (1, 2, 1, 2)] == [1, 4, 1, 4]
            assert first(2, offset=1) == 5
            print("computed:", computed, first.cache_info()[:2])
        with cowtree.open(path) as db:
            again = cached(db, maxsize=3)(square)
            assert again(2) == 4
            print("after a restart:", again.cache_info()[:2])
            assert again(5) == 25
            assert again(6) == 36
            print("kept:", again.cache_info().currsize, "oldest known:", again.cache_discard(1))
            again.cache_clear()
            print("after a clear:", again.cache_info().currsize)


if __name__ == "__main__":
    main()
