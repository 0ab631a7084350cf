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


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links out of docs/ to where the same stands in the site."""
    if page.file.src_uri == "scaling.md":
        return re.sub(r"\]\(([\w-]+\.svg)\)", r"](results/scaling/\1)", markdown)
    markdown = markdown.replace("../bench/results/scaling/scaling.md", "scaling.md")
    return markdown.replace("../bench/results/", "results/").replace(
        "../cowtree/FORMAT.md", "format.md"
    )


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
