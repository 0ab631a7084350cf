"""Zstd: round trips, both libraries, what hostile values cost, what a tree records."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cowtree
from cowtree import codecs
from cowtree.codecs import Bytes, Int, Json, MsgPack, Pickle, Text, Zstd

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]
try:
    from compression import zstd as standard  # type: ignore[import-not-found]
except ImportError:
    try:
        from backports import zstd as standard  # type: ignore[no-redef]
    except ImportError:  # `backports` may be there, with other things in it
        standard = None

LIBRARIES = [
    pytest.param(
        "zstandard",
        marks=pytest.mark.skipif(zstandard is None, reason="the package zstandard is missing"),
    ),
    pytest.param(
        "compression.zstd",
        marks=pytest.mark.skipif(
            standard is None, reason="neither Python 3.14 nor backports.zstd is here"
        ),
    ),
]
needs_either = pytest.mark.skipif(
    zstandard is None and standard is None, reason="no library of Zstandard is here"
)


def use_library(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Only the library of this name can be imported from now on."""
    package = ModuleType("compression")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "compression", package)
    monkeypatch.setitem(
        sys.modules, "compression.zstd", standard if name == "compression.zstd" else None
    )
    monkeypatch.setitem(sys.modules, "zstandard", zstandard if name == "zstandard" else None)


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    use_library(monkeypatch, name)
    return name


documents = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@needs_either
@given(document=documents)
def test_value_comes_back(document: Any) -> None:
    codec = Zstd(Json)
    assert codec.decode(codec.encode(document)) == document


def test_value_comes_back_by_each_library(library: str) -> None:
    for size in (0, 1, 1000, 300_000):
        data = random.Random(size).randbytes(size // 2) * 2
        for codec in (Zstd(Bytes), Zstd(Bytes, level=19), Zstd(Bytes, level=-1)):
            assert codec.decode(codec.encode(data)) == data
    assert len(Zstd(Bytes).encode(b"a" * 100_000)) < 50


@pytest.mark.skipif(zstandard is None or standard is None, reason="both libraries are not here")
def test_each_library_reads_what_the_other_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = zstandard.train_dictionary(
        2000, [b'{"name":"%d","city":"Rome","year":%d}' % (i, i * 7) for i in range(3000)]
    ).as_bytes()
    data = b'{"name":"5","city":"Rome","year":35}'
    for dictionary in (None, trained, b"city Rome year name" * 20):
        frames = {}
        for name in ("zstandard", "compression.zstd"):
            use_library(monkeypatch, name)
            frames[name] = Zstd(Bytes, dictionary=dictionary).encode(data)
        for name in frames:
            use_library(monkeypatch, name)
            codec = Zstd(Bytes, dictionary=dictionary)
            assert all(codec.decode(frame) == data for frame in frames.values())
        if dictionary is trained:
            assert all(len(frame) < len(data) for frame in frames.values())


def test_what_is_not_one_whole_frame_is_a_value_error(library: str) -> None:
    codec = Zstd(Bytes)
    frame = codec.encode(b"abc" * 100)
    for forged in (b"", b"a", frame[:-1], frame[:6], frame + b"\0", frame + frame, b"\0" * 20):
        with pytest.raises(ValueError):
            codec.decode(forged)
    rng = random.Random(5)
    for _ in range(500):
        forged_bytes = bytearray(frame)
        forged_bytes[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
        try:
            codec.decode(bytes(forged_bytes))
        except ValueError:
            continue


def test_hostile_values_take_no_more_memory_than_the_bound(library: str) -> None:
    bomb = Zstd(Bytes, size_max=64 << 20).encode(bytes(64 << 20))
    assert len(bomb) < 10_000
    codec = Zstd(Bytes, size_max=1 << 20)
    single = b"\x28\xb5\x2f\xfd\xe0" + (2**62).to_bytes(8, "little") + b"\x01\0\0"  # says 4 EiB
    lie = (
        b"\x28\xb5\x2f\xfd\x60" + b"\x10\x00" + b"\x02\x00\x80" + b"a"
    )  # a run longer than it says
    tracemalloc.start()
    for forged in (bomb, single, lie):
        with pytest.raises(ValueError):
            codec.decode(forged)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
    with pytest.raises(ValueError, match="size_max"):
        codec.encode(bytes((1 << 20) + 1))
    assert codec.decode(codec.encode(bytes(1 << 20))) == bytes(1 << 20)


def test_frame_that_hides_its_size_is_refused(library: str) -> None:
    hidden = b"\x28\xb5\x2f\xfd\x00\x58\x19\x00\x00abc"
    with pytest.raises(ValueError, match="size"):
        Zstd(Bytes).decode(hidden)


def test_many_threads_use_one_codec(library: str, run_threads: Callable[..., list[object]]) -> None:
    codec = Zstd(Json, dictionary=b"some words that values have in common" * 9)
    barrier = threading.Barrier(4)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        barrier.wait(60)
        for _ in range(200):
            document = ["some words" * rng.randrange(50), rng.random()]
            assert codec.decode(codec.encode(document)) == document

    run_threads(*(lambda seed=seed: work(seed) for seed in range(4)))


@needs_either
def test_a_tree_records_what_is_inside_and_which_dictionary(db: cowtree.Database) -> None:
    words, others = b"words" * 50, os.urandom(300)
    pages = db.tree("pages", key=Text, value=Zstd(Json, level=19))
    pages["a"] = ["text" * 1000]
    assert db.tree("pages", key=Text, value=Zstd(Json))["a"] == ["text" * 1000]
    assert len(db.tree("pages", key=Text)["a"]) < 100
    with db.transaction() as txn:
        txn.tree("d", key=Int, value=Zstd(MsgPack, dictionary=words))[1] = "words" * 50
    assert db.tree_codecs("pages") == ("text", "zstd(json)")
    with pytest.raises(cowtree.CodecError):
        db.tree("d", value=Zstd(MsgPack, dictionary=others))
    with pytest.raises(cowtree.CodecError):
        db.tree("d", value=Zstd(MsgPack))
    with pytest.raises(TypeError, match="values only"):
        db.tree("k", key=Zstd(Text))  # type: ignore[type-var]
    db.tree("pages")[b"forged"] = b"no frame"
    with pytest.raises(cowtree.DecodeError):
        db.tree("pages", key=Text, value=Zstd(Json))["forged"]


@needs_either
def test_codec_is_found_by_its_name_and_pickles() -> None:
    for codec in (Zstd(Json), Zstd(codecs.by_name("msgpack/User"))):
        assert codecs.by_name(codec.name).decode(codec.encode({"a": 1})) == {"a": 1}
    dictionary = b"abc" * 100
    with_dictionary = Zstd(Json, dictionary=dictionary, level=5, size_max=9)
    again = pickle.loads(pickle.dumps(with_dictionary))
    assert (again.name, again.level, again.size_max) == (with_dictionary.name, 5, 9)
    assert again.dictionary == dictionary and repr(again) == repr(with_dictionary)
    with pytest.raises(cowtree.CodecError, match="dictionary"):
        codecs.by_name(with_dictionary.name)
    with pytest.raises(cowtree.CodecError):
        codecs.by_name("zstd(none)")
    assert codecs.innermost_name("zstd(zstd(msgpack/User),ab)") == "msgpack"
    assert codecs.innermost_name(with_dictionary.name) == "json"


@needs_either
def test_tools_never_unpickle_what_is_compressed() -> None:
    from cowtree.cli.notations import codec_named

    assert codec_named(Zstd(Pickle).name) is None
    assert codec_named(Zstd(Zstd(Pickle)).name) is None
    assert codec_named("zstd(json)") is not None


@needs_either
def test_wrong_arguments_are_refused() -> None:
    for wrong in (None, Json.name, Zstd):
        with pytest.raises(TypeError, match="codec"):
            Zstd(wrong)  # type: ignore[arg-type]
    for options in ({"dictionary": b""}, {"dictionary": "text"}):
        with pytest.raises(TypeError, match="dictionary"):
            Zstd(Json, **options)  # type: ignore[arg-type]
    for options in ({"size_max": -1}, {"size_max": 1.5}, {"level": 1000}):
        with pytest.raises(ValueError):
            Zstd(Json, **options)  # type: ignore[arg-type]


def test_without_a_library_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['zstandard'] = sys.modules['compression'] = None\n"
        "from cowtree.codecs import Json, Zstd\n"
        "try: Zstd(Json)\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert "cowtree[zstd]" in found.stdout
