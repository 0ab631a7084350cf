"""What a backup must be, and a database to make one of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model import pattern

import cowtree
from cowtree.storage.page_file import open_page_file
from cowtree.storage.recovery import find_tip
from cowtree.storage.recovery_scan import RangeReader

MIB = 1 << 20


def trees(reader: Any) -> dict[str | None, dict[bytes, bytes]]:
    """Everything that a database or a snapshot holds."""
    found: dict[str | None, dict[bytes, bytes]] = {None: dict(reader)}
    return found | {name: dict(reader.tree(name)) for name in reader.trees()}


def check_equal(source: cowtree.Database, path: Path, commit_id: int | None = None) -> None:
    """The backup at `path` is the source as of a commit: contents, history, bytes, and it verifies from page 2 on."""
    at = source.commit_id if commit_id is None else commit_id
    with cowtree.open(path, readonly=True) as copy:
        assert copy.commit_id == at and copy.page_size == source.page_size
        assert trees(copy) == trees(source.snapshot(at))
        report = copy.check()
        assert report.ok, report.problems
        commits = [(c.id, c.time, c.note, c.entries, c.pages_written) for c in copy.history()]
        assert commits == [
            (c.id, c.time, c.note, c.entries, c.pages_written)
            for c in source.history(stop=at + 1)  # tags that came later are the source's alone
        ]
    check_chain(path)


def check_chain(path: Path) -> None:
    """Every record verifies, its range too, with page 1 and without: found from page 2 on."""
    page_file = open_page_file(path, readonly=True)
    found = find_tip(page_file)
    assert found.clean and found.tip.end_page + 1 == page_file.page_count()
    reader = RangeReader(page_file)
    number = 2
    while number < found.tip.end_page:
        record = reader.read_commit(number)
        assert reader.range_problem(record) is None
        assert record.generation == page_file.generation and record.uuid == page_file.uuid
        number = record.end_page
    page_file.close()
    blanked = path.with_name("blanked")
    content = bytearray(path.read_bytes())
    page_size = page_file.page_size
    content[page_size : 2 * page_size] = bytes(page_size)
    blanked.write_bytes(content)
    page_file = open_page_file(blanked)
    again = find_tip(page_file)
    assert (again.tip.nonce, again.tip.digest) == (found.tip.nonce, found.tip.digest)
    assert not again.rolled_back and again.checkpoint is None
    page_file.close()
    blanked.unlink()


def identity(path: Path) -> tuple[bytes, int, int]:
    page_file = open_page_file(path, readonly=True)
    page_file.close()
    return page_file.uuid, page_file.generation, page_file.created_ns


def small_commits(db: cowtree.Database) -> None:
    for i in range(700):
        db[b"%03d" % (i % 50)] = pattern(i, i)
