"""Power cuts at every step of a compaction and of a backup: two files, and names that last or not apart from them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from campaign.history import NAME, History
from campaign.verify import verify
from crash_folder import FolderRecorder, moments, outcomes
from test_compaction import grow, state_of

import cowtree
from cowtree import registry

pytestmark = pytest.mark.usefixtures("left_large", "boots")

SEED = 20261201
IMAGES = 25


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image is opened after a restart of the system; undone after the test."""
    monkeypatch.setattr(registry, "boot_id", registry.boot_id)


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "by itself"])
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "unsynced"])
def test_a_power_cut_at_any_step_of_a_compaction(
    tmp_path: Path, asked: bool, durable: bool
) -> None:
    folder, image_folder = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    image_folder.mkdir()
    history = History(str(folder), None, random.Random(f"{SEED} {asked} {durable}"))
    for number in range(6):
        history.commit(durable, number % 2 == 0, failing=0.0)
        if number == 2:
            history.db.tag("kept")
            history.tagged["kept"] = history.contents[3]
            history.tags[3] = dict(history.tagged)
    begins = sum(1 for _ in moments(history.start, history.recorder.events))
    history.compact(asked)
    history.commit(durable, True, failing=0.0)
    history.end()
    rng = random.Random(SEED)
    seen: dict[tuple[int, int], int] = {}
    for step, moment in enumerate(moments(history.start, history.recorder.events)):
        if step < begins:
            continue
        for image in outcomes(moment, rng, IMAGES):
            number = verify(image, moment, history, str(image_folder), read_only=rng.random() < 0.1)
            found = len(image.names), image.names[NAME]
            seen[found] = seen.get(found, 0) + 1
            assert durable is False or number >= 6, f"seed {SEED}, step {step}"
    # The old file alone, beside what a dead compaction left, and the new one.
    assert {(1, 0), (2, 0), (1, 1)} <= seen.keys() and min(seen.values()) > 5, seen


def test_a_power_cut_at_any_step_of_a_backup(path: Path, tmp_path: Path) -> None:
    folder, image_folder = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    image_folder.mkdir()
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        grow(db, 12)
        state = state_of(db)
        recorder = FolderRecorder(str(folder))
        recorder.install()
        try:
            db.backup(folder / "copy")
        finally:
            recorder.remove()
    rng = random.Random(SEED)
    there = absent = 0
    *_, last = moments(recorder.start, recorder.events)
    assert last.names.keys() == {"copy"} and not last.changes
    for moment in moments(recorder.start, recorder.events):
        for image in outcomes(moment, rng, IMAGES):
            image.put(str(image_folder))
            if "copy" not in os.listdir(image_folder):
                absent += 1
                continue
            there += 1
            with cowtree.open(image_folder / "copy", create=False) as copy:
                assert state_of(copy) == state and copy.check().ok, f"seed {SEED}"
    assert there > 5 and absent > 20, (there, absent)
