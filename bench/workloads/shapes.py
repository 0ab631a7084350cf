"""Other keys and values than the usual ones: sizes of values, shapes of keys."""

from __future__ import annotations

from collections.abc import Callable

from bench.data import Recipe, digest
from bench.workload import Fixture, Job, Place, register, stored

VALUE_SIZES = (16, 100, 1 << 10, 2 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20)
BYTES_MAX = 256 << 20
"""Of all values: fewer keys where they would be more."""
BATCH_BYTES = 4 << 20
"""Values in one transaction."""
KEY_SHAPES = {
    "random": "16 random bytes",
    "ascending": "16 digits, in ascending order",
    "prefix": "12 random bytes after one of 16 long prefixes",
    "integer": "random big-endian integers of 8 bytes",
    "url": "URLs",
}


def get(place: Place) -> Job:
    """Random keys, as many as hold a good part of the data."""
    engine, data = place.engine, place.data
    keys = data.shuffled[:100_000]
    snapshot = engine.snapshot()()
    find = snapshot.get

    def run() -> None:
        for key in keys:
            find(key)

    return Job(
        run,
        len(keys),
        answer=lambda: digest(find(key) for key in keys),
        expected=lambda: digest(data.found(keys)),
        end=lambda: engine.end(snapshot),
    )


def put(place: Place) -> Job:
    """Into an empty database, in transactions of a few megabytes."""
    engine, data = place.engine, place.data
    each = max(1, BATCH_BYTES // data.recipe.value_size)
    batches = [data.pairs[start : start + each] for start in range(0, len(data.pairs), each)]

    def run() -> None:
        for batch in batches:
            engine.put_all(batch)

    return Job(run, len(data.pairs), answer=lambda: stored(place), expected=data.digest)


def overwrite(place: Place) -> Job:
    """Every key, in random order, in transactions of a few megabytes."""
    engine, data = place.engine, place.data
    pairs = data.other_pairs(place.turn)
    each = max(1, BATCH_BYTES // data.recipe.value_size)
    batches = [pairs[start : start + each] for start in range(0, len(pairs), each)]

    def run() -> None:
        for batch in batches:
            engine.put_all(batch)

    return Job(run, len(pairs), answer=lambda: stored(place), expected=lambda: data.digest(pairs))


def scan(place: Place) -> Job:
    """All items in order."""
    engine, data = place.engine, place.data
    snapshot = engine.snapshot()()

    def run() -> None:
        for _ in engine.scan(snapshot):
            pass

    return Job(
        run,
        len(data.keys),
        answer=lambda: digest(part for item in engine.scan(snapshot) for part in item),
        expected=data.digest,
        end=lambda: engine.end(snapshot),
    )


ACTIONS: dict[str, tuple[Callable[[Place], Job], Fixture, str]] = {
    "put": (put, Fixture.EMPTY, "put of random keys"),
    "get": (get, Fixture.SHARED, "get of random keys"),
    "scan": (scan, Fixture.SHARED, "all items in order, per item"),
    "overwrite": (overwrite, Fixture.OWN, "overwrite of random keys"),
}


def _size_name(size: int) -> str:
    if size >= 1 << 20:
        return f"{size >> 20}MiB"
    return f"{size >> 10}KiB" if size >= 1 << 10 else f"{size}B"


def _register() -> None:
    for size in VALUE_SIZES:
        recipe = Recipe(value_size=size, bytes_max=BYTES_MAX)
        for action in ("put", "get", "overwrite"):
            prepare, fixture, what = ACTIONS[action]
            name = _size_name(size)
            register(
                f"values_{name}_{action}",
                f"{what}, values of {name}",
                prepare,
                fixture,
                recipe=recipe,
            )
    for shape, told in KEY_SHAPES.items():
        recipe = Recipe(key_shape=shape)
        for action in ("put", "get", "scan"):
            prepare, fixture, what = ACTIONS[action]
            what = f"{what.replace('random keys', 'keys')}: {told}"
            register(f"keys_{shape}_{action}", what, prepare, fixture, recipe=recipe)


_register()
