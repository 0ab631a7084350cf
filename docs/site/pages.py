"""A hook of mkdocs: pages that are made of what stands elsewhere in the project.

format.md                    cowtree/FORMAT.md
changelog.md                 CHANGELOG.md
scaling.md                   bench/results/scaling/scaling.md
reference/command-line.md    what `cowtree COMMAND --help` says
results/                     plots of bench/results
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = PROJECT / "bench" / "results"
# Documents that the repository has outside docs/, by their place in the site.
ELSEWHERE = {
    "format.md": "cowtree/FORMAT.md",
    "changelog.md": "CHANGELOG.md",
    "scaling.md": "bench/results/scaling/scaling.md",
}
# (section, title, page)
OPTIONAL = [("How it works", "Reliability", "reliability.md")]
LINK = re.compile(r"\[([^\[\]]*)\]\((?!\w+:|#|/)([^()#\s]+)(#[^()\s]*)?\)")
HELP_COLUMNS = "100"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and the plots."""
    for place, source in ELSEWHERE.items():
        text = (PROJECT / source).read_text()
        files.append(File.generated(config, place, content=text))
    files.append(
        File.generated(config, "reference/command-line.md", content=command_line_reference())
    )
    for plot in sorted(RESULTS.rglob("*.svg")):
        place = f"results/{plot.relative_to(RESULTS).as_posix()}"
        files.append(File.generated(config, place, abs_src_path=str(plot)))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages that a checkout may lack take their place in the navigation where they exist."""
    for section, title, place in OPTIONAL:
        if (PROJECT / "docs" / place).exists():
            for entry in config.nav or []:
                if section in entry:
                    entry[section].append({title: place})
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links out of docs/ to where the same stands in the site; of others, to code, the words stay."""
    here = page.file.src_uri
    source = PROJECT / ELSEWHERE.get(here, f"docs/{here}")
    depth = here.count("/")

    def lead(match: re.Match[str]) -> str:
        words, target, fragment = match.groups(default="")
        there = (source.parent / target).resolve()
        if here not in ELSEWHERE and there.is_relative_to(PROJECT / "docs"):
            return match[0]
        if not there.is_relative_to(PROJECT) or not there.exists():
            return match[0]  # mkdocs warns of it
        inside = there.relative_to(PROJECT).as_posix()
        for place, origin in ELSEWHERE.items():
            if inside == origin:
                return f"[{words}]({'../' * depth}{place}{fragment})"
        if inside.startswith("docs/"):
            return f"[{words}]({'../' * depth}{inside.removeprefix('docs/')}{fragment})"
        if inside.startswith("bench/results/") and inside.endswith(".svg"):
            return f"[{words}]({'../' * depth}{inside.removeprefix('bench/')})"
        return words

    return LINK.sub(lead, markdown)


def command_line_reference() -> str:
    """The help of every command, as a page."""
    overview = _help()
    names = re.findall(
        r"^  ([a-z][\w-]*)  ", overview.partition("commands:")[2], flags=re.MULTILINE
    )
    parts = ["# Command line", INTRODUCTION]
    for name in names:
        parts += [f"## {name}", f"```text\n{_help(name).rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
`cowtree COMMAND FILE ...`, or `python -m cowtree`. Each command tells the same with `--help`.

Exit status: 0 done; 1 not found, or differences or problems found; 2 an error, told in one line. Only `put` and `load`
create a file. A commit (`AT`) is named by its id, a tag, or a time with its offset from UTC."""


def _help(*command: str) -> str:
    from cowtree.cli import main

    written = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": HELP_COLUMNS}),
        contextlib.redirect_stdout(written),
    ):
        status = main([*command, "--help"])
    if status != 0:
        raise RuntimeError(f"cowtree {' '.join(command)} --help: status {status}")
    return written.getvalue()
