"""The writer that is killed: commits for ever, and says on standard output where it is.

Each line is a word and the commit's number: `writing` when half of its entries are put, `committing` right before the
commit, `done` when it was acknowledged.
"""

from __future__ import annotations

import itertools
import sys

import cowtree
from cowtree.demo.child_entries import ENTRIES, TREE, entry


def commit_for_ever(path: str) -> None:
    """One commit after the other, going on after the last one that is there."""
    with cowtree.open(path, create=False) as db:
        last = db.tree(TREE).last()
        for number in itertools.count(1 if last is None else int(last[0][:8]) + 1):
            txn = db.transaction()
            tree = txn.tree(TREE)
            for i in range(ENTRIES):
                if i == ENTRIES // 2:
                    print("writing", number, flush=True)
                tree.put(*entry(number, i))
            print("committing", number, flush=True)
            txn.commit()
            print("done", number, flush=True)


if __name__ == "__main__":
    commit_for_ever(sys.argv[1])
