"""Open an image with the real engine and hold what it gives against the contents of a history."""

from __future__ import annotations

from crash_device import Cut, Disk

import cowtree
from campaign.history import STAMP, Content, History, boot_anew, content_of

__all__ = ["verify"]

FURTHER = b"further"


def verify(image: Disk, cut: Cut, history: History, path: str, *, read_only: bool) -> int:
    """The number of the commit that the image opened at; AssertionError if that is none it may open at.

    It must pass `check`, take a further commit with an id that nobody has seen, and open again with it.
    `read_only`: readers see the same, and change nothing.
    """
    image.put(path)
    boot_anew()
    seen: Content | None = None
    if read_only:
        before = Disk.of_file(path)
        with cowtree.open(path, readonly=True) as reader:
            seen = content_of(reader)
        after = Disk.of_file(path)
        assert (after.pages, after.size) == (before.pages, before.size), (
            "a read-only open changed the file"
        )
    with cowtree.open(path) as db:
        found = content_of(db)
        number = landed(found, history, cut)
        assert seen is None or seen == found, "readers saw something else"
        report = db.check()
        assert report.ok, report.problems
        with db.transaction() as txn:
            txn[FURTHER] = b"commit"
        made = txn.commit_id
        taken = {history.ids[k] for k in range(number + 1, cut.seen + 1) if k in history.ids}
        assert made not in taken, f"commit id {made} was seen before, with another content"
    found[None] = found[None] | {FURTHER: b"commit"}
    with cowtree.open(path) as db:
        assert content_of(db) == found, "the further commit did not last"
        assert db.commit_id == made
    return number


def landed(found: Content, history: History, cut: Cut) -> int:
    """The commit whose content was found; it is one between the last durable and the last started, and not undone."""
    stamp = found[None].get(STAMP)
    for number in range(cut.highest, cut.lowest - 1, -1):
        content = history.contents.get(number)
        if content is not None and number not in cut.gone and content[None].get(STAMP) == stamp:
            assert found == content, f"a mixture: stamped {number}, but with other entries"
            return number
    raise AssertionError(f"stamp {stamp!r}: no commit from {cut.lowest} to {cut.highest}")
