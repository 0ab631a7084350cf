"""The command line: compact, stats, completion, and what it looks like on a terminal."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import fails, ok, run

import cowtree
from cowtree.cli.metrics import openmetrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "test.cow"
    with cowtree.open(path, sync=False, auto_compact=None) as db:
        for turn in range(3):
            db.update((b"%05d" % i, b"%d" % turn * 100) for i in range(2000))
        db.tag("first", 1)
        db.tree("t")[b"a"] = b"1"
    return path


def test_compact_gives_the_disk_back(path: Path) -> None:
    before = path.stat().st_size
    with cowtree.open(path) as db:
        history = [commit.id for commit in db.history()]
    members = ok("compact", path, "--json").objects[0]
    assert members == {"before_bytes": before, "after_bytes": path.stat().st_size}
    assert members["after_bytes"] < before * 0.8
    with cowtree.open(path, readonly=True) as db:
        assert db[b"00000"] == b"2" * 100
        assert db.snapshot("first")[b"00000"] == b"0" * 100
        assert len(list(db.history())) < len(history)
    assert " MiB -> " in ok("compact", path).text or " KiB -> " in ok("compact", path).text
    assert "no such file" in fails("compact", path.parent / "absent.cow")
    assert not (path.parent / "absent.cow").exists()


def test_stats_are_those_of_the_method(path: Path) -> None:
    with cowtree.open(path, readonly=True) as db:
        stats, deep = db.stats(), db.stats(deep=True)
    members = ok("stats", path, "--json").objects[0]
    assert members["entries"] == stats.entries == 2001
    assert members["file_bytes"] == stats.file_bytes
    assert "leaf_pages" not in members
    assert ok("stats", path, "--deep", "--json").objects[0]["leaf_pages"] == deep.leaf_pages
    lines = dict(line.split("\t") for line in ok("stats", path, "--deep").lines)
    assert lines["entries"] == "2,001"
    assert lines["durable"] in ("yes", "no")
    assert lines["leaf_fill"] == f"{deep.leaf_fill:.3f}"
    assert "leave one out" in fails("stats", path, "--json", "--openmetrics")


def test_openmetrics_text_says_what_stats_say(path: Path) -> None:
    parser = pytest.importorskip(
        "prometheus_client.openmetrics.parser", reason="prometheus_client is not here"
    )
    families = list(
        parser.text_string_to_metric_families(ok("stats", path, "--deep", "--openmetrics").text)
    )
    values = {family.name: family.samples[0].value for family in families}
    with cowtree.open(path, readonly=True) as db:
        stats = db.stats(deep=True)
    assert values["cowtree_entries"] == stats.entries
    assert values["cowtree_file_bytes"] == stats.file_bytes
    assert values["cowtree_leaf_pages"] == stats.leaf_pages
    assert values["cowtree_leaf_fill_ratio"] == pytest.approx(stats.leaf_fill)
    assert {family.samples[0].labels["path"] for family in families} == {str(path)}
    assert {family.type for family in families} == {"gauge"}
    assert {f.unit for f in families if f.name.endswith("_bytes")} == {"bytes"}


def test_openmetrics_labels_are_escaped_and_what_is_unknown_is_left_out(path: Path) -> None:
    with cowtree.open(path, readonly=True) as db:
        text = openmetrics('a"b\\c\nd', db.stats(), db.settings)
    assert 'cowtree_entries{path="a\\"b\\\\c\\nd"} 2001\n' in text
    assert "leaf_pages" not in text and "auto_compact" not in text
    assert text.endswith("\n# EOF\n")


def complete(*words: str) -> list[str]:
    """What bash offers for the last word."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not here")
    program = ok("completion", "bash").text + (
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cowtree; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [bash, "-c", program, "-", "cowtree", *words], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_choices_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.cow").touch()
    assert complete("im") == ["import-lmdb"]
    assert {"get", "put", "--help"} <= set(complete(""))
    assert complete("load", "--f") == ["--format"]
    assert complete("load", "--format", "mdb") == ["mdb-dump"]
    assert complete("get", "peo") == ["people.cow"]


@pytest.mark.parametrize(
    ("shell", "check"), [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])]
)
def test_scripts_are_sound_in_their_shells(shell: str, check: list[str]) -> None:
    script = ok("completion", shell).text
    for command in ("get", "import-lmdb", "compact"):
        assert command in script
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here")
    subprocess.run([program, *check], input=script, text=True, check=True)


def test_tables_on_a_terminal_and_lines_for_pipes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich", reason="rich is not here")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = ok("history", path).lines
    shown = ok("history", path, terminal=True).text
    assert "\x1b[1m" in shown and "written" in shown
    for line in plain:
        assert all(field in shown for field in line.split("\t"))
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in ok("history", path, terminal=True).text
    assert ok("tag", path).text == "first\t1\n"
    assert "\t" not in ok("tag", path, terminal=True).text
    assert "file" in ok("info", path, terminal=True).text


def test_a_terminal_obeys_nothing_that_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "test.cow"
    with cowtree.open(path) as db, db.transaction(note=b"[red]\x1b[2J[/red]") as txn:
        txn[b"a"] = b"1"
    shown = ok("history", path, terminal=True).text
    assert "\x1b[2J" not in shown
    assert "[red]" in shown


def test_without_rich_a_terminal_gets_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.table", None)
    assert ok("history", path, terminal=True).text == ok("history", path).text


def test_many_rows_are_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cowtree.cli.tables._ROWS_MAX", 2)
    assert ok("history", path, terminal=True).text == ok("history", path).text


def test_a_bar_on_a_terminal_is_taken_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich", reason="rich is not here")
    monkeypatch.setattr("cowtree.cli.progress.is_terminal", lambda _stream: True)
    monkeypatch.setattr("cowtree.cli.progress._QUIET_SECONDS", 0)
    monkeypatch.setattr("cowtree.cli.progress._BETWEEN_SECONDS", 0)
    monkeypatch.setenv("TERM", "xterm-256color")
    result = run("check", path)
    assert result.status == 0
    assert "checked" in result.err and "MiB/s" in result.err
    assert "\x1b[?25h" in result.err  # the cursor is shown again
