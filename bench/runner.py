"""The method: engines in turn (A B A B ...), the collector off, answers compared, figures of one turn side by side."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.data import RANDOM, Data, Recipe
from bench.engines import Engine
from bench.report import Result
from bench.workload import Fixture, Job, Place, Workload

__all__ = ["Runner", "WrongAnswerError"]


class WrongAnswerError(Exception):
    """The engines disagree, or one disagrees with the data."""


class Runner:
    """Runs workloads over data of `keys` keys. Its databases are removed at the end of `with`."""

    def __init__(
        self, engines: list[Engine], keys: int, *, repeat: int, folder: str, warm_up: bool = True
    ) -> None:
        self._engines = engines
        self._keys = keys
        self._repeat = repeat
        self._first_turn = -1 if warm_up else 0
        self._root = tempfile.mkdtemp(prefix="cowtree-bench-", dir=folder)
        self._data: dict[Recipe, Data] = {}
        self._shared: dict[Recipe, dict[str, str]] = {}

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    def run(self, workload: Workload) -> Result:
        """`repeat` turns; over a loaded database after one more to warm up.

        Raises WrongAnswerError, and UnavailableError where the machine lacks what the workload needs.
        """
        engines = [engine for engine in self._engines if workload.needs <= engine.features]
        result = Result(workload, {engine.name: [] for engine in engines})
        self._make_data(workload.recipe)
        if workload.fixture is Fixture.EMPTY:
            for turn in range(self._repeat):
                with self._open(engines, self._folders(), workload) as places:
                    self._turn(workload, engines, places, result, turn, verify=turn == 0)
            return result
        first = self._first_turn
        with self._loaded(engines, workload) as places:
            for turn in range(first, self._repeat):
                self._turn(workload, engines, places, result, turn, verify=turn == first)
        return result

    def _make_data(self, recipe: Recipe) -> None:
        """The usual data stay; of other kinds only the last, and of their databases."""
        for other in [each for each in self._data if each not in (RANDOM, recipe)]:
            del self._data[other]
            for folder in self._shared.pop(other, {}).values():
                shutil.rmtree(folder, ignore_errors=True)
        if recipe not in self._data:
            self._data[recipe] = Data.make(self._keys, recipe)

    def _turn(
        self,
        workload: Workload,
        engines: list[Engine],
        folders: dict[str, str],
        result: Result,
        turn: int,
        *,
        verify: bool,
    ) -> None:
        answers: dict[str, object] = {}
        data = self._data[workload.recipe]
        for engine in engines:
            place = Place(engine, folders[engine.name], workload.sync, data, turn + 1)
            job = workload.prepare(place)
            try:
                figures = _measure(job)
                if verify:
                    answers[engine.name] = job.answer()
                    if job.expected is not None:
                        answers["the data"] = job.expected()
            finally:
                job.end()
            if turn >= 0:
                result.add(engine.name, figures)
        names = list(answers)
        for name in names[1:]:
            if answers[name] != answers[names[0]]:
                raise WrongAnswerError(f"{workload.name}: {names[0]} and {name} disagree")

    @contextmanager
    def _loaded(self, engines: list[Engine], workload: Workload) -> Iterator[dict[str, str]]:
        """Engines open over a loaded database, all of it on the disk."""
        shared = workload.fixture is Fixture.SHARED and not workload.trees
        if shared and workload.recipe in self._shared:
            with self._open(engines, self._shared[workload.recipe], workload, keep=True) as folders:
                yield folders
            return
        everybody = self._engines if shared else engines
        folders = self._folders()
        pairs = self._data[workload.recipe].pairs
        for engine in everybody:
            engine.open(folders[engine.name], sync=False)
            try:
                engine.put_all(pairs)
                engine.sync()
            finally:
                engine.close()
        if shared:
            self._shared[workload.recipe] = folders
        with self._open(engines, folders, workload, keep=shared):
            yield folders

    @contextmanager
    def _open(
        self,
        engines: list[Engine],
        folders: dict[str, str],
        workload: Workload,
        *,
        keep: bool = False,
    ) -> Iterator[dict[str, str]]:
        opened: list[Engine] = []
        try:
            for engine in engines:
                engine.open(folders[engine.name], sync=workload.sync, trees=workload.trees)
                opened.append(engine)
            yield folders
        finally:
            for engine in opened:
                engine.close()
            if not keep:
                for folder in folders.values():
                    shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> dict[str, str]:
        """A new folder for each engine."""
        here = tempfile.mkdtemp(dir=self._root)
        folders = {engine.name: os.path.join(here, engine.name) for engine in self._engines}
        for folder in folders.values():
            os.mkdir(folder)
        return folders


def _measure(job: Job) -> dict[str, float]:
    """Microseconds per operation, or what the job itself measured; the figure has no name."""
    gc.collect()
    with _no_collector():
        started = time.perf_counter_ns()
        own = job.run()
        elapsed = time.perf_counter_ns() - started
    if isinstance(own, dict):
        (_, figure), *beside = own.items()
        return {"": figure, **dict(beside)}
    return {"": elapsed / 1000 / job.operations if own is None else own}


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
