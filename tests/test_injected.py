"""A process killed at any system call of a compaction leaves one whole file, and debris that the next one removes."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign.injected import available, injections, prepare, run_injection

pytestmark = pytest.mark.slow

COMMITS = 3
EVERY = 3  # `make campaign CAMPAIGN=injected` does them all


@pytest.mark.parametrize("life", ["asked", "relocated"])
def test_a_kill_at_any_system_call_of_a_compaction_leaves_one_whole_file(
    tmp_path: Path, life: str
) -> None:
    reason = available()
    if reason:
        pytest.skip(reason)
    path = str(tmp_path / "injected.cow")
    prepare(path, COMMITS)
    plan = [each for each in injections(path, COMMITS, COMMITS, life) if "KILL" in each.fault]
    assert {"rename", "fdatasync", "pwritev", "fsync"} <= {each.call for each in plan}
    found = set()
    for injection in plan[::EVERY]:
        prepare(path, COMMITS)
        found.add(run_injection(injection, path, COMMITS, COMMITS))
    assert len(found) > 1, found
