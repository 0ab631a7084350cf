"""A secondary index in a database of its own, kept in step by the change feed.

The index and the position of the feed are stored in one transaction: after a crash the same changes come again, and
applying them twice changes nothing. If the position's commit is not kept any more, the index is built anew.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cowtree
from cowtree.codecs import Int, MsgPack, Text, Tuple


class CityIndex:
    """Which people live in a city."""

    def __init__(self, people: cowtree.Database, index: cowtree.Database) -> None:
        self.people = people
        self.index = index

    def follow(self) -> int:
        """Take over what has changed; how many changes."""
        positions = self.index.tree("positions", key=Text, value=Int)
        try:
            feed = self.people.changes(positions.get("people", 0), tree="people")
        except cowtree.SnapshotGoneError:
            self.index.tree("by city").clear()
            feed = self.people.changes(0, tree="people")
        count = 0
        with self.index.transaction() as txn:
            by_city = txn.tree("by city", key=Tuple)
            for change in feed:
                name = Text.decode(change.key)
                if change.old is not None:
                    by_city.delete((MsgPack.decode(change.old)["city"], name))
                if change.new is not None:
                    by_city[MsgPack.decode(change.new)["city"], name] = b""
                count += 1
            txn.tree("positions", key=Text, value=Int)["people"] = feed.position
        return count

    def living_in(self, city: str) -> list[str]:
        """Their names, sorted."""
        return [name for _, name in self.index.tree("by city", key=Tuple).keys(prefix=(city,))]


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cowtree.open(Path(folder) / "people.cow") as people,
        cowtree.open(Path(folder) / "index.cow") as index,
    ):
        tree = people.tree("people", key=Text, value=MsgPack)
        cities = CityIndex(people, index)
        tree.update(
            {"ada": {"city": "London"}, "alan": {"city": "London"}, "emmy": {"city": "Bonn"}}
        )
        print("changes:", cities.follow())
        tree["alan"] = {"city": "Bonn"}
        print("changes:", cities.follow(), "then:", cities.follow())
        print("Bonn:", cities.living_in("Bonn"), "London:", cities.living_in("London"))
        tree["grace"] = {"city": "Bonn"}
        people.compact()  # the index had no tag on its position, and this keeps the newest commit only
        print("rebuilt from:", cities.follow(), "Bonn:", cities.living_in("Bonn"))


if __name__ == "__main__":
    main()
