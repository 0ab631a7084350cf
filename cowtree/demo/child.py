"""The writer that is killed: commits for ever and acknowledges each commit on standard output."""

from __future__ import annotations

import itertools
import sys

import cowtree
from cowtree.demo.files import CHILD_ENTRIES


def commit_for_ever(path: str) -> None:
    """One commit after the other, each acknowledged with its number."""
    with cowtree.open(path) as db:
        for number in itertools.count(1):
            with db.transaction() as txn:
                tree = txn.tree("child")
                for i in range(CHILD_ENTRIES):
                    tree[b"%08d/%03d" % (number, i)] = b"%d" % number * 100
            print(number, flush=True)


if __name__ == "__main__":
    commit_for_ever(sys.argv[1])
