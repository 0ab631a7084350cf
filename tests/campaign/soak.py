"""All campaigns in turn, with seeds that follow from one, until the time is over."""

from __future__ import annotations

import random
import subprocess
import sys
import time

__all__ = ["soak"]

# A part of some minutes of each.
PARTS = {
    "states": ["--states", "60000"],
    "kills": ["--kills", "500"],
    "isolation": ["--seconds", "60"],
    "hostile": ["--files", "2000"],
    "rot": ["--flips", "8000"],
}


def soak(minutes: float, seed: int) -> int:
    """1 at the first part that fails, after the command that repeats it."""
    rng = random.Random(seed)
    end = time.monotonic() + 60 * minutes
    done = 0
    while time.monotonic() < end:
        for name, options in PARTS.items():
            command = [name, *options, "--seed", str(rng.randrange(1 << 30))]
            print(f"$ python -m campaign {' '.join(command)}", flush=True)
            if subprocess.run([sys.executable, "-m", "campaign", *command], check=False).returncode:
                print(f"FAILED: python -m campaign {' '.join(command)}")
                return 1
            done += 1
            if time.monotonic() >= end:
                break
    print(f"{done} parts from seed {seed}, 0 failed")
    return 0
