"""The quickstart does what its comments say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.skipif(not README.exists(), reason="the tests run apart from a checkout")
def test_quickstart_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert code is not None
    exec(code[1], {})
    assert capsys.readouterr().out.splitlines() == [
        "2 4",
        "b'ada' b'1815'",
        "b'alan' b'1912'",
        "2 (b'grace', b'1906') 2",
    ]
