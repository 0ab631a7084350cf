"""Undo for an editor: every change is a commit with a note, and undo is a restore of the commit before it.

Nothing is recorded for it. The past is in the file anyway; a restore makes the trees of an older commit the newest
state without copying them, and is itself a commit, so that an undo can be undone too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cowtree
from cowtree.codecs import Text

UNDO = b"undo, back to "


class Outline:
    """Lines of text by name, edited by one thread at a time, with undo without end."""

    def __init__(self, db: cowtree.Database) -> None:
        self.db = db
        self.lines = db.tree("lines", key=Text, value=Text)

    def edit(self, what: str, changes: dict[str, str | None]) -> None:
        """One step to undo: set lines; None deletes one."""
        with self.db.transaction(note=what.encode()) as txn:
            lines = txn.tree("lines", key=Text, value=Text)
            for name, text in changes.items():
                if text is None:
                    lines.delete(name)
                else:
                    lines[name] = text

    def undoes(self) -> cowtree.Commit | None:
        """The commit that the next undo takes back: the newest that is not taken back yet."""
        commit = self._commit_before(self.db.commit_id + 1)
        while commit is not None and commit.note.startswith(UNDO):
            commit = self._commit_before(int(commit.note.removeprefix(UNDO)) + 1)
        return commit

    def preview(self) -> list[str]:
        """What the next undo changes. Costs as much as it lists, however large the outline is."""
        undone = self.undoes()
        if undone is None:
            return []
        with self.db.snapshot(self._target(undone)) as before:
            changes = before.tree("lines", key=Text, value=Text).diff(undone)
            return [f"{change.key}: {change.old} -> {change.new}" for change in changes]

    def undo(self) -> str | None:
        """Take back the newest edit; its name, or None if there is none."""
        undone = self.undoes()
        if undone is None:
            return None
        target = self._target(undone)
        with self.db.transaction(note=UNDO + b"%d" % target) as txn:
            txn.restore(target)
        return undone.note.decode()

    def _target(self, undone: cowtree.Commit) -> int:
        """The commit that was the newest before: 0 is the empty state."""
        before = self._commit_before(undone.id)
        return before.id if before is not None else 0

    def _commit_before(self, commit_id: int) -> cowtree.Commit | None:
        """Ids may have gaps, as one that a crash took away is not given again."""
        return next(self.db.history(stop=commit_id), None)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "outline.cow") as db:
        outline = Outline(db)
        outline.edit("write a title", {"title": "Trees"})
        outline.edit("add a chapter", {"1": "Leaves", "2": "Roots"})
        db.tag("draft")
        outline.edit("rename", {"title": "On Trees", "2": None})

        for line in outline.preview():
            print("undo would change", line)
        assert outline.undo() == "rename"
        assert outline.lines == {"title": "Trees", "1": "Leaves", "2": "Roots"}
        assert outline.undo() == "add a chapter"
        outline.edit("another chapter", {"1": "Bark"})
        assert [outline.undo() for _ in range(3)] == ["another chapter", "write a title", None]
        assert not outline.lines

        # An undo forgets nothing: any commit comes back by its id, its tag, or a time.
        db.restore("draft")
        assert outline.lines == {"title": "Trees", "1": "Leaves", "2": "Roots"}
        for commit in db.history(reverse=False):
            print(commit.id, commit.note.decode() or "(restored)", *commit.tags)


if __name__ == "__main__":
    main()
