"""Hostile files: fields rewritten under checksums that are right. An error or the right answer, soon; never a crash.

What a sealed page says about itself is believed where nothing contradicts it (a commit's time, what a tag's name
stands for); what only a comparison of pages shows, `check` reports.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import msgpack
import pytest
from forged_sample import NEWEST, Forge, Sample, examine
from forgery import (
    COMMIT,
    COMMIT_ID,
    LEAF,
    NONCE,
    PAGE,
    PAGE_COUNT,
    PREVIOUS_PAGE,
    RECORD_LEVEL,
    RECORD_ROOT,
    RUN,
    SEQUENCE,
    SKIP_COUNT,
    SKIP_OFFSET,
    TAG_ID,
    TAG_NONCE,
    TAG_PAGE,
    TAG_TIME,
    TIME,
    Child,
    Forgery,
    Record,
    Slot,
    little,
)

pytestmark = pytest.mark.usefixtures("left_large")

TREE, TYPED = b"\x01t", b"\x01typed"
TAG_KEY, RATIO_KEY, HISTORY_KEY = b"\x02middle", b"\x03auto_compact", b"\x03history"


# `check` compares every range with its digest, so it notices each forged page, whether or not reads do.
NOTICED = {"check"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("forged") / "forged.cow")


# What to forge.


def tip(forgery: Forgery) -> Record:
    return forgery.records()[-1]


def administrative(forgery: Forgery) -> Record:
    """The first record on top of commit 10."""
    return next(r for r in forgery.records() if r.administrative and r.commit_id == 10)


def patched(key: bytes, offset: int, value: int, size: int = 8) -> Forge:
    """A field of a record of the newest catalogue."""
    return lambda forgery: forgery.patch_catalogue(tip(forgery), key, offset, value, size)


def stored(key: bytes, value: bytes) -> Forge:
    """A record of the newest catalogue."""
    return lambda forgery: forgery.put_catalogue(tip(forgery), key, value)


def commit_field(commit_id: int, offset: int, value: int | Callable[[Forgery], int]) -> Forge:
    def forge(forgery: Forgery) -> None:
        found = value if isinstance(value, int) else value(forgery)
        forgery.put(forgery.commit(commit_id).page, offset, found)

    return forge


def skip_pointer(commit_id: int, index: int, target: Callable[[Forgery], int]) -> Forge:
    def forge(forgery: Forgery) -> None:
        page = forgery.commit(commit_id).page
        assert index < forgery.get(page, SKIP_COUNT, 2)
        forgery.put(page, forgery.get(page, SKIP_OFFSET, 2) + 8 * index, target(forgery))

    return forge


def tree_root(forgery: Forgery) -> int:
    """The branch that is the root of tree "t" in the newest commit, and in commit 5 too."""
    record = forgery.catalogue_value(tip(forgery), TREE)
    return int.from_bytes(record[RECORD_ROOT : RECORD_ROOT + 8], "little")


def branch(change: Callable[[Forgery, list[Child]], list[Child]], level: int = 1) -> Forge:
    """Other children below the root of tree "t"."""

    def forge(forgery: Forgery) -> None:
        root = tree_root(forgery)
        forgery.put_branch(root, level, change(forgery, forgery.children(root)))

    return forge


def leaf(change: Callable[[Forgery, list[Slot]], list[Slot]]) -> Forge:
    """Other entries in the second leaf of tree "t"."""

    def forge(forgery: Forgery) -> None:
        page = forgery.children(tree_root(forgery))[1].page
        forgery.put_leaf(page, change(forgery, forgery.slots(page)))

    return forge


def large_value(
    page: Callable[[Forgery], int], size: int, offset: int = 64, flags: int = 0
) -> Forge:
    """A run reference in the place of the first value of a leaf."""

    def change(forgery: Forgery, slots: list[Slot]) -> list[Slot]:
        reference = (
            little(page(forgery), 8) + little(offset, 4) + little(flags, 4) + little(size, 8)
        )
        return [Slot(slots[0].key, reference, 1), *slots[1:]]

    return leaf(change)


def run_of(forgery: Forgery) -> int:
    """The run of the only large value."""
    return next(
        page
        for page in range(3, len(forgery.content) // PAGE)
        if forgery.kind(page) == RUN and forgery.get(page, 8) == page
    )


def other_tag_record(forgery: Forgery, record: Record) -> None:
    """The tag "middle" at another record, consistently."""
    fields = (1, record.commit_id, forgery.get(record.page, NONCE), record.page, 0)
    forgery.put_catalogue(tip(forgery), TAG_KEY, b"".join(little(field, 8) for field in fields))


def test_the_sample_is_right_and_so_is_what_was_rewritten_as_it_was(sample: Sample) -> None:
    def rebuild(forgery: Forgery) -> None:
        root = tree_root(forgery)
        children = forgery.children(root)
        assert len(children) > 2
        forgery.put_branch(root, 1, children)
        for child in children:
            forgery.put_leaf(child.page, forgery.slots(child.page))
        for page in range(2, len(sample.content) // PAGE):
            if forgery.kind(page) in (COMMIT, LEAF) and forgery.get(page, 8) == page:
                forgery.seal(page)

    verdict = examine(sample, rebuild)
    assert verdict.wrong | verdict.refused <= NOTICED
    assert len(verdict.right) > 140


PAGES: dict[str, Callable[[Forgery], int]] = {
    "identity": lambda f: 0,
    "checkpoint": lambda f: 1,
    "first": lambda f: 2,
    "leaf": lambda f: f.commit(9).catalogue,
    "commit 3": lambda f: f.commit(3).page,
    "administrative": lambda f: administrative(f).page,
    "end": lambda f: len(f.content) // PAGE,
    "far": lambda f: 10**6,
    "2**52": lambda f: 2**52,
    "2**63": lambda f: 2**63,
    "all ones": lambda f: 2**64 - 1,
}
PAGE_NAMES = pytest.mark.parametrize("target", PAGES)


@PAGE_NAMES
def test_tag_of_another_page_is_refused(sample: Sample, target: str) -> None:
    def forge(forgery: Forgery) -> None:
        forgery.patch_catalogue(tip(forgery), TAG_KEY, TAG_PAGE, PAGES[target](forgery))

    verdict = examine(sample, forge)
    assert verdict.refused == {"tag middle"}
    assert verdict.wrong <= NOTICED


@pytest.mark.parametrize("offset", [TAG_ID, TAG_NONCE])
@pytest.mark.parametrize("value", [0, 5, 2**64 - 1])
def test_tag_of_another_id_or_nonce_is_refused(sample: Sample, offset: int, value: int) -> None:
    verdict = examine(sample, patched(TAG_KEY, offset, value))
    assert verdict.refused == {"tag middle"}
    # What the catalogue says of it is all that a list of tags reads.
    assert verdict.wrong <= NOTICED | {
        "tags",
        "history",
        "history upwards",
        "part of the history",
    }


def test_tag_that_was_moved_in_every_field_is_that_tag(sample: Sample) -> None:
    for choose in (lambda f: f.commit(5), administrative):
        verdict = examine(sample, lambda f, c=choose: other_tag_record(f, c(f)))
        assert "tag middle" in verdict.wrong
        assert not verdict.refused
    assert examine(sample, patched(TAG_KEY, TAG_TIME, 2**64 - 1)).wrong <= NOTICED


@pytest.mark.parametrize(
    "value", [b"", b"\1", b"\1" * 39, b"\1" * 41, b"\2" + bytes(39), b"\0" * 40], ids=repr
)
def test_tag_record_of_another_form_is_refused(sample: Sample, value: bytes) -> None:
    verdict = examine(sample, stored(TAG_KEY, value))
    assert {"tags", "tag middle", "history"} <= verdict.refused
    assert verdict.wrong <= NOTICED


@pytest.mark.parametrize("key", [RATIO_KEY, HISTORY_KEY], ids=["auto_compact", "history"])
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 1500,
        b"\x05\x00",
        b"\xd7\xff" + b"\xff" * 8,
        *map(
            msgpack.packb,
            [
                True,
                -1,
                "text",
                float("nan"),
                float("inf"),
                {},
                {"seconds": None},
                {"seconds": "1"},
                {"seconds": [1]},
                {"seconds": -1},
                {"seconds": 1e300},
                {"seconds": float("nan")},
            ],
        ),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_setting_that_is_none_is_refused(sample: Sample, key: bytes, value: bytes) -> None:
    verdict = examine(sample, stored(key, value))
    assert verdict.refused == {"settings"} | (verdict.refused & {"deep stats"})
    assert verdict.wrong <= NOTICED


@pytest.mark.parametrize("key", [b"", b"\x04", b"\x04reserved", b"\xff"], ids=repr)
def test_reserved_keys_of_the_catalogue_are_passed_over(sample: Sample, key: bytes) -> None:
    verdict = examine(sample, stored(key, b"something"))
    assert verdict.wrong <= NOTICED
    assert verdict.refused <= {"deep stats"}


@pytest.mark.parametrize("root", [1, 2, 10**6, 2**40, 2**62, *(["first", "leaf", "commit 3"])])
@pytest.mark.parametrize("mmap", [True, False])
def test_tree_record_with_another_root_is_refused(
    sample: Sample, root: int | str, mmap: bool
) -> None:
    def forge(forgery: Forgery) -> None:
        page = root if isinstance(root, int) else PAGES[root](forgery)
        forgery.patch_catalogue(tip(forgery), TREE, RECORD_ROOT, page)

    verdict = examine(sample, forge, mmap=mmap)
    assert {f"diff 24 {NEWEST}", f"snapshot {NEWEST}", "newest", "deep stats"} <= verdict.refused
    assert verdict.wrong == {"check"}


@pytest.mark.parametrize("level", [0, 2, 5, 62, 63])
def test_tree_record_with_another_level_is_refused(sample: Sample, level: int) -> None:
    verdict = examine(sample, patched(TREE, RECORD_LEVEL, level, 1))
    assert {f"diff 24 {NEWEST}", f"snapshot {NEWEST}", "newest", "deep stats"} <= verdict.refused
    assert verdict.wrong == {"check"}


@pytest.mark.parametrize("target", ["none", *PAGES])
@pytest.mark.parametrize(("commit_id", "index"), [(25, 3), (24, 2)])
def test_skip_pointer_leads_to_the_right_commit_or_is_refused(
    sample: Sample, commit_id: int, index: int, target: str
) -> None:
    choose = PAGES.get(target, lambda forgery: 0)
    forge = skip_pointer(commit_id, index, choose)
    verdict = examine(sample, forge)
    forgery = Forgery(sample.content)
    forge(forgery)
    assert verdict.wrong == ({"check"} if forgery.content != sample.content else set())


@pytest.mark.parametrize("count", [0, 1, 5, 63, 64, 65535])
def test_another_count_of_skip_pointers_is_refused_or_harmless(sample: Sample, count: int) -> None:
    def forge(forgery: Forgery) -> None:
        forgery.put(forgery.commit(24).page, SKIP_COUNT, count, 2)

    assert examine(sample, forge).wrong <= NOTICED


@pytest.mark.parametrize("target", ["checkpoint", "leaf", "end", "far", "2**52", "all ones"])
def test_previous_page_that_is_no_record_is_refused(sample: Sample, target: str) -> None:
    verdict = examine(sample, commit_field(10, PREVIOUS_PAGE, PAGES[target]))
    assert {"history", "part of the history"} <= verdict.refused
    assert verdict.wrong <= NOTICED


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (PAGE_COUNT, 0),
        (PAGE_COUNT, 2**56),
        (PAGE_COUNT, 2**64 - 1),
        (SEQUENCE, 0),
        (SEQUENCE, 2**63),
        (NONCE, 1),
        (COMMIT_ID, 11),
        *((offset, v) for offset in (224, 256) for v in (0, 1, 2, 2**40, 2**63, 2**64 - 1)),
        *((offset, v) for offset in (240, 272) for v in (10**6, 2**63, 2**64 - 1)),
    ],
)
def test_fields_of_an_old_record_that_cannot_be_are_refused(
    sample: Sample, offset: int, value: int
) -> None:
    verdict = examine(sample, commit_field(10, offset, value))
    assert verdict.refused
    assert verdict.wrong <= NOTICED


@pytest.mark.parametrize("value", [0, 2**63, 2**64 - 1])
def test_another_time_of_an_old_record_does_no_more_harm_than_that(
    sample: Sample, value: int
) -> None:
    verdict = examine(sample, commit_field(10, TIME, value))
    assert {"newest", "tags", "settings", f"diff 24 {NEWEST}"} <= verdict.right
    assert not {name for name in verdict.wrong if name.startswith(("diff", "snapshot"))}


BRANCHES: dict[
    str, tuple[Forge, bool]
] = {  # is it seen where the branch is read, or by `check` alone?
    "separators descend": (
        branch(
            lambda f, c: [
                c[0],
                *(replace(a, separator=b.separator) for a, b in zip(c[1:], c[:0:-1], strict=True)),
            ]
        ),
        True,
    ),
    "separators are equal": (
        branch(lambda f, c: [*c[:2], replace(c[2], separator=c[1].separator), *c[3:]]),
        True,
    ),
    "a child is the page itself": (
        branch(lambda f, c: [replace(c[0], page=tree_root(f)), *c[1:]]),
        True,
    ),
    "a child is in memory": (branch(lambda f, c: [replace(c[0], page=2**63 + 4096), *c[1:]]), True),
    "a child lies beyond the end": (branch(lambda f, c: [replace(c[0], page=10**6), *c[1:]]), True),
    "a child is the first record": (branch(lambda f, c: [replace(c[0], page=2), *c[1:]]), True),
    "a child is a commit page": (
        branch(lambda f, c: [replace(c[0], page=f.commit(3).page), *c[1:]]),
        True,
    ),
    "a child counts 2**63": (branch(lambda f, c: [replace(a, entries=2**63) for a in c]), True),
    "no child": (branch(lambda f, c: []), True),
    "level 0": (branch(lambda f, c: c, 0), True),
    "level 2": (branch(lambda f, c: c, 2), True),
    "level 64": (branch(lambda f, c: c, 64), True),
    "entries descend": (leaf(lambda f, s: s[::-1]), True),
    "an entry twice": (leaf(lambda f, s: [s[0], s[0], *s[2:]]), True),
    "no entry": (leaf(lambda f, s: []), True),
    "an entry of kind 2": (leaf(lambda f, s: [replace(s[0], kind=2), *s[1:]]), True),
    "an entry with a flag": (leaf(lambda f, s: [replace(s[0], kind=16), *s[1:]]), True),
    "a large value of another size": (large_value(run_of, 9001), True),
    "a large value of 2**62": (large_value(run_of, 2**62), True),
    "a large value of 2**64 - 1": (large_value(run_of, 2**64 - 1), True),
    "a large value beyond the end": (large_value(lambda f: 10**6, 9000), True),
    "a large value in memory": (large_value(lambda f: 2**63 + 4096, 9000), True),
    "a large value that is a leaf": (
        large_value(lambda f: f.children(tree_root(f))[0].page, 9000),
        True,
    ),
    "a large value elsewhere in its page": (large_value(run_of, 9000, 65), True),
    "a large value with flags": (large_value(run_of, 9000, 64, 1), True),
    "children change places": (
        branch(lambda f, c: [replace(a, page=b.page) for a, b in zip(c, c[::-1], strict=True)]),
        False,
    ),
    "one child many times": (branch(lambda f, c: [replace(a, page=c[0].page) for a in c]), False),
    "children are missing": (branch(lambda f, c: c[:1]), False),
    "a child counts too much": (
        branch(lambda f, c: [replace(c[0], entries=c[0].entries + 1), *c[1:]]),
        False,
    ),
    "an entry is missing": (leaf(lambda f, s: s[1:]), False),
    "an entry out of range": (leaf(lambda f, s: [*s, Slot(b"zzzz", b"1")]), False),
}


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("case", BRANCHES)
def test_tree_page_that_cannot_be_is_refused_or_found_by_a_check(
    sample: Sample, case: str, mmap: bool
) -> None:
    forge, seen_alone = BRANCHES[case]
    verdict = examine(sample, forge, mmap=mmap)
    assert "check" in verdict.wrong
    assert "deep stats" in verdict.refused
    if seen_alone:
        assert {"diff 4 5", "snapshot 5", f"pickle {NEWEST}", "newest"} <= verdict.refused
        assert verdict.wrong == {"check"}


def test_bytes_changed_at_random_under_right_checksums(sample: Sample) -> None:
    """Tree pages of the newest commits; what is said is not compared: a changed value is a value."""
    rng = random.Random(11)
    intact = Forgery(sample.content)
    pages = [
        page
        for page in range(3, len(sample.content) // PAGE)
        if intact.kind(page) == LEAF
        and intact.get(page, 8) == page
        and page not in {record.catalogue for record in intact.records()}
    ]
    for _ in range(25):
        page, offset = (
            rng.choice(pages),
            rng.choice([rng.randrange(24, 300), rng.randrange(24, PAGE)]),
        )
        value = rng.randrange(256)
        examine(sample, lambda f, p=page, o=offset, v=value: f.put(p, o, v, 1))
