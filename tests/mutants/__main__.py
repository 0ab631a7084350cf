"""python -m mutants [NAME ...]: takes things out of the product, one at a time; each has to be caught by its tests.

Works on a copy of the checkout, built in place. Status 1 if a mutation is not caught, or the tests fail without any.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 600
STATES = ["-m", "campaign", "states", "--states", "15000", "--seed", "1", "--jobs", "2"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="only those that have this in their name"
    )
    names = parser.parse_args().names
    chosen = [m for m in MUTANTS if not names or any(name in m.name for name in names)]
    with tempfile.TemporaryDirectory(prefix="cowtree-mutants-") as folder:
        copy = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(
            ".git", ".venv*", "build", "__pycache__", "results", "site"
        )
        shutil.copytree(ROOT, copy, ignore=ignored)
        build(copy)
        tests = sorted({word for mutant in chosen for word in mutant.tests.split()})
        failed = caught_by(copy, " ".join(tests))
        if failed:
            print(f"FAILED without any mutation: {failed}")
            return 1
        missed = [mutant.name for mutant in chosen if not run(copy, mutant)]
    print(f"{len(chosen)} mutations, {len(missed)} not caught")
    return 1 if missed else 0


def run(copy: Path, mutant: Mutant) -> bool:
    """Is it caught?"""
    path = copy / mutant.file
    text = path.read_text()
    began = time.monotonic()
    path.write_text(mutated(text, mutant))
    try:
        build(copy, mutant.file)
        test = caught_by(copy, mutant.tests)
    finally:
        path.write_text(text)
        build(copy, mutant.file)
    verdict = f"caught by {test}" if test else "NOT CAUGHT"
    print(f"{mutant.name}: {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return bool(test)


def mutated(text: str, mutant: Mutant) -> str:
    """ValueError unless the old text stands there once."""
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name}: {mutant.file} has its text {text.count(mutant.old)} times"
        )
    return text.replace(mutant.old, mutant.new)


def build(copy: Path, changed: str = ".pyx") -> None:
    """In place; only what has changed."""
    if not changed.endswith(".py"):
        if changed != ".pyx":  # dates within one second would hide the change
            os.utime(copy / changed)
            (copy / changed).with_suffix(".c").unlink(missing_ok=True)
        subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
            cwd=copy,
            check=True,
            capture_output=True,
        )


def caught_by(copy: Path, tests: str) -> str | None:
    """The first test that fails; None: all pass."""
    words = tests.split()
    environment = os.environ | {
        "PYTHONPATH": f"{copy}:{copy / 'tests'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("PYTHONSAFEPATH", None)
    files = [word for word in words if word != "states"]
    commands = [["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]]
    if "states" in words:
        commands.append(STATES)
    for command in commands:
        try:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
            )
        except subprocess.TimeoutExpired:
            return f"{command[2]}, which hangs"
        if done.returncode:
            found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, flags=re.MULTILINE)
            if found:
                return found[1]
            return (
                "simulated power cuts"
                if "FAILED" in done.stdout
                else f"{command[2]} ({done.returncode})"
            )
    return None


if __name__ == "__main__":
    sys.exit(main())
