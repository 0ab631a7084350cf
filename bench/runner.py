"""The method: engines in turn (A B A B ...), the collector off, answers compared, figures of one turn side by side."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.engines import Engine
from bench.report import Result
from bench.workloads import Data, Fixture, Job, Place, Workload

__all__ = ["Runner", "WrongAnswerError"]


class WrongAnswerError(Exception):
    """The engines disagree, or one disagrees with the data."""


class Runner:
    """Runs workloads over one set of data. Its databases are removed at the end of `with`."""

    def __init__(self, engines: list[Engine], data: Data, *, repeat: int, folder: str) -> None:
        self._engines = engines
        self._data = data
        self._repeat = repeat
        self._root = tempfile.mkdtemp(prefix="cowtree-bench-", dir=folder)
        self._shared: dict[str, str] | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    def run(self, workload: Workload) -> Result:
        """`repeat` turns; over a loaded database after one more to warm up.

        Raises WrongAnswerError.
        """
        engines = [engine for engine in self._engines if engine.counts or not workload.counts]
        result = Result(workload, {engine.name: [] for engine in engines})
        if workload.fixture is Fixture.EMPTY:
            for turn in range(self._repeat):
                with self._open(engines, self._folders(), workload.sync) as places:
                    self._turn(workload, engines, places, result, turn, verify=turn == 0)
            return result
        with self._loaded(engines, workload) as places:
            for turn in range(-1, self._repeat):
                self._turn(workload, engines, places, result, turn, verify=turn < 0)
        return result

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
        for engine in engines:
            place = Place(engine, folders[engine.name], workload.sync, self._data, turn + 1)
            job = workload.prepare(place)
            try:
                figure = _measure(job)
                if verify:
                    answers[engine.name] = job.answer()
                    if job.expected is not None:
                        answers["the data"] = job.expected()
            finally:
                job.end()
            if turn >= 0:
                result.figures[engine.name].append(figure)
        names = list(answers)
        for name in names[1:]:
            if answers[name] != answers[names[0]]:
                raise WrongAnswerError(f"{workload.name}: {names[0]} and {name} disagree")

    @contextmanager
    def _loaded(self, engines: list[Engine], workload: Workload) -> Iterator[dict[str, str]]:
        """Engines open over a loaded database, all of it on the disk."""
        shared = workload.fixture is Fixture.SHARED
        if shared and self._shared is not None:
            with self._open(engines, self._shared, workload.sync, keep=True) as folders:
                yield folders
            return
        everybody = self._engines if shared else engines
        folders = self._folders()
        with self._open(everybody, folders, False, keep=True):
            for engine in everybody:
                engine.put_all(self._data.pairs)
                engine.sync()
        if shared:
            self._shared = folders
        with self._open(engines, folders, workload.sync, keep=shared):
            yield folders

    @contextmanager
    def _open(
        self, engines: list[Engine], folders: dict[str, str], sync: bool, *, keep: bool = False
    ) -> Iterator[dict[str, str]]:
        opened: list[Engine] = []
        try:
            for engine in engines:
                engine.open(folders[engine.name], sync=sync)
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


def _measure(job: Job) -> float:
    """Microseconds per operation, or what the job itself measured."""
    gc.collect()
    with _no_collector():
        started = time.perf_counter_ns()
        own = job.run()
        elapsed = time.perf_counter_ns() - started
    return elapsed / 1000 / job.operations if own is None else own


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
