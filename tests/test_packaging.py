"""What is shipped: dependencies, metadata, the workflows that would build and publish it, the files of the sdist."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import cowtree

PROJECT = Path(__file__).resolve().parent.parent
WORKFLOWS = PROJECT / ".github" / "workflows"

if not WORKFLOWS.exists():
    pytest.skip("the tests run apart from a checkout", allow_module_level=True)

CONFIGURATION = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def workflow(name: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="workflows are read with PyYAML")
    # YAML 1.1 takes the key `on` for a truth value.
    loaded = yaml.safe_load((WORKFLOWS / name).read_text())
    return {"on" if key is True else key: value for key, value in loaded.items()}


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def test_only_msgpack_comes_with_the_package() -> None:
    assert [re.split(r"[<>=]", name)[0] for name in CONFIGURATION["project"]["dependencies"]] == [
        "msgpack"
    ]


def test_installed_metadata_ask_for_msgpack_only() -> None:
    try:
        asked = importlib.metadata.requires("cowtree") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("cowtree is not installed here, only on the path")
    unconditional = [line for line in asked if "extra ==" not in line]
    assert len(unconditional) == 1 and unconditional[0].startswith("msgpack")
    assert importlib.metadata.version("cowtree") == cowtree.__version__


def test_extras_that_are_named_exist() -> None:
    texts = [PROJECT / "README.md", PROJECT / "Makefile", *(PROJECT / "docs").rglob("*.md")]
    named = {
        extra
        for path in texts
        for extra in re.findall(r"(?:cowtree|\.)\[([\w-]+)\]", path.read_text())
    }
    assert named and named <= CONFIGURATION["project"]["optional-dependencies"].keys()


def test_changelog_knows_the_version() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text or f"## [{cowtree.__version__}]" in text


@pytest.mark.parametrize("name", ["test.yml", "wheels.yml"])
def test_jobs_of_a_workflow_are_bounded_and_their_steps_do_something(name: str) -> None:
    loaded = workflow(name)
    assert {"name", "on", "permissions", "jobs"} <= loaded.keys()
    for job in loaded["jobs"].values():
        assert job["runs-on"] and job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)


@pytest.mark.parametrize("name", ["test.yml", "wheels.yml"])
def test_actions_are_pinned_to_a_version(name: str) -> None:
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert (
        used and [action for action in used if not re.search(r"@(v\d|release/v\d)", action)] == []
    )


def test_only_publishing_may_ask_for_an_identity_and_it_waits_for_all_builds() -> None:
    loaded = workflow("wheels.yml")
    asking = [
        job
        for job in loaded["jobs"].values()
        if "id-token" in {**loaded["permissions"], **job.get("permissions", {})}
    ]
    assert asking == [loaded["jobs"]["publish"]]
    assert set(asking[0]["needs"]) == loaded["jobs"].keys() - {"publish"}
    assert "refs/tags/" in asking[0]["if"]
    assert not any("password" in step.get("with", {}) for step in asking[0]["steps"])


def test_every_python_that_is_supported_is_tested_and_built() -> None:
    lines = CONFIGURATION["project"]["classifiers"]
    supported = set(re.findall(r"Python :: (3\.\d+)", "\n".join(lines)))
    tested = set(workflow("test.yml")["jobs"]["suite"]["strategy"]["matrix"]["python"])
    built = re.findall(r"\bcp3(\d+)-", CONFIGURATION["tool"]["cibuildwheel"]["build"])
    assert supported and supported <= tested
    assert {f"3.{minor}" for minor in built} == tested
    assert (
        f">={min(tested, key=lambda text: int(text[2:]))}"
        == CONFIGURATION["project"]["requires-python"]
    )


def test_what_tests_a_wheel_exists() -> None:
    command = CONFIGURATION["tool"]["cibuildwheel"]["test-command"]
    paths = re.findall(r"tests/\S+", command)
    assert paths and all((PROJECT / path).exists() for path in paths)


def test_every_source_that_is_compiled_reaches_the_sdist() -> None:
    manifest = (PROJECT / "MANIFEST.in").read_text()
    taken = set(
        re.search(r"^recursive-include cowtree (.*)$", manifest, flags=re.MULTILINE)[1].split()
    )
    suffixes = {f"*{path.suffix}" for path in (PROJECT / "cowtree").rglob("*.p[yx][xdi]")}
    assert {"*.pyx", "*.pxd", "*.pyi", "*.h", "py.typed"} <= taken | suffixes and suffixes <= taken
    by_hand = {
        path.name
        for path in (PROJECT / "cowtree").rglob("*.c")
        if not path.with_suffix(".pyx").exists()
    }
    assert by_hand == set(re.findall(r"(\w+\.c)\b", manifest))
