"""Crash states, seed by seed. A seed makes one history and its images; some images begin a second and third history."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from typing import NamedTuple

from crash_device import in_memory
from crash_folder import Folder, moments, outcomes

from campaign.history import History
from campaign.verify import verify

__all__ = ["Failure", "Outcome", "campaign", "run_seed"]

IMAGES_PER_CUT = 40
DEPTH = 3  # crashes on crashes
AGAIN_EVERY = 400  # images, until one of them begins another history
READ_ONLY_EVERY = 10


class Failure(NamedTuple):
    """What did not hold. `where`: history / cut / image, as deep as crashes went."""

    seed: int
    where: str
    what: str


class Outcome(NamedTuple):
    """Of one seed."""

    seed: int
    histories: int
    cuts: int
    states: int
    again: int  # histories that began with an image
    failure: Failure | None


class _Seed:
    """One seed's work in one scratch folder."""

    def __init__(self, seed: int, folder: str) -> None:
        self.seed = seed
        self.folder = folder
        self.histories = self.cuts = self.states = self.again = 0

    def history(self, start: Folder | None, where: str, depth: int) -> None:
        rng = random.Random(f"{self.seed} {where}")
        history = History(self._subfolder(f"history{depth}"), start, rng)
        try:
            history.run(rng.randrange(2, 12) if depth == 0 else rng.randrange(1, 5))
        except Exception as error:
            raise _Failed(f"{where}/run", f"{type(error).__name__}: {error}") from error
        finally:
            history.end()
        self.histories += 1
        most = IMAGES_PER_CUT if depth == 0 else IMAGES_PER_CUT // 4
        for number, moment in enumerate(moments(history.start, history.recorder.events)):
            self.cuts += 1
            chooser = random.Random(f"{self.seed} {where} {number}")
            for index, image in enumerate(outcomes(moment, chooser, most)):
                at = f"{where}/{number}.{index}"
                try:
                    verify(
                        image,
                        moment,
                        history,
                        self._subfolder("image"),
                        read_only=self.states % READ_ONLY_EVERY == 0,
                    )
                    self.states += 1
                    if depth + 1 < DEPTH and chooser.randrange(AGAIN_EVERY >> depth) == 0:
                        self.again += 1
                        self.history(image, at, depth + 1)
                except _Failed:
                    raise
                except BaseException as error:
                    raise _Failed(at, f"{type(error).__name__}: {error}") from error

    def _subfolder(self, name: str) -> str:
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        return path


class _Failed(Exception):
    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.where, self.what = where, what


def run_seed(seed: int) -> Outcome:
    """All images of a seed; ends with the first that does not hold."""
    folder = tempfile.mkdtemp(prefix="cowtree-campaign-", dir=in_memory())
    work = _Seed(seed, folder)
    failure = None
    try:
        work.history(None, "", 0)
    except _Failed as error:
        failure = Failure(seed, error.where, error.what)
    finally:
        shutil.rmtree(folder)
    return Outcome(seed, work.histories, work.cuts, work.states, work.again, failure)


def campaign(first_seed: int, states: int, jobs: int) -> Iterator[tuple[Outcome, float]]:
    """Seed after seed until so many states were seen, or ten failed; each outcome with the seconds since the start."""
    started = time.monotonic()
    seen = failed = 0
    with get_context("spawn").Pool(jobs, maxtasksperchild=50) as pool:
        for outcome in pool.imap_unordered(run_seed, _endless(first_seed)):
            seen += outcome.states
            yield outcome, time.monotonic() - started
            failed += outcome.failure is not None
            if seen >= states or failed == 10:
                pool.terminate()
                return


def _endless(first: int) -> Iterator[int]:
    # A pool takes its input at once: so many seeds that it ends for another reason.
    yield from range(first, first + 100_000)
