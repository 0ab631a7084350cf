"""The examples run, and say what they are meant to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
EXPECTED = {
    "job_queue.py": ["done: 21 each once: True", "running: 0 failed: 1"],
    "secondary_index.py": [
        "changes: 1 then: 0",
        "rebuilt from: 4 Bonn: ['alan', 'emmy', 'grace']",
    ],
    "session_store.py": ["visits: 11", "expired in two minutes: 1", "left: 0"],
    "time_series.py": ["readings of an hour: 60 mean: 22.95", "dropped: 1440"],
    "undo_history.py": ["undone: ['added body']", "undone: ['removed body']"],
    "worker_pool.py": ["parts: 8 words: 29994"],
}

if not EXAMPLES.is_dir():
    pytest.skip(
        "the examples are not beside the tests here (a wheel's tests)", allow_module_level=True
    )


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    for line in EXPECTED[name]:
        assert line in done.stdout.splitlines(), done.stdout


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)
