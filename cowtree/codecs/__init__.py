"""Objects as keys and values: what a tree stores is bytes, and a codec is what they mean.

    Bytes, Text, Int, Float, Bool      keys and values: the bytes sort as the objects do
    Decimal, Uuid                      as well
    Date, DateTime, Time               as well
    Tuple                              several of them as one key
    MsgPack, Json, Pickle              values only
    MsgPack.of(SomeClass)              values that are instances of a dataclass
    Zstd(codec)                        values of another codec, compressed

    protocol                           what a codec is
    plain, moments, decimals           those of one type
    tuple_layer, tuple_elements        Tuple; Float32, Versionstamp
    documents, records, zstd           those of values

A codec raises TypeError for an object of another type, and ValueError for a value without bytes or for bytes that it
never writes. Stands on errors and views; knows nothing of pages, files and trees.
"""

from __future__ import annotations

from typing import Any, Final

from cowtree.codecs.decimals import Decimal
from cowtree.codecs.documents import Json, MsgPack, Pickle
from cowtree.codecs.moments import Date, DateTime, Time
from cowtree.codecs.plain import Bool, Bytes, Float, Int, Text, Uuid
from cowtree.codecs.protocol import Codec, KeyCodec, check_codec, check_key_codec
from cowtree.codecs.tuple_elements import Float32, Versionstamp
from cowtree.codecs.tuple_layer import Tuple
from cowtree.codecs.zstd import Zstd
from cowtree.errors import CodecError

__all__ = [
    "Bool",
    "Bytes",
    "Codec",
    "Date",
    "DateTime",
    "Decimal",
    "Float",
    "Float32",
    "Int",
    "Json",
    "KeyCodec",
    "MsgPack",
    "Pickle",
    "Text",
    "Time",
    "Tuple",
    "Uuid",
    "Versionstamp",
    "Zstd",
    "by_name",
    "check_codec",
    "check_key_codec",
    "innermost_name",
]

_CODECS: Final[tuple[Codec[Any], ...]] = (
    Bytes,
    Text,
    Int,
    Float,
    Bool,
    Decimal,
    Date,
    DateTime,
    Time,
    Uuid,
    Tuple,
    MsgPack,
    Json,
    Pickle,
)
_BY_NAME: Final = {codec.name: codec for codec in _CODECS}
_COMPRESSED, _RECORDS = "zstd(", "msgpack/"


def by_name(name: str) -> Codec[Any]:
    """The codec of this package that a tree records as `name`: for tools, which open trees they did not write.

    Records of a dataclass come as dicts: the class is not known. It gives `Pickle` too, also inside of `Zstd`, which a
    tool must not use unasked: unpickling runs code that the file chooses (`innermost_name` tells).

    Raises:
        CodecError: there is none; the program that wrote the tree has a codec of its own, or a dictionary.
        ModuleNotFoundError: "zstd(...)" without the library.
    """
    codec = _BY_NAME.get(name)
    if codec is not None:
        return codec
    if name.startswith(_RECORDS):
        from cowtree.codecs.records import UntypedRecordCodec

        return UntypedRecordCodec(MsgPack, name)
    if name.startswith(_COMPRESSED) and name.endswith(")"):
        inner = name[len(_COMPRESSED) : -1]
        if "," in inner:
            raise CodecError(
                f"the values are compressed with a dictionary, which is not in the file: {name!r}"
            )
        return Zstd(by_name(inner))
    raise CodecError(
        f"no codec of cowtree is named {name!r}; there are {', '.join(_BY_NAME)}, zstd(...) of one, and msgpack/..."
    )


def innermost_name(name: str) -> str:
    """The name of the codec whose objects a codec of this name gives: json of "zstd(json)"."""
    while name.startswith(_COMPRESSED) and name.endswith(")"):
        name = name[len(_COMPRESSED) : -1].partition(",")[0]
    return "msgpack" if name.startswith(_RECORDS) else name
