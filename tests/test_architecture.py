"""The layers import downwards only, files stay readable, and importing cowtree stays light.

Every check is a function over a root folder, so that a small tree with a violation shows that it can fail.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
# From the bottom up; a module may import its own line's earlier names and every line above.
LAYERS = [
    ["errors", "options", "log", "layout", "checksum", "buffers"],
    ["pages", "storage"],
    ["tree"],
    ["arrow", "views", "codecs", "stats", "catalogue", "history", "feed"],
    ["tree_codecs"],
    ["reader"],
    ["commit_state", "succession", "tips", "engine", "registry"],
    ["states"],
    ["differences"],
    ["session_trees", "changes", "session", "sorted_load", "writer"],
    ["snapshot", "transaction", "check", "backup", "increment", "database"],
    [
        "replacement",
        "renumbering",
        "page_mover",
        "relocation",
        "compaction",
        "auto_compaction",
        "page_map",
    ],
    ["__init__"],
    ["dbm", "aio", "rescue"],
    ["demo"],
    ["cli"],
    ["__main__"],
]
RANK = {name: (i, j) for i, layer in enumerate(LAYERS) for j, name in enumerate(layer)}
STRANGERS = {("pages", "storage"), ("storage", "pages")}
LINES_MAX = 620
DIRECTIVES = "# cython: language_level=3, autotestdict=False, auto_pickle=False"


def sources(root: Path) -> Iterator[Path]:
    for suffix in ("py", "pyx", "pxd"):
        yield from sorted((root / "cowtree").rglob(f"*.{suffix}"))


def layer_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root / "cowtree").parts
    return parts[0].split(".")[0]


def imported(path: Path, root: Path) -> set[str]:
    """Layers of cowtree that a file imports or cimports at its top level."""
    package = ["cowtree", *path.relative_to(root / "cowtree").parent.parts]
    text = path.read_text()
    names: set[str] = set()
    if path.suffix == ".py":
        for node in ast.parse(text).body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                names |= {f"{module}.{alias.name}" for alias in node.names}
    else:
        for dots, module, rest in re.findall(
            r"^from (\.*)([\w.]*) c?import ([^\n]*)", text, flags=re.M
        ):
            base = package[: len(package) - len(dots) + 1] if dots else []
            first = re.split(r"[ ,(]", rest.strip(" (") or "x")[0]
            names.add(".".join([*base, *([module] if module else []), first]))
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "cowtree":
            found.add(parts[1] if len(parts) > 1 and parts[1] in RANK else "__init__")
    return found


def upward_imports(root: Path) -> list[str]:
    problems = []
    for path in sources(root):
        own = layer_of(path, root)
        if own not in RANK:
            problems.append(f"{path.name}: not in any layer")
            continue
        for other in imported(path, root) - {own}:
            if (own, other) in STRANGERS:
                problems.append(f"{path.name}: {own} and {other} do not know each other")
            elif other == "__init__" and own in ("dbm", "aio", "rescue", "demo", "cli", "__main__"):
                continue
            elif RANK[other] > RANK[own]:
                problems.append(f"{path.name}: {own} imports {other}, which lies above it")
    return problems


def long_files(root: Path) -> list[str]:
    paths = [*sources(root), *(root / "tests").glob("*.py"), *(root / "bench").rglob("*.py")]
    counted = [(len(path.read_text().splitlines()), path.name) for path in paths]
    return [f"{name}: {lines} lines" for lines, name in counted if lines > LINES_MAX]


def missing_directives(root: Path) -> list[str]:
    return [
        path.name
        for path in sources(root)
        if path.suffix == ".pyx" and not path.read_text().startswith(DIRECTIVES)
    ]


def missing_stubs(root: Path) -> list[str]:
    return [
        path.name
        for path in sources(root)
        if path.suffix == ".pyx" and not path.with_suffix(".pyi").exists()
    ]


def folders_without_docstring(root: Path) -> list[str]:
    problems = []
    for path in (root / "cowtree").rglob("__init__.py"):
        if ast.get_docstring(ast.parse(path.read_text())) is None:
            problems.append(str(path.relative_to(root)))
    return problems


CHECKS = [upward_imports, long_files, missing_directives, missing_stubs, folders_without_docstring]


@pytest.mark.skipif(
    not (CHECKOUT / "cowtree" / "FORMAT.md").exists(),
    reason="the tests run apart from a checkout: there are no sources to look at",
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sources_keep_the_rule(check: object) -> None:
    assert check(CHECKOUT) == []  # type: ignore[operator]


@pytest.mark.parametrize(
    ("check", "files"),
    [
        (upward_imports, {"cowtree/errors.py": "from cowtree.tree import x\n"}),
        (upward_imports, {"cowtree/pages/a.pyx": "from cowtree.storage.b cimport c\n"}),
        (upward_imports, {"cowtree/storage/a.pxd": "from ..engine cimport c\n"}),
        (upward_imports, {"cowtree/stray.py": ""}),
        (long_files, {"cowtree/errors.py": "x = 1\n" * (LINES_MAX + 1)}),
        (missing_directives, {"cowtree/a.pyx": "# cython: language_level=3\n"}),
        (missing_stubs, {"cowtree/a.pyx": DIRECTIVES + "\n"}),
        (folders_without_docstring, {"cowtree/pages/__init__.py": "x = 1\n"}),
    ],
)
def test_checks_can_fail(check: object, files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert check(tmp_path) != []  # type: ignore[operator]


def test_importing_cowtree_loads_nothing_heavy() -> None:
    code = (
        "import sys, cowtree; "
        "print([n for n in ('msgpack', 'asyncio', 'rich', 'lmdb', 'ctypes', 'subprocess') "
        "if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]"


def test_public_names_are_pinned() -> None:
    import cowtree

    assert sorted(cowtree.__all__) == [
        "ALL",
        "At",
        "Change",
        "Changes",
        "ClosedError",
        "CodecError",
        "Commit",
        "CommitUncertainError",
        "CorruptionError",
        "Cursor",
        "DEFAULT",
        "Database",
        "DecodeError",
        "Error",
        "FormatError",
        "KeyTooLargeError",
        "LockTimeoutError",
        "ReadOnlyError",
        "Reader",
        "Report",
        "Savepoint",
        "Settings",
        "Snapshot",
        "SnapshotGoneError",
        "SnapshotTree",
        "Stats",
        "Transaction",
        "TransactionError",
        "Tree",
        "ValueTooLargeError",
        "open",
    ]
    assert all(hasattr(cowtree, name) for name in cowtree.__all__)
