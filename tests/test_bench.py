"""The benchmark suite runs: every workload at a tiny size, its answers right, its documents as promised."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
KEYS = 500

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "bench" / "__main__.py").exists(), reason="there are no benchmarks here"
)
Command = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def bench_on_the_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Only the folder bench is put there: cowtree is the installed one. Worker processes get the same path."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "bench").symlink_to(CHECKOUT / "bench", target_is_directory=True)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench"]:
        del sys.modules[name]


@pytest.fixture
def bench(tmp_path: Path) -> Command:
    """`python -m bench` with these words; databases go to a folder of the test."""

    def run(*words: object) -> int:
        main: Command = importlib.import_module("bench.__main__").main
        return main([str(word) for word in words])

    return run


def engines() -> list[str]:
    """What is compared here: cowtree, and lmdb where it can be imported."""
    try:
        importlib.import_module("lmdb")
    except ImportError:
        return ["cowtree"]
    return ["cowtree", "lmdb"]


def without_errors(output: str) -> bool:
    return "WRONG" not in output and "Traceback" not in output


def test_every_workload_runs_and_all_answers_agree(
    bench: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.json"
    with_engines = [word for engine in engines() for word in ("--engine", engine)]
    status = bench(
        "--set", "all", "--keys", KEYS, "--repeat", 1, "--no-warm-up", "--dir", tmp_path,
        "--json", path, *with_engines,
    )  # fmt: skip
    output = capsys.readouterr().out
    assert status == 0, output
    assert without_errors(output)
    document = json.loads(path.read_text())
    workloads = importlib.import_module("bench.workload").WORKLOADS
    left_out = {line.split()[0] for line in output.splitlines() if " is left out: " in line}
    assert left_out <= MACHINE_DEPENDENT
    assert set(document["results"]) == set(workloads) - left_out
    check_document(document)


MACHINE_DEPENDENT = {
    *("cold_get", "cold_scan", "peak_memory", "wake_up"),
    *("device_bytes", "device_bytes_nosync", "device_bytes_overwrite"),
}
"""What needs something of the system, or of a later version."""


def check_document(document: dict[str, Any]) -> None:
    """What the README promises of the JSON."""
    assert document["format"] == 2
    assert document["settings"]["keys"] == KEYS
    assert {"processor", "cores", "file_system", "python"} <= set(document["machine"])
    assert set(document["versions"]) == set(engines()) == set(document["settings"]["engines"])
    for name, result in document["results"].items():
        assert {"what", "unit", "durable", "sets", "engines", "ratio", "beside"} <= set(result), (
            name
        )
        figures = result["engines"]["cowtree"]
        assert figures["min"] <= figures["median"] <= figures["max"], name
        assert len(figures["turns"]) == 1, name
        if "lmdb" in result["engines"] and figures["median"]:
            ratio = result["engines"]["lmdb"]["median"] / figures["median"]
            assert result["ratio"]["median"] == pytest.approx(ratio), name


def test_the_core_set_has_the_rows_of_the_targets() -> None:
    importlib.import_module("bench.workloads")
    workloads = importlib.import_module("bench.workload").WORKLOADS
    core = {name for name, workload in workloads.items() if "core" in workload.sets}
    assert core == {
        *("hot_get", "random_get", "get_many", "scan", "short_scan", "snapshot_get"),
        *("count", "rank", "nth", "load_sorted", "load_sorted_bulk", "random_put"),
        *("random_overwrite", "commit_nosync", "commit_durable", "commit_durable_8_threads"),
        *("commit_latency", "file_size", "disk_after_overwrites", "device_bytes", "peak_memory"),
        *("open_time", "open_after_crash", "open_after_crash_nosync"),
    }


def test_a_wrong_answer_ends_with_status_1(
    bench: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = importlib.import_module("bench.engines").Cowtree
    monkeypatch.setattr(engine, "scan", lambda self, snapshot: iter([(b"no", b"such")]))
    words = ("--workload", "scan", "--keys", 10, "--repeat", 1, "--engine", "cowtree")
    assert bench(*words, "--dir", tmp_path) == 1
    assert "WRONG ANSWER: scan" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["sqlite3", "plyvel", "rocksdict", "zodb"])
def test_other_engines_give_the_same_answers(
    name: str, bench: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module("bench.engines")
    try:
        module.ENGINES[name]()
    except ImportError:
        pytest.skip(f"{name} is not installed")
    words = ("--set", "reading", "--set", "writing", "--set", "ycsb", "--no-warm-up")
    status = bench(
        *words,
        "--keys",
        200,
        "--repeat",
        1,
        "--engine",
        name,
        "--engine",
        "cowtree",
        "--dir",
        tmp_path,
    )
    output = capsys.readouterr().out
    assert status == 0, output
    assert without_errors(output)


def numbers(median: float) -> dict[str, object]:
    turns = [median * 0.9, median, median * 1.1]
    return {"median": median, "min": turns[0], "max": turns[2], "turns": turns}


def result(cowtree: float, lmdb: float) -> dict[str, object]:
    return {
        "what": "work",
        "unit": "µs",
        "durable": False,
        "sets": ["core", "reading"],
        "engines": {"cowtree": numbers(cowtree), "lmdb": numbers(lmdb)},
        "ratio": numbers(lmdb / cowtree),
        "beside": {},
    }


@pytest.fixture
def documents(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs: in the second one workload takes half as long, one twice, one as long."""
    machine = {"processor": "a processor", "cores": 2}
    paths = (tmp_path / "a.json", tmp_path / "b.json")
    for path, figures in zip(paths, [(2.0, 1.0, 1.0), (1.0, 2.0, 1.05)], strict=True):
        results = {
            name: result(figure, 1.5)
            for name, figure in zip(("faster", "slower", "same"), figures, strict=True)
        }
        settings = {"keys": 1000, "repeat": 3}
        path.write_text(
            json.dumps({"format": 2, "machine": machine, "settings": settings, "results": results})
        )
    return paths


def test_compare_tells_what_became_better_and_worse(
    bench: Command, documents: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("compare", *documents) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["faster"].endswith("better")
    assert "2.00" in rows["faster"]
    assert rows["slower"].endswith("worse")
    assert "better" not in rows["same"]
    assert "worse" not in rows["same"]


def test_plot_draws_a_picture_for_each_set(
    bench: Command, documents: tuple[Path, Path], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    assert bench("plot", documents[0], "-o", tmp_path / "plots") == 0
    picture = (tmp_path / "plots" / "core.svg").read_text()
    assert "<svg" in picture
    assert "faster" in picture


def test_scaling_writes_a_page(
    bench: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--engine", "cowtree", "--keys", 50, 100, "--repeat", 1, "--dir", tmp_path)
    assert bench("scaling", *words, "-o", tmp_path / "out") == 0
    page = (tmp_path / "out" / "scaling.md").read_text()
    assert "| random_get, cowtree |" in page
    assert "| threads_get_8 |" in page
    document = json.loads((tmp_path / "out" / "scaling.json").read_text())
    assert set(document["by_keys"]) == {"50", "100"}


def test_long_run_ends_with_what_was_committed(
    bench: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.json"
    words = ("--minutes", 0.005, "--slice", 0.1, "--keys", 200, "--no-sync", "--engine", "cowtree")
    assert bench("long", *words, "--dir", tmp_path, "--json", path) == 0
    assert without_errors(capsys.readouterr().out)
    slices = json.loads(path.read_text())["slices"]["cowtree"]
    assert all(each["p50"] <= each["p99"] <= each["p99.9"] <= each["longest"] for each in slices)
    assert slices[0]["commits"] > 0


def test_compaction_tells_its_figures(
    bench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lmdb", reason="lmdb cannot be installed here")
    # As it is by default: who imports the campaign, as other tests do, has no file compacted by itself.
    monkeypatch.setattr("cowtree.auto_compaction.GROWN_BYTES", 16 << 20)
    path = tmp_path / "compaction.json"
    words = ("--keys", 20_000, "--seconds", 0.1, "--commits", 400, "--repeat", 1)
    assert bench("compaction", *words, "--dir", tmp_path, "--json", path) in (0, 1)
    found = json.loads(path.read_text())["compaction"]
    assert found.keys() == {"bound", "waits", "moving", "held_reader"}
    assert found["moving"]["on request"]["file after, MB"] < found["moving"]["file before, MB"]
    assert found["waits"]["durable"]["cowtree"]["commits longer than 100 ms"] >= 0
    assert found["held_reader"]["cowtree"].keys() == found["held_reader"]["lmdb"].keys()


def test_instructions_says_that_valgrind_is_missing(
    bench: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert bench("instructions", "random_get") == 2
    assert "valgrind" in capsys.readouterr().out
