"""Codecs for values: MsgPack, Json, Pickle. Their bytes keep no order, so they have no `prefix` and encode no keys.

The modules behind them are imported when they are first used. Time and memory are O(size), except that unpickling
does whatever the pickle says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, Literal, NoReturn, TypeVar, cast, final

from cowtree.codecs.protocol import Codec, NamedCodec

__all__ = ["Json", "JsonCodec", "MsgPack", "MsgPackCodec", "Pickle", "PickleCodec"]

T = TypeVar("T")

_PICKLE_PROTOCOL = 5  # the newest that every supported Python reads


@final
class MsgPackCodec(NamedCodec):
    """MessagePack, strictly: what comes back equals what was put.

    Takes None, bool, int (-2**63 to 2**64 - 1), float, str, bytes, list, dict (keys of any of these that hash), aware
    datetime (which comes back in UTC) and `msgpack.ExtType`. A tuple, a set or an instance of a subclass would come
    back as something else: TypeError. bytearray and memoryview come back as bytes.
    """

    __slots__ = ()
    name = "msgpack"

    def encode(self, obj: Any, /) -> bytes:
        """MessagePack with the types str, bin and timestamp.

        Raises:
            TypeError: an object of another type, or a naive datetime, anywhere in it.
            ValueError: an int of more than 64 bits, a lone surrogate, or too deep a nesting (about 1000).
        """
        import msgpack

        packed = msgpack.packb(
            obj, default=_refuse_for_msgpack, use_bin_type=True, strict_types=True, datetime=True
        )
        return cast("bytes", packed)

    def decode(self, data: bytes, /) -> Any:
        """The object. ValueError: not one whole MessagePack object, or a dict's key that does not hash."""
        import msgpack

        try:
            if b"\xdc" in data or b"\xdd" in data:  # the headers of long arrays
                _check_lengths(data)
            return msgpack.unpackb(data, raw=False, strict_map_key=False, timestamp=3)
        except (ValueError, MemoryError):
            raise
        except Exception as error:  # a key that does not hash, a time after the year 9999
            raise ValueError(f"not MessagePack of this codec: {error}") from error

    def of(
        self,
        cls: type[T],
        /,
        *,
        name: str | None = None,
        unknown: Literal["refuse", "drop"] = "refuse",
    ) -> Codec[T]:
        """A codec for the instances of a dataclass: `db.tree("users", key=Text, value=MsgPack.of(User))`.

        A record is a map from the names of its fields to their values. `cowtree.codecs.records` has the types that a
        field may have, each checked both ways, and what may change in a class whose records are stored.

        Args:
            cls: the dataclass. Fields with `init=False` are not stored: the class makes them again.
            name: what the tree records, behind "msgpack/"; the name of the class if not given. Give it to be free to
                rename the class.
            unknown: what to do about a field in a record that the class does not have. "refuse": a DecodeError, so
                that a program that is older than its data does not lose it by writing back what it read. "drop": it
                is left out.

        Raises:
            TypeError: not a dataclass, or a field of a type that is not stored.
            ValueError: a name of more than 255 bytes.
        """
        from cowtree.codecs.records import RecordCodec

        label = getattr(cls, "__name__", "") if name is None else name
        if not isinstance(label, str) or (name is not None and not name):
            raise TypeError(f"a name is a str and not empty, not {name!r}")
        return RecordCodec(self, cls, f"{self.name}/{label}", unknown)


def _check_lengths(data: bytes) -> None:
    """Walk `data` without making objects. Raises unless every array has the elements that its header promises.

    Decoding makes room for an array from its header alone; a thousand of them, one in another, would take a thousand
    times the memory that `data` can fill.
    """
    import msgpack

    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    unpacker.skip()


def _refuse_for_msgpack(obj: object) -> NoReturn:
    if type(obj) is int:
        raise ValueError("MsgPack takes int from -2**63 to 2**64 - 1")
    if type(obj).__name__ == "datetime":
        raise TypeError("MsgPack takes an aware datetime: without a time zone it names no moment")
    raise TypeError(
        "MsgPack takes None, bool, int, float, str, bytes, list, dict and aware datetime, "
        f"not {type(obj).__name__}"
    )


@final
class JsonCodec(NamedCodec):
    """JSON in UTF-8, without spaces. As in `json`, a tuple comes back as a list and a dict's number keys as text."""

    __slots__ = ()
    name = "json"

    def encode(self, obj: Any, /) -> bytes:
        """The text.

        Raises:
            TypeError: not None, bool, int, float, str, list, tuple or dict, anywhere in it.
            ValueError: NaN or an infinity, a lone surrogate, a cycle, or too deep a nesting (about 1000).
        """
        try:
            return _json()[0](obj).encode()
        except RecursionError:
            raise ValueError("nested too deeply for Json") from None

    def decode(self, data: bytes, /) -> Any:
        """The object. ValueError: not one whole JSON text in UTF-8, NaN or an infinity, or too deep a nesting."""
        try:
            return _json()[1](str(data, "utf-8"))
        except RecursionError:
            raise ValueError("nested too deeply for Json") from None


@cache
def _json() -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """What encodes and what decodes; both may be used by many threads."""
    import json

    encoder = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse_for_json
    )
    return encoder.encode, json.JSONDecoder(parse_constant=_refuse_constant).decode


def _refuse_for_json(obj: object) -> NoReturn:
    raise TypeError(
        f"Json takes None, bool, int, float, str, list, tuple and dict, not {type(obj).__name__}"
    )


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


@final
class PickleCodec(NamedCodec):
    """Any object that pickles.

    Warning: unpickling runs code that the bytes choose. Open a tree with this codec only if you would run a program
    from whoever could write the file. It is never a default.
    """

    __slots__ = ()
    name = "pickle"

    def encode(self, obj: Any, /) -> bytes:
        """Its pickle, protocol 5. TypeError: it does not pickle."""
        import pickle

        try:
            return pickle.dumps(obj, protocol=_PICKLE_PROTOCOL)
        except (pickle.PicklingError, AttributeError) as error:  # AttributeError: a local class
            raise TypeError(f"Pickle takes what pickles: {error}") from error

    def decode(self, data: bytes, /) -> Any:
        """The object. ValueError: not a pickle, or one whose loading failed in any way.

        Warning: this runs code that `data` choose.
        """
        import pickle

        try:
            return pickle.loads(data)
        except (ValueError, MemoryError):
            raise
        except Exception as error:
            raise ValueError(f"not unpickled: {type(error).__name__}: {error}") from error


MsgPack: Final = MsgPackCodec()
"""MessagePack, for values; `MsgPack.of(SomeClass)` for the instances of a dataclass."""

Json: Final[Codec[Any]] = JsonCodec()
"""JSON in UTF-8, for values."""

Pickle: Final[Codec[Any]] = PickleCodec()
"""Pickles, for values. Warning: unpickling runs code that the file chooses; only for files that you trust."""
