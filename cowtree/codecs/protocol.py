"""What a codec is, and the check of one at the border.

    Codec        name, encode, decode                      values
    KeyCodec     and prefix; the bytes keep the order      keys (and values)

A codec is stateless and is used from many threads at once. Any object with these members will do; the tree records
its `name`, so that another codec is refused when the tree is opened later.
"""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

__all__ = ["Codec", "KeyCodec", "NamedCodec", "check_codec", "check_key_codec"]

T = TypeVar("T")


@runtime_checkable
class Codec(Protocol[T]):
    """Objects as bytes, and back."""

    @property
    def name(self) -> str:
        """What a tree records of its codec: not empty, and never another for bytes already written."""
        ...

    def encode(self, obj: T, /) -> bytes:
        """The bytes of an object. TypeError: not a type of this codec; ValueError: a value that it has no bytes for."""
        ...

    def decode(self, data: bytes, /) -> T:
        """The object of `data`, equal to the one that was encoded. ValueError: `encode` never gives these bytes."""
        ...


@runtime_checkable
class KeyCodec(Codec[T], Protocol[T]):
    """A codec whose bytes sort as its objects do: a < b exactly if encode(a) < encode(b).

    It is canonical, too: equal keys have one encoding, and `decode` refuses every other.
    """

    def prefix(self, obj: T, /) -> tuple[bytes, bytes | None]:
        """Where the keys that begin with `obj` are: from `start`, to before `stop` (None: to the end).

        Raises:
            TypeError: as `encode`, and where no object begins with another, as among numbers.
            ValueError: as `encode`.
        """
        ...


class NamedCodec:
    """A codec of this package: one instance that shows, copies and pickles as its name in `cowtree.codecs`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"cowtree.codecs.{self.__reduce__()}"

    def __reduce__(self) -> str:
        return type(self).__name__.removesuffix("Codec")


def check_codec(codec: object) -> None:
    """TypeError unless `codec` can encode values."""
    if isinstance(codec, type):
        raise TypeError(
            f"a codec is an instance such as cowtree.codecs.Text, not the class {codec.__name__}"
        )
    if not isinstance(codec, Codec):
        raise TypeError(
            f"a codec such as cowtree.codecs.Text has name, encode and decode; {_show(codec)} has not"
        )
    if not isinstance(codec.name, str) or not codec.name:
        raise TypeError(f"the name of a codec is a str and not empty, not {codec.name!r}")


def check_key_codec(codec: object) -> None:
    """TypeError unless `codec` can encode keys: it has to keep order, which only one with `prefix` claims to."""
    check_codec(codec)
    if not isinstance(codec, KeyCodec):
        raise TypeError(
            f"{_show(codec)} encodes values only: its bytes do not sort as its objects do (it has no `prefix`); "
            "keys take cowtree.codecs.Bytes, Text, Int, Float, Decimal, Bool, Date, DateTime, Time, Uuid or Tuple"
        )


def _show(codec: object) -> str:
    return repr(codec) if isinstance(codec, NamedCodec) else f"a {type(codec).__name__}"
