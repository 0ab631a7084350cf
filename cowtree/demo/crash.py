"""Kill a writer in mid-commit, reopen, and prove that every acknowledged commit is whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import cowtree
from cowtree.demo.child_entries import ENTRIES, TREE, entry, entry_prefix
from cowtree.demo.readers import require

__all__ = ["Kills", "kill_writers"]


@dataclass(slots=True)
class Kills:
    """What came of it."""

    kills: int = 0
    acknowledged: int = 0
    """Commits in all."""
    in_commit: int = 0
    """Kills that came between the call of commit and its acknowledgement."""
    kept: int = 0
    """Of the commits those kills met, how many are there, whole; the others are not there at all."""


def kill_writers(path: str, kills: int, commits: int) -> Kills:
    """Start a child that commits for ever, kill it after so many commits, verify; so often.

    Every other kill comes while the transaction is being written, the others right after commit was called.

    Raises AssertionError if an acknowledged commit is missing, or any is there in part.
    """
    result = Kills()
    found = 0
    for kill in range(kills):
        # Each kill a commit later than the one before, so that they meet pages in other states.
        moment = ("writing" if kill % 2 else "committing", found + commits + kill)
        word, number = _run_child_until(path, moment)
        result.kills += 1
        acknowledged = number if word == "done" else number - 1
        found = _verify(path, acknowledged)
        result.acknowledged = acknowledged
        under_way = word == "committing"
        result.in_commit += under_way
        result.kept += found > acknowledged
        require(
            found == acknowledged or (under_way and found == number),
            f"{found} commits found; killed after '{word} {number}'",
        )
    return result


def _run_child_until(path: str, moment: tuple[str, int]) -> tuple[str, int]:
    """Kill the child when it says that it got there; the last that it said."""
    # -P: a child of the installed package must not import a checkout that happens to be the current directory.
    safe_path = ["-P"] if sys.flags.safe_path else []
    child = subprocess.Popen(
        [sys.executable, *safe_path, "-m", "cowtree.demo.child", path],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    said: tuple[str, int] | None = None
    try:
        for said in _words(child.stdout):
            if said == moment:
                child.kill()
        # The pipe also told what the child still said between that line and its death.
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    if said is None or said < (said[0], moment[1]):
        raise AssertionError(f"the child ended early, with status {child.returncode}")
    return said


def _words(lines: Iterator[str]) -> Iterator[tuple[str, int]]:
    for line in lines:
        if line.endswith("\n"):
            word, number = line.split()
            yield word, int(number)


def _verify(path: str, acknowledged: int) -> int:
    """Reopen, check, and read every commit of the child; how many there are."""
    with cowtree.open(path, create=False) as db:
        report = db.check()
        require(report.ok, "; ".join(report.problems[:3]))
        with db.snapshot() as snapshot:
            tree = snapshot.tree(TREE)
            found, rest = divmod(len(tree), ENTRIES)
            require(rest == 0, f"a commit is there in part: {rest} of {ENTRIES} entries")
            require(found >= acknowledged, f"{acknowledged} commits acknowledged, {found} found")
            for number in range(1, found + 1):
                expected = [entry(number, i) for i in range(ENTRIES)]
                require(
                    list(tree.items(prefix=entry_prefix(number))) == expected,
                    f"commit {number} is not whole",
                )
        # The lock went with the child: the next writer goes on at once.
        db.tree("after")[b"%d" % found] = b"the kill"
        return found
