"""What a workload is, and the register of all of them.

A workload is a function under `@workload(...)` in a module of `bench.workloads`: its name is the workload's, its
docstring what it says in the list. It prepares a `Job` over an opened engine; the runner times the job alone. What it
does before it returns the job is not timed, nor is `Job.answer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from bench.data import RANDOM, Data, Recipe, digest
from bench.engines import Engine, Feature

__all__ = [
    "WORKLOADS",
    "Fixture",
    "Job",
    "Place",
    "Workload",
    "register",
    "sets",
    "stored",
    "workload",
]

CORE = "core"


@dataclass(frozen=True)
class Place:
    """What a workload works on. `turn` counts the runs over this database."""

    engine: Engine
    folder: str
    sync: bool
    data: Data
    turn: int


Measure = float | dict[str, float] | None


@dataclass(frozen=True)
class Job:
    """What is timed, and how many operations it is.

    `run` may return its own measure in the workload's unit, in place of the time it took; or several by name, of which
    the first is the workload's figure and the others are told beside it. `answer` is compared between the engines and,
    if given, with `expected`, which the data alone tells. `end` releases what the job holds.
    """

    run: Callable[[], Measure]
    operations: int = 1
    answer: Callable[[], object] = lambda: None
    expected: Callable[[], object] | None = None
    end: Callable[[], object] = lambda: None


class Fixture(Enum):
    """The database that a workload finds."""

    SHARED = "loaded, shared with other workloads that only read"
    OWN = "loaded, of its own over all turns"
    EMPTY = "a new one each turn"


Prepare = Callable[[Place], Job]


@dataclass(frozen=True)
class Workload:
    """A registered workload. `unit` names what one operation is measured in; less is better."""

    name: str
    what: str
    prepare: Prepare
    fixture: Fixture
    sync: bool
    unit: str
    needs: frozenset[Feature]
    sets: tuple[str, ...]
    recipe: Recipe
    trees: int


WORKLOADS: dict[str, Workload] = {}


def register(
    name: str,
    what: str,
    prepare: Prepare,
    fixture: Fixture,
    *,
    sync: bool = False,
    unit: str = "µs",
    needs: Feature | tuple[Feature, ...] = (),
    core: bool = False,
    recipe: Recipe = RANDOM,
    trees: int = 0,
) -> None:
    """Add a workload to the set of its module, and to the core set too.

    `sync`: durable commits; `needs`: only for engines that have this; `trees`: how many named ones are opened.
    """
    subject = prepare.__module__.rpartition(".")[2]
    features = frozenset([needs] if isinstance(needs, Feature) else needs)
    belongs = (CORE, subject) if core else (subject,)
    assert name not in WORKLOADS, name
    WORKLOADS[name] = Workload(
        name, what, prepare, fixture, sync, unit, features, belongs, recipe, trees
    )


def workload(
    fixture: Fixture,
    *,
    sync: bool = False,
    unit: str = "µs",
    needs: Feature | tuple[Feature, ...] = (),
    core: bool = False,
    recipe: Recipe = RANDOM,
    trees: int = 0,
) -> Callable[[Prepare], Prepare]:
    """`register` with the name and docstring of the function."""

    def add(prepare: Prepare) -> Prepare:
        what = (prepare.__doc__ or "").partition("\n")[0].rstrip(".")
        register(
            prepare.__name__,
            what,
            prepare,
            fixture,
            sync=sync,
            unit=unit,
            needs=needs,
            core=core,
            recipe=recipe,
            trees=trees,
        )
        return prepare

    return add


def sets() -> list[str]:
    """The names of all sets, the core one first."""
    return list(dict.fromkeys([CORE, *(name for each in WORKLOADS.values() for name in each.sets)]))


def stored(place: Place) -> bytes:
    """The digest of all that the database holds now."""
    snapshot = place.engine.snapshot()()
    found = digest(part for item in place.engine.scan(snapshot) for part in item)
    place.engine.end(snapshot)
    return found
