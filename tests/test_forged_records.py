"""Forged records, tree records, towers and checkpoints under right checksums: refused, in time, without a crash.

Each case runs in a forked child, which a crash or an endless loop would take along.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash
from forged_sample import DAMAGE, NEWEST, Forge, Sample, bounded, examine
from forgery import (
    BRANCH,
    CATALOGUE,
    COMMIT_ID,
    DEFAULT_TREE,
    LEAF,
    NONCE,
    PAGE,
    PAGE_COUNT,
    PREVIOUS_PAGE,
    RECORD_ENTRIES,
    RECORD_LEVEL,
    RECORD_PAGES,
    RECORD_ROOT,
    Child,
    Forgery,
    Record,
    little,
)
from test_forged_files import (
    BRANCHES,
    TREE,
    TYPED,
    administrative,
    commit_field,
    patched,
    tip,
    tree_root,
)

import cowtree

pytestmark = pytest.mark.usefixtures("left_large")

Choose = Callable[[Forgery], Record]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("forged") / "forged.cow")


def in_child(function: Callable[[], object], seconds: int = 10) -> object:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(seconds)
        try:
            text = json.dumps(function())
        except BaseException as error:
            text = json.dumps("".join(traceback.format_exception(error))[-1500:])
        os.write(writing, text.encode()[:60000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    status = os.waitpid(pid, 0)[1]
    assert not os.WIFSIGNALED(status), f"died of {signal.Signals(os.WTERMSIG(status)).name}"
    return json.loads(text)


def seal(forgery: Forgery, at: int) -> None:
    """The checksum of the slot of page 1 at an offset in the file."""
    checksum = xxhash.xxh64_intdigest(bytes(forgery.content[at + 8 : at + 128]), forgery.generation)
    forgery.content[at : at + 8] = little(checksum, 8)


def judge(sample: Sample, forge: Forge) -> dict[str, list[str]]:
    def run() -> object:
        verdict = examine(sample, forge)
        return {"wrong": sorted(verdict.wrong), "refused": sorted(verdict.refused)}

    found = in_child(run)
    assert isinstance(found, dict), found
    return found


# SIGSEGV: bit 63 of a tree record's root is taken for "private memory" (view_root trusts it).
@pytest.mark.parametrize("root", [2**63 + 4096, 2**64 - 1])
def test_tree_record_with_a_root_in_memory(sample: Sample, root: int) -> None:
    found = judge(sample, patched(TREE, RECORD_ROOT, root))
    assert found["wrong"] == ["check"]


# Heap corruption: DiffSide.begin stores pages[level] before it looks at the page.
@pytest.mark.parametrize("level", [64, 100, 255])
def test_tree_record_with_a_level_beyond_63(sample: Sample, level: int) -> None:
    def run() -> object:
        forgery = Forgery(sample.content)
        patched(TREE, RECORD_LEVEL, level, 1)(forgery)
        sample.path.write_bytes(forgery.content)
        with cowtree.open(sample.path, readonly=True) as db:
            for i in range(3000):
                with contextlib.suppress(*DAMAGE):
                    bounded(db.diff(6, NEWEST))
                _ = [bytes(100 + i % 900) for _ in range(20)]
        return "refused"

    # Seen at once under PYTHONMALLOC=debug, or by chance.
    assert in_child(run) == "refused"


# SIGSEGV: a root below the end that an old record claims, beyond the mapping (verified bitmap).
@pytest.mark.parametrize("pages", [2**40, 2**55, 2**56 - 1])
def test_old_record_that_claims_more_pages_than_there_are(sample: Sample, pages: int) -> None:
    def forge(f: Forgery) -> None:
        record = f.commit(10)
        f.put(record.page, PAGE_COUNT, pages)
        f.put(record.page, CATALOGUE, pages - 5)

    found = judge(sample, forge)
    assert "snapshot 10" in found["refused"]


def test_old_record_that_claims_more_pages_and_a_tree_there(sample: Sample) -> None:
    def forge(f: Forgery) -> None:
        record = f.commit(10)
        f.put(record.page, PAGE_COUNT, 2**45)
        f.patch_catalogue(record, TREE, RECORD_ROOT, 2**44)

    found = judge(sample, forge)
    assert "snapshot 10" in found["refused"]


# Endless loops: the previous page is not required to lie below.
def cycle(choose: Choose, to: Choose | None = None) -> Forge:
    """The previous page of one record (with the nonce that is there) is made another one."""

    def forge(f: Forgery) -> None:
        page = choose(f).page
        target = page if to is None else to(f).page
        f.put(page, PREVIOUS_PAGE, target)
        f.put(page, PREVIOUS_PAGE + 8, f.get(target, NONCE))

    return forge


CYCLES = {
    "administrative": cycle(administrative),
    "commit": cycle(lambda f: f.commit(10)),
    "tip": cycle(tip),
    "forward": cycle(lambda f: f.commit(10), lambda f: f.commit(15)),
}


@pytest.mark.parametrize("case", CYCLES)
def test_previous_page_that_does_not_lead_back(sample: Sample, case: str) -> None:
    found = judge(sample, CYCLES[case])
    assert found["wrong"] in ([], ["check"])


# Wrong answers: commits left out of the chain, its end moved up; SnapshotGoneError for a commit that is there.
@pytest.mark.parametrize("target", ["none", "older"])
def test_previous_page_that_leaves_commits_out(sample: Sample, target: str) -> None:
    if target == "none":
        forge = commit_field(10, PREVIOUS_PAGE, 0)
    else:
        forge = cycle(lambda f: f.commit(10), lambda f: f.commit(5))
    found = judge(sample, forge)
    assert found["wrong"] in ([], ["check"])


# struct.error: a tree record that is too short; 7. a wrong or no answer for codec names outside it.
@pytest.mark.parametrize("size", [0, 1, 8, 47])
@pytest.mark.parametrize("key", [TREE, b"\x01"])
def test_tree_record_that_is_cut(sample: Sample, size: int, key: bytes) -> None:
    def forge(f: Forgery) -> None:
        f.put_catalogue(tip(f), key, f.catalogue_value(tip(f), TREE)[:size])

    assert judge(sample, forge)["refused"]


@pytest.mark.parametrize(
    ("offset", "value", "size"), [(4, 60000, 2), (6, 60000, 2), (4, 5, 2), (48, 0xFF, 1), (0, 2, 1)]
)
def test_tree_record_with_names_beyond_its_end_or_of_another_version(
    sample: Sample, offset: int, value: int, size: int
) -> None:
    found = judge(sample, patched(TYPED, offset, value, size))
    assert "codecs" in found["refused"]
    assert not set(found["wrong"]) - {"check"}


# UnicodeDecodeError: names that are no UTF-8.
@pytest.mark.parametrize("key", [b"\x01\xff", b"\x02\xff"])
def test_names_that_are_no_text(sample: Sample, key: bytes) -> None:
    def forge(f: Forgery) -> None:
        source = TREE if key[0] == 1 else b"\x02middle"
        f.put_catalogue(tip(f), key, f.catalogue_value(tip(f), source))

    assert judge(sample, forge)["refused"]


# SystemError, MemoryError or a wrong length: counts that no file of this size can hold.
@pytest.mark.parametrize("entries", [0, 2**40, 2**60, 2**63, 2**64 - 1])
def test_tree_record_with_impossible_counts(sample: Sample, entries: int) -> None:
    found = judge(sample, patched(TREE, RECORD_ENTRIES, entries))
    assert not set(found["wrong"]) - {"check"}


@pytest.mark.parametrize("entries", [2**40, 2**60, 2**63, 2**64 - 1])
def test_default_tree_with_impossible_counts(sample: Sample, entries: int) -> None:
    found = judge(sample, commit_field(10, DEFAULT_TREE + 8, entries))
    assert found["wrong"] in ([], ["check"])


@pytest.mark.parametrize("entries", [2**40, 2**60])
def test_list_of_a_tree_with_impossible_counts(sample: Sample, entries: int) -> None:
    def run() -> object:
        forgery = Forgery(sample.content)
        patched(TREE, RECORD_ENTRIES, entries)(forgery)
        sample.path.write_bytes(forgery.content)
        with cowtree.open(sample.path, readonly=True) as db:
            try:
                return [len(list(db.tree("t").items())), len(list(db.tree("t")))]
            except DAMAGE:
                return "refused"

    assert in_child(run) in ([100, 100], "refused")


# Hours: pages that have one child many times, level on level (check, iteration, diff, deep stats).
@pytest.mark.parametrize(("levels", "width"), [(2, 100), (8, 100), (30, 2), (60, 2)])
def test_tower_of_pages_with_one_child(sample: Sample, levels: int, width: int) -> None:
    def forge(f: Forgery) -> None:
        root = f.commit(24).catalogue  # any page above enough others
        low = f.children(tree_root(f))[0].page
        used = [p for p in range(low + 1, root) if f.kind(p) in (LEAF, BRANCH) and f.get(p, 8) == p]
        page, entries = low, len(f.slots(low))
        for level in range(1, levels + 1):
            at = root if level == levels else used[level - 1]
            f.put_branch(
                at, level, [Child(b"%03d" % i, page, min(entries, 2**55), 1) for i in range(width)]
            )
            page, entries = at, entries * width
        f.patch_catalogue(tip(f), TREE, RECORD_LEVEL, levels, 1)
        f.patch_catalogue(tip(f), TREE, RECORD_ROOT, root)
        f.patch_catalogue(tip(f), TREE, RECORD_ENTRIES, min(entries, 2**55))

    def run() -> object:
        forgery = Forgery(sample.content)
        forge(forgery)
        sample.path.write_bytes(forgery.content)
        found: dict[str, object] = {}
        with cowtree.open(sample.path, readonly=True) as db:
            found["check"] = db.check().ok
            for name, ask in [
                ("items", lambda: bounded(db.tree("t").items())),
                ("diff", lambda: bounded(db.diff(NEWEST - 1, NEWEST, tree="t", values=False))),
                ("deep", lambda: db.stats(deep=True)),
            ]:
                try:
                    ask()
                except DAMAGE:
                    found[name] = "refused"
                else:
                    found[name] = "answered"
        return found

    assert in_child(run) == {
        "check": False,
        "items": "refused",
        "diff": "refused",
        "deep": "refused",
    }


# Wrong answers of readers and diff from children out of order; `check` sees them.
@pytest.mark.parametrize("case", ["children change places", "one child many times"])
def test_children_out_of_order_are_refused_by_iterations_and_diff(
    sample: Sample, case: str
) -> None:
    def run() -> object:
        forgery = Forgery(sample.content)
        BRANCHES[case][0](forgery)
        sample.path.write_bytes(forgery.content)
        with cowtree.open(sample.path, readonly=True) as db:
            for ask in (
                lambda: bounded(db.tree("t").items()),
                lambda: bounded(db.diff(0, NEWEST, tree="t")),
            ):
                try:
                    ask()
                except DAMAGE:
                    continue
                return "answered"
        return "refused"

    assert in_child(run) == "refused"


# ValueError ("retired items are not in order") from a writer; restores of a tree whose page count is forged.
@pytest.mark.parametrize("pages", [0])
def test_restore_over_a_tree_record_without_pages(sample: Sample, pages: int) -> None:
    assert judge(sample, patched(TREE, RECORD_PAGES, pages))


# OverflowError from open: a sealed checkpoint slot with bounds beyond 2^52 pages or the last multiple of 2^20.
@pytest.mark.parametrize(
    ("bound", "id_bound"),
    [(2**40, 10), (2**50, 10), (2**52, 10), (2**64 - 1, 10), (400, 2**64 - 1)],
)
def test_checkpoint_with_impossible_bounds(sample: Sample, bound: int, id_bound: int) -> None:
    def run() -> object:
        f = Forgery(sample.content)
        for at in (PAGE, PAGE + PAGE // 2):
            if f.number(at):
                f.content[at + 48 : at + 88] = (
                    bytes(16) + little(4, 8) + little(bound, 8) + little(id_bound, 8)
                )
                seal(f, at)
        sample.path.write_bytes(f.content)
        try:
            cowtree.open(sample.path).close()
        except DAMAGE:
            return "refused"
        return "opened"

    assert in_child(run) == "refused"


def test_no_id_is_left_after_the_last(tmp_path: Path) -> None:
    path = tmp_path / "ids.cow"
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
    f = Forgery(path.read_bytes())
    page = f.records()[-1].page
    f.put(page, 16, 2**64 - 1)
    f.put(page, COMMIT_ID, 2**64 - 1)
    for at in (PAGE, PAGE + PAGE // 2):
        if f.number(at):
            f.content[at + 32 : at + 40] = little(2**64 - 1, 8)
            f.content[at : at + 8] = little(
                xxhash.xxh64_intdigest(bytes(f.content[at + 8 : at + 128]), f.generation), 8
            )
    path.write_bytes(f.content)
    with pytest.raises(DAMAGE):
        cowtree.open(path)


# A tag's name that is no UTF-8 text: UnicodeEncodeError, where an unknown tag is a KeyError.
def test_tag_with_a_surrogate_is_unknown(tmp_path: Path) -> None:
    with cowtree.open(tmp_path / "tag.cow") as db:
        with pytest.raises(KeyError):
            db.snapshot("\udc80")


# Unknown read-compatible features of the newest commit: a writer must refuse (FORMAT §2.1, §3.1).
def test_writer_refuses_read_compatible_features_of_a_commit(tmp_path: Path) -> None:
    path = tmp_path / "features.cow"
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
    f = Forgery(path.read_bytes())
    f.put(f.records()[-1].page, 56, 1)
    path.write_bytes(f.content)
    with pytest.raises(cowtree.FormatError, match="features"):
        cowtree.open(path)
    assert path.read_bytes() == f.content
    with cowtree.open(path, readonly=True) as db:
        assert db[b"k"] == b"v"


@pytest.mark.parametrize("target", ["itself", "forward", "its successor"])
def test_skip_pointer_that_does_not_lead_back(sample: Sample, target: str) -> None:
    def forge(f: Forgery) -> None:
        page = f.commit(17).page
        to = {"itself": 17, "forward": 24, "its successor": 18}[target]
        for index in range(4):
            f.put(page, 352 + 8 * index, f.commit(to).page)

    found = judge(sample, forge)
    assert found["wrong"] == ["check"]


def test_a_slot_that_no_slot_can_follow_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "slot.cow"
    with cowtree.open(path) as db:
        db[b"k"] = b"v"
    f = Forgery(path.read_bytes())
    for at in (PAGE, PAGE + PAGE // 2):
        f.content[at + 8 : at + 16] = little(2**64 - 1, 8)
        seal(f, at)
    path.write_bytes(f.content)
    with cowtree.open(path) as db:
        db[b"l"] = b"w"
    with cowtree.open(path) as db:
        assert dict(db) == {b"k": b"v", b"l": b"w"}
