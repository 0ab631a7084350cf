"""Kill a writer in mid-commit, reopen, and prove that every acknowledged commit is whole."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys

import cowtree
from cowtree.demo.files import CHILD_ENTRIES as ENTRIES

__all__ = ["kill_a_writer"]


def kill_a_writer(path: str, acknowledgements: int) -> tuple[int, int]:
    """Start a child that commits for ever, kill it after so many acknowledgements; (acknowledged, found whole).

    Raises AssertionError if an acknowledged commit is missing or a commit is half there.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "cowtree.demo.child", path], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    last = 0
    try:
        for line in itertools.islice(child.stdout, acknowledgements):
            last = int(line)
        # The child is committing the next one now.
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                last = int(line)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    if last < acknowledgements:
        raise AssertionError(f"the child ended after {last} commits")
    with cowtree.open(path) as db:
        report = db.check()
        if not report.ok:
            raise AssertionError(report.problems[0])
        tree = db.tree("child")
        numbers = sorted({int(key.split(b"/")[0]) for key in tree})
        for number in numbers:
            found = tree.count(prefix=b"%08d/" % number)
            if found != ENTRIES:
                raise AssertionError(f"commit {number} is half there: {found} of {ENTRIES} entries")
        if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < last:
            raise AssertionError(f"{last} commits acknowledged, {len(numbers)} found")
        # The lock went with the child: the next writer goes on at once.
        tree[b"99999999/after"] = b"the kill"
        return last, len(numbers)
