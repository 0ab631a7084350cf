"""Keys and values: the same for the same recipe, number and seed."""

from __future__ import annotations

import bisect
import functools
import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["KEY_SIZE", "RANDOM", "VALUE_SIZE", "Data", "Recipe", "digest", "key_shapes", "make_key"]

KEY_SIZE = 16
VALUE_SIZE = 100
PATH_WORDS = 64
SITES = 200
FEW = 16
MEAN_SIZE_MAX = 1024
"""Bytes of values for each key that is asked for."""


@dataclass(frozen=True)
class Recipe:
    """What kind of data. `bytes_max`: fewer keys than asked where the values would be more than that in all."""

    key_shape: str = "random"
    value_size: int = VALUE_SIZE
    bytes_max: int = 1 << 40

    def count(self, asked: int) -> int:
        """How many keys there are when so many are asked for: fewer of large values, but some."""
        bytes_max = min(self.bytes_max, asked * MEAN_SIZE_MAX)
        return min(asked, max(FEW, bytes_max // self.value_size))


RANDOM = Recipe()
"""16 random bytes and 100 random bytes."""


@dataclass(frozen=True)
class Data:
    """`keys` in the order of loading, `values[i]` that of `keys[i]`; `shuffled` in another order, to read by."""

    recipe: Recipe
    keys: list[bytes]
    values: list[bytes]
    shuffled: list[bytes]

    @staticmethod
    def make(count: int, recipe: Recipe = RANDOM, seed: int = 7) -> Data:
        """`recipe.count(count)` keys, or a few less where random ones were equal."""
        rng = random.Random(seed)
        count = recipe.count(count)
        keys = list({make_key(recipe.key_shape, i, rng): None for i in range(count)})
        shuffled = keys[:]
        rng.shuffle(shuffled)
        # Copies lie in memory in reading order: a cache miss on each key would be timed on both engines alike.
        shuffled = [bytes(bytearray(key)) for key in shuffled]
        return Data(recipe, keys, [rng.randbytes(recipe.value_size) for _ in keys], shuffled)

    @functools.cached_property
    def pairs(self) -> list[tuple[bytes, bytes]]:
        """As loaded."""
        return list(zip(self.keys, self.values, strict=True))

    @functools.cached_property
    def ascending(self) -> list[tuple[bytes, bytes]]:
        """In key order; copies, which lie in memory in that order too: a cache miss on each would be timed as well."""
        return [(bytes(bytearray(k)), bytes(bytearray(v))) for k, v in sorted(self.pairs)]

    def other_pairs(self, turn: int) -> list[tuple[bytes, bytes]]:
        """The keys in reading order, each with a value that no turn before gave it."""
        shift = (turn + 1) * 7919 % len(self.values)
        values = self.values[shift:] + self.values[:shift]
        return list(zip(self.shuffled, values, strict=True))

    def found(self, keys: list[bytes]) -> Iterable[bytes]:
        """What a get of each key finds in the loaded database."""
        values = dict(self.pairs)
        return (values[key] for key in keys)

    def ranks(self, keys: list[bytes]) -> list[int]:
        """How many keys are below each."""
        return [bisect.bisect_left(self.ascending, (key, b"")) for key in keys]

    def digest(self, put: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
        """Of all items in order, as a scan of the loaded database gives them once these pairs were put too."""
        changed = dict(put)
        items = sorted({**dict(self.pairs), **changed}.items()) if changed else self.ascending
        return digest(part for item in items for part in item)


def digest(parts: Iterable[bytes | None]) -> bytes:
    """Of a sequence of answers, a missing one among them."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(b"-" if part is None else b"%d:" % len(part) + part)
    return state.digest()


def key_shapes() -> list[str]:
    """What a recipe's `key_shape` may be."""
    return list(_SHAPES)


def make_key(shape: str, index: int, rng: random.Random) -> bytes:
    """The key at an index of the loading order."""
    return _SHAPES[shape](index, rng)


def _random(_: int, rng: random.Random) -> bytes:
    return rng.randbytes(KEY_SIZE)


def _ascending(index: int, _: random.Random) -> bytes:
    return b"%016d" % index


def _integer(_: int, rng: random.Random) -> bytes:
    return rng.randrange(1 << 63).to_bytes(8, "big")


def _prefix(_: int, rng: random.Random) -> bytes:
    """One of 16 common prefixes of 120 bytes, then 12 bytes that differ."""
    return b"tenant/%02d/" % rng.randrange(16) + b"a long common prefix " * 5 + rng.randbytes(12)


def _url(_: int, rng: random.Random) -> bytes:
    words = [rng.randrange(PATH_WORDS) for _ in range(rng.randrange(1, 5))]
    path = "/".join(f"section-{word}" for word in words)
    return f"https://www.site-{rng.randrange(SITES)}.example/{path}?id={rng.randrange(1 << 40)}".encode()


_SHAPES = {
    "random": _random,
    "ascending": _ascending,
    "prefix": _prefix,
    "integer": _integer,
    "url": _url,
}
