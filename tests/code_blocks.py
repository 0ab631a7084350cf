"""Code blocks of pages: found, run, held against what the page says they print.

```python     each comment behind a `print(...)` is what it prints
```console    lines that begin with `$ ` run in a shell; the lines below one are what it prints, `...` any lines
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cowtree

__all__ = [
    "PATIENCE_SECONDS",
    "PROJECT",
    "README",
    "Block",
    "assert_prints",
    "blocks",
    "matches",
    "run_console",
    "shell_environment",
    "transcript",
]

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
PATIENCE_SECONDS = 60
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```[ ]*$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        indent, language, body = match.groups()
        body = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        found.append(Block(language.strip(), body, text.count("\n", 0, match.start()) + 1))
    return found


def told(code: str) -> list[str]:
    """What the comments behind the prints of a block say."""
    return re.findall(r"^ *print\(.*\)  # (.*)$", code, flags=re.MULTILINE)


def assert_prints(code: str, printed: list[str]) -> None:
    """The comments are among the lines printed, in order; all of them where every print has one."""
    expected = told(code)
    if len(expected) == len(re.findall(r"^ *print\(", code, flags=re.MULTILINE)):
        assert printed == expected, f"printed {printed}, not {expected}"
    else:
        rest = iter(printed)
        missing = [line for line in expected if line not in rest]
        assert not missing, f"not printed, or in another order: {missing} among {printed}"


def transcript(text: str) -> Iterator[tuple[str, list[str]]]:
    """(command, what it is said to print) of a block; a command goes on where a line ends in a backslash."""
    command, printed = "", []
    for line in text.splitlines():
        if command.endswith("\\") and not printed:
            command += "\n" + line.removeprefix("> ")
        elif line.startswith("$ "):
            if command:
                yield command, printed
            command, printed = line[2:], []
        else:
            assert command, f"a console block begins with `$ `, not {line!r}"
            printed.append(line)
    if command:
        yield command, printed


def matches(expected: list[str], printed: str) -> bool:
    """`...` on a line of its own is any lines, within a line any text; a tab is written as spaces."""
    pattern = "".join(
        r"(?:.*\n)*"
        if line == "..."
        else re.escape(line.expandtabs(8)).replace(r"\.\.\.", ".*") + r"\n"
        for line in expected
    )
    shown = printed.expandtabs(8)
    return re.fullmatch(pattern, shown) is not None


def shell_environment(folder: Path) -> dict[str, str]:
    """The environment of console blocks: `cowtree` and `python` are the ones under test. Writes into `folder`."""
    binaries = folder / "bin"
    binaries.mkdir(exist_ok=True)
    python = shlex.quote(sys.executable)
    for name, arguments in (("cowtree", "-m cowtree "), ("python", "")):
        (binaries / name).write_text(f'#!/bin/sh\nexec {python} {arguments}"$@"\n')
        (binaries / name).chmod(0o755)
    where = str(Path(cowtree.__file__).resolve().parents[1])
    # Scripts of a page import each other, as they do for a reader.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return inherited | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([where, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "TERM": "dumb",
        "NO_COLOR": "1",
    }


def run_console(block: Block, environment: dict[str, str]) -> None:
    for command, expected in transcript(block.text):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        # 1 says that there are differences or problems.
        assert done.returncode in (0, 1), f"$ {command}\nstatus {done.returncode}\n{done.stdout}"
        assert matches(expected, done.stdout), f"$ {command}\n{done.stdout}"
