"""Engines behind one small interface, a module each. Each imports its store when it is made, not before."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.engines.cowtree import Cowtree
from bench.engines.lmdb import Lmdb
from bench.engines.plyvel import Plyvel
from bench.engines.protocol import Engine, Feature, Keys, Pairs
from bench.engines.rocksdict import Rocksdict
from bench.engines.sqlite import Sqlite
from bench.engines.zodb import Zodb

__all__ = [
    "DEFAULT_ENGINES",
    "ENGINES",
    "Cowtree",
    "Engine",
    "Feature",
    "Keys",
    "Lmdb",
    "Pairs",
    "available",
]


ENGINES: dict[str, Callable[[], Engine]] = {
    "cowtree": Cowtree,
    "lmdb": Lmdb,
    "sqlite3": Sqlite,
    "plyvel": Plyvel,
    "rocksdict": Rocksdict,
    "zodb": Zodb,
}
DEFAULT_ENGINES = ("cowtree", "lmdb")
"""Those that run unless others are asked for."""


def available(names: Iterable[str], *, required: bool = False) -> list[Engine]:
    """Those of the names that can be imported, in the order of `ENGINES`; it is told which are left out.

    Raises ImportError instead if they are required.
    """
    wanted = set(names)
    engines: list[Engine] = []
    for name, make in ENGINES.items():
        if name not in wanted:
            continue
        try:
            engines.append(make())
        except ImportError as error:
            if required:
                raise
            print(f"{name} is left out: {error}")
    return engines
