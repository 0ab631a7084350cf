"""A secondary index that another process keeps in step, while the writer goes on, compacts, and knows nothing of it.

The indexer waits for a commit, reads what changed since its position, and stores the new position with the index. Two
tags hold its place against compaction: `index` is on the position that is stored, `index.next` on the one that is about
to be, so wherever a kill comes, the stored position is held by one of them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cowtree
from cowtree.codecs import Bytes, Int, MsgPack, Text, Tuple


def follow(source: cowtree.Database, index: cowtree.Database) -> None:
    """The indexer: runs until the source says that it is finished."""
    finished = source.tree("finished")
    while True:
        position = index.tree("state", key=Text, value=Int).get("position", 0)
        if source.wait(position, timeout=1.0) is not None:
            position = catch_up(source, index, position)
        if b"yes" in finished and position == source.commit_id:
            return


def catch_up(source: cowtree.Database, index: cowtree.Database, position: int) -> int:
    """Bring the index to the source's newest commit, which is returned. Costs what changed since `position`."""
    if position:
        source.tag("index", position, move=True)
    source.tag("index.next", move=True)  # the newest commit, whichever that is by now
    newest = source.snapshot("index.next")
    with index.transaction() as txn:
        by_word = txn.tree("by_word", key=Tuple, value=Bytes)
        for change in source.diff(position, newest, tree="texts"):
            number = Int.decode(change.key)
            for word in set(MsgPack.decode(change.old)) if change.old else ():
                by_word.delete((word, number))
            for word in set(MsgPack.decode(change.new)) if change.new else ():
                by_word[word, number] = b""
        txn.tree("state", key=Text, value=Int)["position"] = newest.commit_id
    return newest.commit_id


def start_indexer(folder: Path) -> subprocess.Popen[str]:
    """This script, as the indexer; it says when it is ready."""
    indexer = subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert indexer.stdout is not None
    assert indexer.stdout.readline() == "ready\n"
    return indexer


def main() -> None:
    words = ("leaf", "branch", "root", "page", "commit")
    with (
        tempfile.TemporaryDirectory() as name,
        cowtree.open(Path(name) / "texts.cow", sync=False) as source,
    ):
        indexer = start_indexer(Path(name))
        texts = source.tree("texts", key=Int, value=MsgPack)
        for i in range(600):
            texts[i % 100] = [words[i % 5], words[i % 3]]
            if i % 50 == 20:
                source.compact()  # keeps the newest commit and the tagged ones
            if i == 300:
                indexer.kill()  # in the middle of whatever it does
                indexer.communicate()
                indexer = start_indexer(Path(name))
        source.tree("finished")[b"yes"] = b""
        indexer.communicate(timeout=60)

        with cowtree.open(Path(name) / "index.cow", readonly=True) as index:
            found = list(index.tree("by_word", key=Tuple))
            assert index.tree("state", key=Text, value=Int)["position"] == source.commit_id
        expected = sorted({(word, i) for i, text in texts.items() for word in text})
        assert found == expected
        print("entries of the index:", len(found))
        print("indexer's status:", indexer.returncode)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        place = Path(sys.argv[1])
        with (
            cowtree.open(place / "texts.cow") as texts_file,
            cowtree.open(place / "index.cow") as mine,
        ):
            print("ready", flush=True)
            follow(texts_file, mine)
    else:
        main()
