"""Undo for an editor: every edit is a commit, and undo is a restore of the one before.

A restore makes the trees of an older commit the newest state, without copying them, as a new commit. Each edit stores
beside the lines which commit it was made on; that comes back with a restore, too, so that the next undo goes on from
there. How far back undo reaches is a setting of the file: what compaction keeps of its history.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cowtree
from cowtree.codecs import Int, Text


class Outline:
    """Lines of text by name, edited by one thread at a time."""

    def __init__(self, db: cowtree.Database) -> None:
        self.db = db
        self.lines = db.tree("lines", key=Text, value=Text)

    def edit(self, what: str, changes: dict[str, str | None]) -> None:
        """One step to undo: set lines; None deletes one."""
        with self.db.transaction(note=what.encode()) as txn:
            txn.tree("undo", key=Text, value=Int)["before"] = self.db.commit_id
            lines = txn.tree("lines", key=Text, value=Text)
            for name, text in changes.items():
                if text is None:
                    lines.delete(name)
                else:
                    lines[name] = text

    @property
    def before(self) -> int | None:
        """The commit that an undo goes back to; None if no edit is left."""
        return self.db.tree("undo", key=Text, value=Int).get("before")

    def preview(self) -> list[str]:
        """What an undo changes. Costs as much as it lists, however large the outline is."""
        if self.before is None:
            return []
        with self.db.snapshot() as now, self.db.snapshot(self.before) as then:
            changes = then.tree("lines", key=Text, value=Text).diff(now)
            return [f"{change.key}: {change.old} -> {change.new}" for change in changes]

    def undo(self) -> bool:
        """Take back the newest edit; False if there is none. SnapshotGoneError: compaction did not keep its past."""
        before = self.before
        if before is None:
            return False
        with self.db.transaction(note=b"undo, back to %d" % before) as txn:
            txn.restore(before)
        return True


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cowtree.open(Path(folder) / "outline.cow", history=1000) as db,
    ):
        outline = Outline(db)
        outline.edit("write a title", {"title": "Trees"})
        outline.edit("add chapters", {"1": "Leaves", "2": "Roots"})
        db.tag("draft")
        outline.edit("rename", {"title": "On Trees", "2": None})

        for line in outline.preview():
            print("undo would change", line)
        assert outline.undo()
        assert outline.lines == {"title": "Trees", "1": "Leaves", "2": "Roots"}
        assert outline.undo()
        assert outline.lines == {"title": "Trees"}
        outline.edit("another chapter", {"1": "Bark"})
        db.compact()  # the newest 1000 commits stay
        assert [outline.undo() for _ in range(3)] == [True, True, False]
        assert not outline.lines

        # An undo forgets nothing: any commit comes back by its id, its tag, or a time.
        db.restore("draft")
        assert outline.lines == {"title": "Trees", "1": "Leaves", "2": "Roots"}
        for commit in db.history(reverse=False):
            print(commit.id, commit.note.decode() or "(restored)", *commit.tags)


if __name__ == "__main__":
    main()
