"""What libFuzzer calls with each input: python tests/fuzz/target.py CORPUS [options of libFuzzer]

atheris' ubsan_with_fuzzer.so is preloaded (`make fuzz` does it): the counters of the compiled modules need libFuzzer as
global symbols when they load.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris
from campaign.hostile_worker import Interrogation
from changes import changed, seeds, shapes

WRITE_EVERY = 8  # inputs, until one is written on too: that takes as long as all readings

SOUND = shapes()
FOLDER = tempfile.mkdtemp(
    prefix="cowtree-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
)


def one_input(data: bytes) -> None:
    path = os.path.join(FOLDER, "fuzzed.cow")
    for name in os.listdir(FOLDER):
        os.unlink(os.path.join(FOLDER, name))
    Path(path).write_bytes(changed(SOUND, data))
    work = Interrogation(path)
    whole = work.read(mapped=sum(data) % 4 > 0)
    if sum(data) % WRITE_EVERY == 0:
        work.write(whole)


def main() -> None:
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, seed in enumerate(seeds(SOUND)):
            (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
