"""Undo with names: each change is a commit with a note, and going back is a commit too, so that it can be undone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cowtree
from cowtree.codecs import Text


class Document:
    """Paragraphs by name."""

    def __init__(self, db: cowtree.Database) -> None:
        self.db = db
        self.paragraphs = db.tree("paragraphs", key=Text, value=Text)

    def edit(self, note: str, **paragraphs: str | None) -> int:
        """Change paragraphs (None: take it out), as one step; its commit."""
        with self.db.transaction(note=note.encode()) as txn:
            tree = txn.tree("paragraphs", key=Text, value=Text)
            for name, text in paragraphs.items():
                if text is None:
                    tree.pop(name)
                else:
                    tree[name] = text
            return txn.commit()

    def steps(self) -> list[str]:
        """The notes, the newest first."""
        return [f"{commit.id} {commit.note.decode()}" for commit in self.db.history()]

    def undo(self) -> list[str]:
        """Go back to the commit before; what that changed."""
        newest, before = self.db.snapshot(), self.db.snapshot(self.db.commit_id - 1)
        with self.db.transaction(note=b"undo") as txn:
            txn.restore(before)
        return [f"{change.kind} {change.key.decode()}" for change in self.db.diff(newest)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "text.cow") as db:
        document = Document(db)
        document.edit("first draft", title="On trees", body="They copy.")
        db.tag("draft")
        document.edit("shorter", body=None)
        print("undone:", document.undo())
        print("title and body:", sorted(document.paragraphs))
        print("undone:", document.undo())
        print("steps:", document.steps())
        print(
            "as of the draft:", dict(db.snapshot("draft").tree("paragraphs", key=Text, value=Text))
        )


if __name__ == "__main__":
    main()
