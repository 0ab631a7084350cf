"""A secondary index kept in step by the change feed, in a database of its own.

The indexer asks what changed since the commit where it stopped. It stores that position in the transaction that updates
the index, so a crash at any moment loses nothing: the changes since the stored position are given again. If compaction
took that commit (a tag would have held it) the index is built anew. The source's writers need not know of any of this.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cowtree
from cowtree.codecs import Bytes, Int, MsgPack, Text, Tuple

PEOPLE = "people"  # in the source: name -> {"city": ...}


class CityIndex:
    """Names of people by city: keys (city, name)."""

    def __init__(self, source: cowtree.Database, index: cowtree.Database) -> None:
        self.source = source
        self.index = index

    @property
    def position(self) -> int:
        """The commit of the source that the index shows."""
        return self.index.tree("state", key=Text, value=Int).get("position", 0)

    def catch_up(self) -> int:
        """Follow the source to its newest commit; how many changes that took. Costs what changed since then."""
        with self.index.transaction() as txn:  # another indexer waits here, then goes on from there
            state = txn.tree("state", key=Text, value=Int)
            by_city = txn.tree("by_city", key=Tuple, value=Bytes)
            try:
                changes = self.source.changes(state.get("position", 0), tree=PEOPLE)
            except cowtree.SnapshotGoneError:
                changes = self.source.changes(0, tree=PEOPLE)
                by_city.clear()
            count = 0
            for change in changes:
                count += 1
                # The old value says which entry to take out. Deleting and setting do no harm when they are repeated.
                name = Text.decode(change.key)
                if change.old is not None:
                    by_city.delete((_city(change.old), name))
                if change.new is not None:
                    by_city[_city(change.new), name] = b""
            # Not before the loop: the position moves when the last change was given.
            if changes.position != state.get("position"):
                state["position"] = changes.position
            return count

    def names(self, city: str) -> Iterator[str]:
        """Who lives in a city, in order."""
        for _, name in self.index.tree("by_city", key=Tuple).keys(prefix=(city,)):
            yield name


def _city(value: bytes) -> Any:
    return MsgPack.decode(value)["city"]


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cowtree.open(Path(folder) / "people.cow") as source,
        cowtree.open(Path(folder) / "cities.cow") as index,
    ):
        people = source.tree(PEOPLE, key=Text, value=MsgPack)
        cities = CityIndex(source, index)
        people.update({"ada": {"city": "London"}, "alan": {"city": "London"}})
        people["grace"] = {"city": "New York"}
        print("indexed at first:", cities.catch_up())

        people["alan"] = {"city": "Manchester"}
        people["edsger"] = {"city": "Rotterdam"}
        del people["grace"]
        source.tree("elsewhere")[b"k"] = b"v"  # another tree: nothing for this index
        people["nobody"] = {}  # the indexer fails there and takes back what it did before
        with suppress(KeyError):
            cities.catch_up()
        assert cities.position == 2
        people["nobody"] = {"city": "Ithaca"}
        print("indexed after edits:", cities.catch_up())
        assert cities.catch_up() == 0
        assert list(cities.names("London")) == ["ada"]
        assert list(cities.names("New York")) == []
        print("everyone:", list(index.tree("by_city", key=Tuple)))

        people["linus"] = {"city": "Helsinki"}
        source.compact()  # it keeps the newest commit only, as nobody asked for more
        print("rebuilt from everything:", cities.catch_up())
        assert cities.position == source.commit_id
        assert cities.catch_up() == 0


if __name__ == "__main__":
    main()
