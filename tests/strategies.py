"""Keys, values, bounds and names that stress a B-tree: shared prefixes, every size, empty ones."""

from __future__ import annotations

from hypothesis import strategies as st
from model import pattern

NAMES = (None, None, "one", "two/three", "\u00fcn\u00efcode")
FEW_KEYS = [
    b"",
    b"\0",
    b"a",
    b"a\0",
    b"a\0\0",
    b"a\0\0\0",
    b"a\0\0\1",
    b"a\1",
    b"b",
    b"\xff",
    b"\xff\xff",
]


def group_key(group: int, member: int) -> bytes:
    """Members of a group differ only behind 950 bytes: separators stay long."""
    return b"%04d" % (group * 7919 % 10_000) + b"x" * 950 + b"%d" % member


SHAPES = {
    "number": lambda i: b"%06d" % i,
    "path": lambda i: b"common/prefix/of/all/paths/%02d/%03d" % (i % 20, i // 20),
    "nested": lambda i: b"n" * (i % 1001),
    "group": lambda i: group_key(i // 6, i % 6),
    "binary": lambda i: (i * 2654435761 % 2**32).to_bytes(4, "big"),
}

names = st.sampled_from(NAMES)
shaped_keys = st.builds(
    lambda shape, i: SHAPES[shape](i), st.sampled_from(sorted(SHAPES)), st.integers(0, 400)
)
keys = st.one_of(st.sampled_from(FEW_KEYS), shaped_keys, shaped_keys, st.binary(max_size=5))
bounds = st.one_of(st.none(), keys)
prefixes = st.one_of(
    st.none(),
    st.none(),
    st.none(),
    st.sampled_from(
        [b"", b"a", b"a\0", b"common/", b"common/prefix/of/all/paths/07", b"n" * 500, b"\xff", b"0"]
    ),
    keys,
)
sizes = st.one_of(
    st.integers(0, 10),
    st.integers(950, 1100),
    st.integers(1900, 2150),
    st.sampled_from([4030, 4032, 4064, 4096, 8192, 16_300, 33_000]),
    st.integers(4096, 20_000),
)
values = st.builds(pattern, st.integers(0, 99), sizes)
flags = st.booleans()

# A step of a scripted transaction: what to do, in which of its two trees, and with what.
steps = st.tuples(
    st.sampled_from(
        ["put"] * 4
        + ["delete", "delete", "update", "range", "fill", "clear", "drop", "read"]
        + ["savepoint", "savepoint", "savepoint", "keep", "fail", "undo", "undo"]
    ),
    st.sampled_from([0, 0, 0, 1]),
    keys,
    values,
)
