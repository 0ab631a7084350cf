"""What the recipes promise beyond what they print: each is skipped where what it needs is not installed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cowtree

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
SEED = 7

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="the tests run apart from a checkout")


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --------------------------------------------------------------------------------------------------------------- zarr


async def collected(names: Any) -> list[str]:
    return sorted([name async for name in names])


def test_the_zarr_store_does_what_the_one_in_memory_does(db: cowtree.Database) -> None:
    storage = pytest.importorskip("zarr.storage")
    buffers = pytest.importorskip("zarr.core.buffer")
    requests = pytest.importorskip("zarr.abc.store")
    ours, theirs = example("zarr_store").CowtreeStore(db), storage.MemoryStore()
    prototype = buffers.default_buffer_prototype()
    rng = random.Random(SEED)
    names = ["a", "b", "a0", "zarr.json", "c"]
    ranges = [
        None,
        requests.RangeByteRequest(2, 5),
        requests.OffsetByteRequest(3),
        requests.SuffixByteRequest(4),
        requests.SuffixByteRequest(400),
    ]

    async def compare() -> None:
        keys: set[str] = set()
        for _ in range(120):
            key = "/".join(rng.choice(names) for _ in range(rng.randrange(1, 4)))
            # A chunk and a folder do not have one name.
            if any(key.startswith(f"{k}/") or k.startswith(f"{key}/") for k in keys):
                continue
            keys.add(key)
            value = prototype.buffer.from_bytes(rng.randbytes(rng.randrange(20)))
            for store in (ours, theirs):
                await store.set(key, value)
            if rng.random() < 0.2:
                gone = rng.choice(sorted(keys))
                keys.discard(gone)
                for store in (ours, theirs):
                    await store.delete(gone)
        assert len(keys) > 5
        for prefix in ("", "a", "a/", "a/b", "b", "none"):
            assert await collected(ours.list_prefix(prefix)) == await collected(
                theirs.list_prefix(prefix)
            )
            assert await collected(ours.list_dir(prefix)) == await collected(
                theirs.list_dir(prefix)
            )
        assert await collected(ours.list()) == sorted(keys)
        for key in [*keys, "none"]:
            for byte_range in ranges:
                one = await ours.get(key, prototype, byte_range)
                other = await theirs.get(key, prototype, byte_range)
                assert (one and one.to_bytes()) == (other and other.to_bytes()), (key, byte_range)
            assert await ours.exists(key) == await theirs.exists(key)

    asyncio.run(compare())


def test_a_zarr_store_of_a_snapshot_is_read_only(db: cowtree.Database) -> None:
    buffers = pytest.importorskip("zarr.core.buffer")
    store = example("zarr_store").CowtreeStore(db.snapshot())
    value = buffers.default_buffer_prototype().buffer.from_bytes(b"x")
    assert store.read_only
    with pytest.raises(ValueError, match="read"):
        asyncio.run(store.set("k", value))


# ----------------------------------------------------------------------------------------------------- remote backups


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint of an S3 server on this machine, with a bucket `backups`."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in [
        name for name in os.environ if name.lower().endswith("_proxy") or name == "AWS_CA_BUNDLE"
    ]:
        monkeypatch.delenv(name)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        s3fs.S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True).mkdir("backups")
        yield endpoint
    finally:
        server.stop()


@pytest.mark.filterwarnings("ignore")  # of the libraries that this stands on
def test_a_backup_goes_to_s3_and_comes_back(tmp_path: Path, db: cowtree.Database, s3: str) -> None:
    recipe = example("remote_backup")
    url = "s3://backups/orders.cow"
    for i in range(3):
        db[b"%d" % i] = b"order"
        recipe.send_backup(db, tmp_path / "local.cow", url, endpoint_url=s3)
        recipe.fetch_backup(url, tmp_path / f"fetched{i}.cow", endpoint_url=s3)
        with cowtree.open(tmp_path / f"fetched{i}.cow") as copy:
            assert len(copy) == i + 1 and copy.commit_id == db.commit_id


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_backup_is_noticed_when_it_is_fetched(
    tmp_path: Path, db: cowtree.Database
) -> None:
    fsspec = pytest.importorskip("fsspec")
    recipe = example("remote_backup")
    db.update({b"%03d" % i: b"order" * 20 for i in range(200)})
    url = f"memory://backups/{tmp_path.name}.cow"
    recipe.send_backup(db, tmp_path / "local.cow", url)
    system, path = fsspec.core.url_to_fs(url)
    content = bytearray(system.cat_file(path))
    content[3 * 4096 + 2000] ^= 1
    system.pipe_file(path, bytes(content))
    with pytest.raises(cowtree.CorruptionError):
        recipe.fetch_backup(url, tmp_path / "fetched.cow")
