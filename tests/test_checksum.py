"""XXH64 against its published vectors and, byte for byte, against the xxhash package."""

from __future__ import annotations

import itertools
import random

import pytest

from cowtree.checksum import checksum, checksum_of_pieces


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
    ],
)
def test_published_vectors(data: bytes, expected: int) -> None:
    assert checksum(data) == expected


def test_equals_the_reference_at_every_size() -> None:
    xxhash = pytest.importorskip("xxhash", reason="the reference is the xxhash package")
    rng = random.Random(1)
    for size in [*range(130), 4088, 4096, 65528]:
        data = rng.randbytes(size)
        for seed in (0, 1, 2**64 - 1, rng.getrandbits(64)):
            assert checksum(data, seed) == xxhash.xxh64_intdigest(data, seed)


def test_stream_equals_one_shot_however_it_is_cut() -> None:
    rng = random.Random(2)
    for _ in range(200):
        data = rng.randbytes(rng.randrange(300))
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
        edges = [0, *cuts, len(data)]
        pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
        assert checksum_of_pieces(pieces, 7) == checksum(data, 7)
