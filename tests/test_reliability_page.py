"""The page on reliability names tests and commands that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the tests run apart from a checkout")


def test_every_test_that_it_names_is_there() -> None:
    defined = {
        name
        for path in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), flags=re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text()))
    assert len(named) > 30
    assert named <= defined, named - defined


def test_every_scenario_has_a_test() -> None:
    rows = [
        line
        for line in PAGE.read_text().split("## Campaigns")[0].splitlines()
        if line.startswith("| ")
    ][1:]
    assert len(rows) == 20
    assert all("`test_" in row for row in rows)


def test_every_command_that_it_names_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", PAGE.read_text()))
    assert named <= targets, named - targets
    campaigns = (ROOT / "tests" / "campaign" / "__main__.py").read_text()
    for name in re.findall(r"CAMPAIGN=(\w+)", PAGE.read_text()):
        assert f'"{name}"' in campaigns
