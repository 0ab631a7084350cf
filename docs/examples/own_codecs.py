"""Codecs of your own: an Enum as a key, in the order of its definition, and a point as a value.

A codec is any object with a name, `encode` and `decode`; one for keys has `prefix` too, by which it claims that its
bytes sort as its objects do. Use one instance from as many threads as you like: it holds no state. The tree records the
name, so that another codec is refused later: give a new name to a codec whose bytes mean something else.
"""

from __future__ import annotations

import enum
import struct
import tempfile
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import cowtree
from cowtree.codecs import Text

E = TypeVar("E", bound=enum.Enum)


class EnumCodec(Generic[E]):
    """Members of an Enum of at most 256, in one byte: their place. New members go to the end."""

    def __init__(self, members: type[E]) -> None:
        self.name = f"enum/{members.__name__}"
        self._members = list(members)
        self._bytes = {member: bytes([place]) for place, member in enumerate(self._members)}

    def encode(self, obj: E, /) -> bytes:
        if obj not in self._bytes:
            raise TypeError(f"takes a member of {self.name}, not {obj!r}")
        return self._bytes[obj]

    def decode(self, data: bytes, /) -> E:
        if len(data) != 1 or data[0] >= len(self._members):
            raise ValueError(
                f"not a member of {self.name}: {data!r}"
            )  # a DecodeError with tree and key
        return self._members[data[0]]

    def prefix(self, obj: E, /) -> tuple[bytes, bytes | None]:
        raise TypeError("no member begins with another")


class Point(NamedTuple):
    x: float
    y: float


class PointCodec:
    """Points in 16 bytes. Values only: it has no `prefix`, as its bytes do not sort as points do."""

    name = "point"
    _layout = struct.Struct("<dd")

    def encode(self, obj: Point, /) -> bytes:
        return self._layout.pack(*obj)

    def decode(self, data: bytes, /) -> Point:
        try:
            return Point(*self._layout.unpack(data))
        except struct.error as error:
            raise ValueError(str(error)) from None


class Priority(enum.Enum):
    URGENT = "!"
    NORMAL = "-"
    WHENEVER = "~"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cowtree.open(Path(folder) / "own.cow") as db:
        counts = db.tree("counts", key=EnumCodec(Priority), value=Text)
        counts.update({Priority.WHENEVER: "many", Priority.URGENT: "one", Priority.NORMAL: "some"})
        print([priority.name for priority in counts])

        places = db.tree("places", key=Text, value=PointCodec())
        places["home"] = Point(1.0, 2.0)
        print("home is at", places["home"].x, places["home"].y)
        print("recorded:", db.tree_codecs("counts"), db.tree_codecs("places"))

        try:
            db.tree("places", key=PointCodec())  # type: ignore[call-overload]  # pyright: ignore
        except TypeError:
            print("no codec for keys: it has no prefix")


if __name__ == "__main__":
    main()
