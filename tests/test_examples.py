"""Each script of docs/examples runs as a user would run it, and prints what it shows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import cowtree

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
PATIENCE_SECONDS = 120

# What an example needs besides cowtree.
NEEDS = {
    "dask_scan.py": "dask.distributed",
    "ray_scan.py": "ray",
    "remote_backup.py": "fsspec",
    "zarr_store.py": "zarr",
}
PRINTED = {
    "dask_scan.py": [
        "tasks: 8",
        "sum over the workers: 2475000",
        "left in the newest commit: 10000",
    ],
    "fan_out.py": [
        "fork: 9973 samples",
        "spawn: 9973 samples",
        "forkserver: 9973 samples",
        "all saw the same: True",
    ],
    "index_process.py": [
        "entries of the index: 182",
        "indexer's status: 0",
    ],
    "job_queue.py": [
        "jobs done by four workers: 60",
        "a late worker's result is refused",
    ],
    "own_codecs.py": [
        "['URGENT', 'NORMAL', 'WHENEVER']",
        "home is at 1.0 2.0",
        "recorded: ('enum/Priority', 'text') ('text', 'point')",
        "no codec for keys: it has no prefix",
    ],
    "persistent_cache.py": [
        "computed: [1, 2, 2] (2, 3)",
        "after a restart: (1, 0)",
        "kept: 3 oldest known: False",
        "after a clear: 0",
    ],
    "ray_scan.py": [
        "tasks: 8",
        "sum over the workers: 2475000",
        "left in the newest commit: 10000",
    ],
    "remote_backup.py": [
        "orders restored: 1001",
        "commits restored: [2, 1]",
    ],
    "secondary_index.py": [
        "indexed at first: 3",
        "indexed after edits: 4",
        "everyone: [('Ithaca', 'nobody'), ('London', 'ada'), ('Manchester', 'alan'),"
        " ('Rotterdam', 'edsger')]",
        "rebuilt from everything: 5",
    ],
    "session_store.py": [
        "views counted by four threads: 100",
        "sessions left after a sweep: 1",
    ],
    "time_series.py": [
        "points of an hour: 360",
        "points of the day's chart: 24",
        "99 of 100 values are below 31.5",
        "points after retention: 2160",
    ],
    "undo_history.py": [
        "undo would change 2: None -> Roots",
        "undo would change title: On Trees -> Trees",
        "1 write a title",
        "2 add chapters draft",
        "3 rename",
        "4 undo, back to 2",
        "5 undo, back to 1",
        "6 another chapter",
        "7 undo, back to 5",
        "8 undo, back to 0",
        "9 (restored)",
    ],
    "worker_pool.py": [
        "parts: 8",
        "words counted by the workers: 210000",
        "commits meanwhile: 100",
    ],
    "zarr_store.py": [
        "sum then and now: 160000 184000",
        "chunks that differ: ['survey/heights/c/1/0', 'survey/heights/c/1/1', 'survey/heights/c/1/2',"
        " 'survey/heights/c/1/3']",
        "groups: ['survey'] ['heights']",
    ],
}

needs_checkout = pytest.mark.skipif(
    not EXAMPLES.exists(), reason="the tests run apart from a checkout"
)


@needs_checkout
def test_every_example_is_known() -> None:
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.suffix == ".py") == list(PRINTED)


@needs_checkout
@pytest.mark.parametrize("name", PRINTED)
def test_example_runs(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    environment = {"TMPDIR": str(tmp_path)}
    if name == "ray_scan.py":  # its sockets want a short path, and it tells of its tokens
        short = tempfile.TemporaryDirectory(dir="/tmp")
        request.addfinalizer(short.cleanup)
        environment = {"TMPDIR": short.name, "RAY_AUTH_MODE": "disabled"}
    where = str(Path(cowtree.__file__).resolve().parents[1])
    path = os.pathsep.join([where, *filter(None, [os.environ.get("PYTHONPATH")])])
    result = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == PRINTED[name]
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
