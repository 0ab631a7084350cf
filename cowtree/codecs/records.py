"""Codec for values that are dataclasses: `MsgPack.of(SomeClass)`.

A record is stored as a MessagePack map from the names of its fields to their values, so that other programs read it:

    annotation                                      stored as
    None, bool, int, float, str, bytes, Any         itself
    datetime (aware)                                a timestamp
    date, Decimal                                   text
    UUID                                            16 bytes
    Enum                                            its value
    list[X], dict[K, X], tuple[X, ...], tuple[X, Y] array, map, array
    X | None, unions of the first line, Literal     what is there
    a dataclass                                     a map, as above

What a class may become while old records are kept: a new field needs a default, which records without it get; a field
that is taken out is refused when it is read, unless the codec was made with `unknown="drop"`; a field that changes its
type, or its name, makes old records undecodable.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar, final

from cowtree.codecs.protocol import Codec

__all__ = ["RecordCodec", "UntypedRecordCodec"]

T = TypeVar("T")
Convert = Callable[[Any], Any]

NAME_SIZE_MAX = 255  # bytes; a tree has room for no more
_PLAIN: tuple[type, ...] = (
    types.NoneType,
    bool,
    int,
    float,
    str,
    bytes,
    datetime.datetime,
)
_TAKEN = (
    "None, bool, int, float, str, bytes, Any, datetime, date, Decimal, UUID, Enum, Literal, list[X], dict[K, X], "
    "tuple[X, ...], X | None and dataclasses"
)


@final
class RecordCodec(Generic[T]):
    """Instances of one dataclass, as MessagePack. Made by `MsgPack.of`, which see."""

    __slots__ = ("_decode", "_documents", "_encode", "cls", "name", "unknown")

    def __init__(
        self,
        documents: Codec[Any],
        cls: type[T],
        name: str,
        unknown: Literal["refuse", "drop"] = "refuse",
    ) -> None:
        if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
            raise TypeError(f"MsgPack.of takes a dataclass, not {cls!r}")
        if unknown not in ("refuse", "drop"):
            raise ValueError(f"unknown is 'refuse' or 'drop', not {unknown!r}")
        self.name = name
        if len(name.encode()) > NAME_SIZE_MAX:
            raise ValueError(f"the name of a codec has at most {NAME_SIZE_MAX} bytes: {name!r}")
        self.cls: type[T] = cls
        self.unknown: Literal["refuse", "drop"] = unknown
        self._documents = documents
        self._encode, self._decode = _Compiler(unknown).record(cls)

    def encode(self, obj: T, /) -> bytes:
        """Its map.

        Raises:
            TypeError: an instance of another class, a subclass too; or a field of another type.
            ValueError: a value that MsgPack, or the field's Literal, does not have.
        """
        try:
            return self._documents.encode(self._encode(obj))
        except RecursionError:
            raise ValueError("nested too deeply for MsgPack") from None

    def decode(self, data: bytes, /) -> T:
        """The record.

        Raises:
            ValueError: not a map of its fields: one without a default is missing, one is not known, one is of another
                type; or the class refuses them.
        """
        record: T
        try:
            record = self._decode(self._documents.decode(data))
        except (ValueError, MemoryError):
            raise
        except Exception as error:  # whatever the class does with what it is given
            raise ValueError(f"{type(error).__name__}: {error}") from error
        return record

    def __repr__(self) -> str:
        return f"cowtree.codecs.MsgPack.of({self.cls.__qualname__})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordCodec, (self._documents, self.cls, self.name, self.unknown)


@final
class UntypedRecordCodec:
    """The maps of records whose class is not known: for tools."""

    __slots__ = ("_documents", "name")

    def __init__(self, documents: Codec[Any], name: str) -> None:
        self._documents = documents
        self.name = name

    def encode(self, obj: Any, /) -> bytes:
        """As MsgPack."""
        return self._documents.encode(obj)

    def decode(self, data: bytes, /) -> Any:
        """As MsgPack: a dict."""
        return self._documents.decode(data)

    def __repr__(self) -> str:
        return f"cowtree.codecs.by_name({self.name!r})"


class _Compiler:
    """Annotations as pairs of functions: object -> what MsgPack takes (TypeError), and back (TypeError, ValueError)."""

    def __init__(self, unknown: Literal["refuse", "drop"]) -> None:
        self._unknown = unknown
        self._records: dict[type, tuple[Convert, Convert]] = {}

    def record(self, cls: type) -> tuple[Convert, Convert]:
        """The functions of a dataclass. O(fields), once."""
        if cls in self._records:
            return self._records[cls]
        fields = [field for field in dataclasses.fields(cls) if field.init]
        converts: dict[str, tuple[Convert, Convert]] = {}
        required = {
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }

        def encode(obj: Any) -> dict[str, Any]:
            if type(obj) is not cls:
                raise TypeError(f"takes {cls.__name__}, not {type(obj).__name__}")
            plain = {}
            for name, (encode_field, _) in converts.items():
                try:
                    plain[name] = encode_field(getattr(obj, name))
                except TypeError as error:
                    raise TypeError(f"{cls.__name__}.{name}: {error}") from None
                except ValueError as error:
                    raise ValueError(f"{cls.__name__}.{name}: {error}") from None
            return plain

        def decode(plain: Any) -> Any:
            if type(plain) is not dict:
                raise ValueError(f"a {cls.__name__} is a map, not {type(plain).__name__}")
            given = {}
            for name, value in plain.items():
                convert = converts.get(name)
                if convert is None:
                    if self._unknown == "drop":
                        continue
                    raise ValueError(f"{cls.__name__} has no field {name!r}")
                try:
                    given[name] = convert[1](value)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{cls.__name__}.{name}: {error}") from None
            if not required <= given.keys():
                missing = ", ".join(sorted(required - given.keys()))
                raise ValueError(f"a {cls.__name__} without {missing}")
            return cls(**given)

        self._records[cls] = encode, decode  # before its fields, which may be of the same class
        hints = typing.get_type_hints(cls)
        for field in fields:
            try:
                converts[field.name] = self.convert(hints[field.name])
            except TypeError as error:
                raise TypeError(f"{cls.__name__}.{field.name}: {error}") from None
        return encode, decode

    def convert(self, hint: Any) -> tuple[Convert, Convert]:
        """The functions of an annotation. TypeError: none that MsgPack.of takes."""
        if hint is Any or hint is object:
            return _same, _same
        hint = getattr(
            hint, "__supertype__", getattr(hint, "__value__", hint)
        )  # NewType, `type X = ...`
        if hint is None:
            hint = types.NoneType
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Union or origin is types.UnionType:
            return self._union(arguments)
        if origin is Literal:
            return _one_of(arguments)
        if hint in (list, dict):
            return _exactly(hint)
        if origin is list:
            return _array(list, self.convert(arguments[0]))
        if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
            return _array(tuple, self.convert(arguments[0]))
        if origin is tuple:
            return _fixed_array([self.convert(argument) for argument in arguments])
        if origin is dict:
            return _map(self.convert(arguments[0]), self.convert(arguments[1]))
        if isinstance(hint, type):
            return self._class(hint)
        raise TypeError(f"{hint!r} is not stored; there are {_TAKEN}")

    def _class(self, cls: type) -> tuple[Convert, Convert]:
        if cls in _PLAIN:
            return _exactly(cls, int) if cls is float else _exactly(cls)
        if dataclasses.is_dataclass(cls):
            return self.record(cls)
        if issubclass(cls, enum.Enum):
            return _through(cls, lambda item: item.value, cls)
        if cls is datetime.date:
            return _through(cls, datetime.date.isoformat, _text(datetime.date.fromisoformat))
        if cls is decimal.Decimal:
            return _through(cls, str, _text(_decimal))
        if cls is uuid.UUID:
            return _through(cls, lambda item: item.bytes, lambda data: uuid.UUID(bytes=data))
        raise TypeError(f"{cls.__name__} is not stored; there are {_TAKEN}")

    def _union(self, arguments: tuple[Any, ...]) -> tuple[Convert, Convert]:
        members = [argument for argument in arguments if argument is not types.NoneType]
        if all(member in _PLAIN for member in members):
            return _exactly(*arguments, *([int] if float in members else []))
        if len(members) != 1 or len(members) == len(arguments):
            raise TypeError(
                "of a union only None and one other, or those that MessagePack has, are told apart"
            )
        encode, decode = self.convert(members[0])
        return (
            lambda obj: None if obj is None else encode(obj),
            lambda plain: None if plain is None else decode(plain),
        )


def _same(obj: Any) -> Any:
    return obj


def _exactly(*kinds: type) -> tuple[Convert, Convert]:
    def check(obj: Any) -> Any:
        if type(obj) not in kinds:
            taken = " or ".join(dict.fromkeys(kind.__name__ for kind in kinds))
            raise TypeError(f"takes {taken}, not {type(obj).__name__}")
        return obj

    return check, check


def _one_of(values: tuple[Any, ...]) -> tuple[Convert, Convert]:
    def check(obj: Any) -> Any:
        if not any(type(obj) is type(value) and obj == value for value in values):
            raise ValueError(f"takes one of {values!r}, not {obj!r}")
        return obj

    return check, check


def _array(kind: type, item: tuple[Convert, Convert]) -> tuple[Convert, Convert]:
    encode_item, decode_item = item
    check, check_plain = _exactly(kind)[0], _exactly(list)[0]
    return (
        lambda obj: [encode_item(each) for each in check(obj)],
        lambda plain: kind(decode_item(each) for each in check_plain(plain)),
    )


def _fixed_array(items: list[tuple[Convert, Convert]]) -> tuple[Convert, Convert]:
    check, check_plain = _exactly(tuple)[0], _exactly(list)[0]

    def sized(given: Any) -> Any:
        if len(given) != len(items):
            raise ValueError(f"takes {len(items)} elements, not {len(given)}")
        return given

    return (
        lambda obj: [
            encode(each) for (encode, _), each in zip(items, sized(check(obj)), strict=True)
        ],
        lambda plain: tuple(
            decode(each) for (_, decode), each in zip(items, sized(check_plain(plain)), strict=True)
        ),
    )


def _map(key: tuple[Convert, Convert], value: tuple[Convert, Convert]) -> tuple[Convert, Convert]:
    check = _exactly(dict)[0]
    return (
        lambda obj: {key[0](k): value[0](v) for k, v in check(obj).items()},
        lambda plain: {key[1](k): value[1](v) for k, v in check(plain).items()},
    )


def _through(kind: type, encode: Convert, decode: Convert) -> tuple[Convert, Convert]:
    def check(obj: Any) -> Any:
        if type(obj) is not kind:
            raise TypeError(f"takes {kind.__name__}, not {type(obj).__name__}")
        return encode(obj)

    return check, decode


def _text(convert: Callable[[str], Any]) -> Convert:
    check = _exactly(str)[0]
    return lambda plain: convert(check(plain))


def _decimal(text: str) -> decimal.Decimal:
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError(f"not a decimal: {text!r}") from None
