"""Every block of the README runs, and prints what its text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"

PRINTED = {
    "Quickstart": [
        "2 4",
        "b'ada' b'1815'",
        "b'alan' b'1912'",
        "2 (b'grace', b'1906') 2",
    ],
    "Typed trees": [
        "[(('cpu', 1), 0.5), (('cpu', 2), 0.75)] 2",
        "True ('text', 'json')",
    ],
    "History, differences, change feed": [
        "[(2, b'rename', ()), (1, b'', ('draft',))]",
        "b'Trees' b'On Trees'",
        "added b'pages' None b'7'",
        "changed b'title' b'Trees' b'On Trees'",
        "3 b'Trees'",
        "[('removed', b'pages'), ('changed', b'title')]",
        "3",
    ],
    "Workers, settings, numbers": [
        *["2500"] * 4,
        "100 2.0 4096",
        "5000 entries in # leaves, #% full",
    ],
}


def blocks() -> list[tuple[str, str]]:
    """(title of its section, code) of each Python block."""
    found = []
    for section in README.read_text().split("\n## ")[1:]:
        title = section.split("\n", 1)[0]
        found += [
            (title, code) for code in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
        ]
    return found


needs_checkout = pytest.mark.skipif(
    not README.exists(), reason="the tests run apart from a checkout"
)


@needs_checkout
def test_every_block_is_known() -> None:
    assert [title for title, _ in blocks()] == list(PRINTED)
    assert README.read_text().count("```python") == len(PRINTED)


@needs_checkout
@pytest.mark.parametrize("title", PRINTED)
def test_block_runs(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(dict(blocks())[title], {})
    printed = re.sub(r"\d+ leaves, \d+%", "# leaves, #%", capsys.readouterr().out)
    assert printed.splitlines() == PRINTED[title]


@needs_checkout
def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text())
    assert targets
    assert [target for target in targets if not (README.parent / target).exists()] == []


@needs_checkout
def test_tests_that_are_named_exist() -> None:
    names = set(re.findall(r"\btest_\w+\.py", README.read_text()))
    assert names
    assert [name for name in sorted(names) if not (README.parent / "tests" / name).exists()] == []
