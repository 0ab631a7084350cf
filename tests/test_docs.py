"""Every code block of the README and of docs/ runs, page by page and from top to bottom, in a folder of its own.

What is python shares the namespace of its page, or is written to the file that its title names; what is console runs in
a shell (`code_blocks` has the details).
Other languages are shown only, and so are blocks that include a file: docs/examples have a test of their own.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from code_blocks import (
    PROJECT,
    README,
    assert_prints,
    blocks,
    matches,
    run_console,
    shell_environment,
    transcript,
)

import cowtree
import cowtree.errors

LANGUAGES = {"python", "console", "text", "sql"}
INCLUSION = "--8<--"
TITLE = re.compile(r'python title="([\w.]+)"$')  # a block that is a file

if not README.exists() or not (PROJECT / "docs" / "tutorial.md").exists():
    pytest.skip("the tests run apart from a checkout", allow_module_level=True)

PAGES = [README, *sorted((PROJECT / "docs").rglob("*.md"))]


def title(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=title)
def test_the_blocks_of_a_page_do_what_they_show(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "import lmdb" in page.read_text():
        pytest.importorskip("lmdb", reason="the page moves data from LMDB")
    shell = shell_environment(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    exact = [] if page != README else blocks(page)[:1]  # held to the letter by test_readme
    try:
        for block in blocks(page):
            if TITLE.match(block.language):
                Path(TITLE.match(block.language)[1]).write_text(block.text)
            elif block.language == "python" and INCLUSION not in block.text:
                # Padded so that a traceback names the line of the page.
                code = compile("\n" * block.line + block.text, str(page), "exec")
                exec(code, namespace)
                printed = capsys.readouterr().out.splitlines()
                if block not in exact:
                    assert_prints(block.text, printed)
            elif block.language == "console":
                run_console(block, shell)
    finally:
        for left in namespace.values():
            if isinstance(left, cowtree.Database):
                left.close()


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_block_says_its_language(page: Path) -> None:
    assert [
        block.language
        for block in blocks(page)
        if TITLE.sub("python", block.language) not in LANGUAGES
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_to_files(page: Path) -> None:
    made = {"format.md", "changelog.md", "scaling.md", "command-line.md"}  # by docs/site/pages.py
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)", page.read_text())
    missing = [
        target
        for target in targets
        if not (page.parent / target).exists() and target.rpartition("/")[2] not in made
    ]
    assert missing == []


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(path.read_text() for path in (PROJECT / "docs" / "reference").glob("*.md"))
    known = set(re.findall(r"\w+", text)) | set(
        cowtree.errors.__all__
    )  # errors: the module as a whole
    assert "::: cowtree.errors" in text
    assert sorted(set(cowtree.__all__) - known) == []


def test_files_of_tests_that_are_named_exist() -> None:
    names = {name for page in PAGES for name in re.findall(r"\btest_\w+\*?\.py", page.read_text())}
    assert names and [name for name in names if not list(PROJECT.glob(f"tests/{name}"))] == []


@pytest.mark.parametrize(
    ("code", "printed", "fits"),
    [
        ("print(1)  # 1\n", ["1"], True),
        ("print(1)  # 2\n", ["1"], False),
        ("print(1)  # 1\n", ["1", "2"], False),
        ("for x in y:\n    print(x)\nprint(1)  # 1\n", ["7", "8", "1"], True),
        ("for x in y:\n    print(x)\nprint(1)  # 1\nprint(2)  # 2\n", ["2", "1"], False),
    ],
)
def test_a_page_that_shows_something_else_is_noticed(
    code: str, printed: list[str], fits: bool
) -> None:
    if fits:
        assert_prints(code, printed)
    else:
        with pytest.raises(AssertionError):
            assert_prints(code, printed)


def test_a_transcript_is_held_against_what_is_printed() -> None:
    text = "$ one \\\n>   two\na  ... c\n...\nend\n$ three\n"
    assert list(transcript(text)) == [
        ("one \\\n  two", ["a  ... c", "...", "end"]),
        ("three", []),
    ]
    assert matches(["a  ... c", "...", "end"], "a  b c\nx\ny\nend\n")
    assert not matches(["a  ... c", "end"], "a  b c\nx\nend\n")
    assert not matches([], "something\n")
