"""Open an image with the real engine and hold what it gives against the contents of a history."""

from __future__ import annotations

import os

from crash_folder import Folder, Moment

import cowtree
from campaign.history import NAME, STAMP, Content, History, boot_anew, content_of

__all__ = ["verify"]

FURTHER = b"further"


def verify(image: Folder, moment: Moment, history: History, folder: str, *, read_only: bool) -> int:
    """The number of the commit that the image opened at; AssertionError if that is none it may open at.

    It must pass `check`, have its tags, take a further commit with an id that nobody has seen, and open again with it;
    what a compaction left behind goes with the next one. `read_only`: readers see the same, and change nothing.
    """
    image.put(folder)
    path = os.path.join(folder, NAME)
    boot_anew()
    seen: Content | None = None
    if read_only:
        before = _bytes_of(folder)
        with cowtree.open(path, readonly=True) as reader:
            seen = content_of(reader)
        assert _bytes_of(folder) == before, "a read-only open changed a file"
    with cowtree.open(path) as db:
        found = content_of(db)
        number = landed(found, history, moment)
        assert seen is None or seen == found, "readers saw something else"
        report = db.check()
        assert report.ok, report.problems
        tags = {name: content_of(db.snapshot(name)) for name in db.tags()}
        assert tags == history.tags[number], "tags name something else"
        with db.transaction() as txn:
            txn[FURTHER] = b"commit"
        made = txn.commit_id
        taken = {history.ids[k] for k in range(number + 1, moment.seen + 1) if k in history.ids}
        assert made not in taken, f"commit id {made} was seen before, with another content"
    found[None] = found[None] | {FURTHER: b"commit"}
    with cowtree.open(path) as db:
        assert content_of(db) == found, "the further commit did not last"
        assert db.commit_id == made
        if len(os.listdir(folder)) > 1:
            db.compact()
            assert os.listdir(folder) == [NAME], "debris stays"
            assert content_of(db) == found and db.commit_id == made
    return number


def _bytes_of(folder: str) -> dict[str, tuple[dict[int, bytes], int]]:
    now = Folder.of(folder)
    return {name: (now.disks[at].pages, now.disks[at].size) for name, at in now.names.items()}


def landed(found: Content, history: History, moment: Moment) -> int:
    """The commit whose content was found; it is one between the last durable and the last started, and not undone."""
    stamp = found[None].get(STAMP)
    for number in range(moment.highest, moment.lowest - 1, -1):
        content = history.contents.get(number)
        if content is not None and number not in moment.gone and content[None].get(STAMP) == stamp:
            assert found == content, f"a mixture: stamped {number}, but with other entries"
            return number
    raise AssertionError(f"stamp {stamp!r}: no commit from {moment.lowest} to {moment.highest}")
