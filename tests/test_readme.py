"""What the README alone promises: the quickstart to the letter, and its commands. Its blocks run in `test_docs`."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
from code_blocks import PATIENCE_SECONDS, README, blocks, shell_environment

import cowtree

if not README.exists():
    pytest.skip("the tests run apart from a checkout", allow_module_level=True)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)


def test_quickstart_prints_what_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks(README)[0].text, {})
    assert capsys.readouterr().out.splitlines() == [
        "2 4",
        "b'ada' b'1815'",
        "b'alan' b'1912'",
        "2 (b'grace', b'1906') 2",
    ]


def test_commands_of_the_readme_run(tmp_path: Path) -> None:
    commands = re.findall(r"^    (cowtree .*)$", README.read_text(), flags=re.MULTILINE)
    assert commands
    with cowtree.open("people.cow") as db:
        db[b"alan"] = b"1912"
        db.tag("before-import")
    if importlib.util.find_spec("lmdb"):
        importlib.import_module("lmdb").open("old.lmdb").close()
    else:  # what it says where the package is missing has a test of its own
        commands = [command for command in commands if "lmdb" not in command]
    for command in commands:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env=shell_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode in (0, 1) and done.stderr == "", f"$ {command}\n{done.stderr}"
