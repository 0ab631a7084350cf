"""Hostile files, seed by seed: each is made of a sound database, opened in a process that it may kill, and judged.

What may come of it: right answers, or errors that the contract promises, each call within a second and 256 MiB. A file
that brings anything else is kept.
"""

from __future__ import annotations

import gzip
import json
import os
import queue
import random
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from crash_device import in_memory

import cowtree
from campaign.hostile_mutations import mutate
from campaign.hostile_shapes import SHAPES, make

__all__ = [
    "Judge",
    "Verdict",
    "campaign",
    "file_name",
    "hostile_content",
    "read_file",
    "shapes",
    "summary",
]

SECONDS_MAX = 1.0  # of processor time, for one call
BYTES_MAX = 256 << 20
PATIENCE_SECONDS = 60.0  # for a whole file, however busy the machine is


class Verdict(NamedTuple):
    """What came of one file."""

    seed: int
    problem: str  # empty: nothing but what was promised
    calls: int
    refused: int
    seconds: float  # of the slowest call
    bytes: int  # memory above what was there before


class Judge:
    """A process that opens one file after the other; a new one follows where a file ended it.

    `slack`: how much slower and larger the build that runs is, if it has sanitizers.
    """

    def __init__(self, slack: float = 1.0) -> None:
        self.slack = slack
        self.folder = tempfile.mkdtemp(prefix="cowtree-hostile-", dir=in_memory())
        self.process: subprocess.Popen[bytes] | None = None
        self.errors = open(os.path.join(self.folder, "stderr"), "w+b")  # noqa: SIM115 - closed in __exit__

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def judge(self, content: bytes, seed: int = -1) -> Verdict:
        path = os.path.join(self.folder, "files", "hostile.cow")
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)  # what a file before it left
        os.makedirs(os.path.dirname(path))
        Path(path).write_bytes(content)
        answer = self._ask(path)
        if isinstance(answer, str):
            return Verdict(seed, answer, 0, 0, 0.0, 0)
        problem = str(answer["problem"])
        if not problem and answer["seconds"] > SECONDS_MAX * self.slack:
            problem = f"{answer['slowest']} takes {answer['seconds']:.2f} s"
        if not problem and answer["bytes"] > BYTES_MAX * self.slack:
            problem = f"it takes {answer['bytes'] >> 20} MiB"
        return Verdict(
            seed, problem, answer["calls"], answer["refused"], answer["seconds"], answer["bytes"]
        )

    def _ask(self, path: str) -> dict[str, float] | str:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended: so does its output
            process.stdin.write(json.dumps(path).encode() + b"\n")
            process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SECONDS * self.slack)
        line = process.stdout.readline() if ready else b""
        if line:
            answer: dict[str, float] = json.loads(line)
            return answer
        if not ready:
            process.kill()
        status = self._end()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace")
        return f"{'it hangs' if not ready else f'status {status}'}\n{said[-6000:]}"

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            here = str(Path(__file__).resolve().parents[1])
            package = str(Path(cowtree.__file__).resolve().parents[1])
            self.errors.truncate(0)
            self.errors.seek(0)
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "campaign.hostile_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([package, here])},
            )
        return self.process

    def _end(self) -> int:
        """Its status; it gets no more files."""
        process, self.process = self.process, None
        if process is None:
            return 0
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            status = process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        process.stdout.close()
        return status


def file_name(seed: int) -> str:
    return f"hostile-{seed}.cow.gz"


def read_file(path: Path) -> bytes:
    """A hostile file that was kept."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def shapes() -> dict[str, bytes]:
    """A sound file of each shape."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="cowtree-shapes-", dir=in_memory()) as folder:
        for shape in SHAPES:
            path = Path(folder) / f"{shape}.cow"
            make(shape, path)
            found[shape] = path.read_bytes()
    return found


def hostile_content(sound: dict[str, bytes], seed: int) -> bytes:
    """The file of a seed: the same changes in every run, to files that differ in their random identities."""
    rng = random.Random(seed)
    return mutate(sound[rng.choice(list(sound))], rng)


def campaign(first_seed: int, files: int, jobs: int, slack: float, keep: Path) -> Iterator[Verdict]:
    """So many files from a seed on; those that bring a problem are written to a folder."""
    sound = shapes()

    def share(job: int) -> Iterator[Verdict]:
        with Judge(slack) as judge:
            for seed in range(first_seed + job, first_seed + files, jobs):
                content = hostile_content(sound, seed)
                verdict = judge.judge(content, seed)
                if verdict.problem:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / file_name(seed)).write_bytes(gzip.compress(content, mtime=0))
                yield verdict

    if jobs == 1:
        yield from share(0)
        return
    found: queue.SimpleQueue[Verdict | BaseException | None] = queue.SimpleQueue()

    def work(job: int) -> None:
        try:
            for verdict in share(job):
                found.put(verdict)
            found.put(None)
        except BaseException as error:  # raised below, in the caller's thread
            found.put(error)

    for job in range(jobs):
        threading.Thread(target=work, args=(job,), daemon=True).start()
    while jobs:
        item = found.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            jobs -= 1
        else:
            yield item


def summary(verdicts: list[Verdict], seconds: float) -> str:
    calls, refused = sum(v.calls for v in verdicts), sum(v.refused for v in verdicts)
    return (
        f"{len(verdicts):,} hostile files, {calls:,} calls of which {refused:,} were refused, slowest "
        f"{max(v.seconds for v in verdicts):.2f} s, most memory {max(v.bytes for v in verdicts) >> 20} MiB, "
        f"{seconds:.0f} s; {sum(bool(v.problem) for v in verdicts)} failed"
    )
