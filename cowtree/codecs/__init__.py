"""Objects as keys and values: what a tree stores is bytes, and a codec is what they mean.

    Bytes, Text, Int, Float, Tuple     keys and values: the bytes sort as the objects do
    MsgPack, Json, Pickle              values only

    protocol                           what a codec is
    plain, tuple_layer, documents      the codecs
    tuple_elements                     Float32, Versionstamp

A codec raises TypeError for an object of another type, and ValueError for a value without bytes or for bytes that it
never writes. Stands on errors and views; knows nothing of pages, files and trees.
"""

from __future__ import annotations

from typing import Any, Final

from cowtree.codecs.documents import Json, MsgPack, Pickle
from cowtree.codecs.plain import Bytes, Float, Int, Text
from cowtree.codecs.protocol import Codec, KeyCodec, check_codec, check_key_codec
from cowtree.codecs.tuple_elements import Float32, Versionstamp
from cowtree.codecs.tuple_layer import Tuple
from cowtree.errors import CodecError

__all__ = [
    "Bytes",
    "Codec",
    "Float",
    "Float32",
    "Int",
    "Json",
    "KeyCodec",
    "MsgPack",
    "Pickle",
    "Text",
    "Tuple",
    "Versionstamp",
    "by_name",
    "check_codec",
    "check_key_codec",
]

_CODECS: Final[tuple[Codec[Any], ...]] = (
    Bytes,
    Text,
    Int,
    Float,
    Tuple,
    MsgPack,
    Json,
    Pickle,
)
_BY_NAME: Final = {codec.name: codec for codec in _CODECS}


def by_name(name: str) -> Codec[Any]:
    """The codec of this package that a tree records as `name`: for tools, which open trees they did not write.

    It gives `Pickle` too, which a tool must not use unasked: unpickling runs code that the file chooses.

    Raises:
        CodecError: there is none; the program that wrote the tree has a codec of its own.
    """
    codec = _BY_NAME.get(name)
    if codec is None:
        raise CodecError(f"no codec of cowtree is named {name!r}; there are {', '.join(_BY_NAME)}")
    return codec
