"""Every block of the README does what its comments say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


BLOCKS = (
    re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    if README.exists()
    else []
)
if not BLOCKS:
    pytest.skip("the tests run apart from a checkout", allow_module_level=True)


def run(block: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    exec(block, {})
    return capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_quickstart_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(BLOCKS[0], capsys) == [
        "2 4",
        "b'ada' b'1815'",
        "b'alan' b'1912'",
        "2 (b'grace', b'1906') 2",
    ]


@pytest.mark.parametrize("number", range(1, len(BLOCKS)))
def test_each_block_prints_what_its_comments_say(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    told = re.findall(r"^ *print\(.*\)  # (.*)$", BLOCKS[number], flags=re.MULTILINE)
    assert told and run(BLOCKS[number], capsys) == told


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text())
    assert targets and all((README.parent / target).exists() for target in targets)


def test_files_of_tests_that_are_named_exist() -> None:
    names = re.findall(r"\btest_\w+\*?\.py", README.read_text())
    assert names and all(list((README.parent / "tests").glob(name)) for name in names)
