"""Codec around another: Zstd, which compresses values.

A value is one frame of Zstandard (RFC 8878) that says the size of its contents, so that the size is known, and bounded,
before anything is decompressed. The library is `compression.zstd` of Python 3.14, else the package `zstandard`
(`pip install "cowtree[zstd]"`), imported when the first such codec is made.
"""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import Any, Final, Generic, Protocol, TypeVar, final

from cowtree.codecs.protocol import Codec, check_codec

__all__ = ["SIZE_MAX", "Zstd"]

T = TypeVar("T")

LEVEL = 3
SIZE_MAX: Final = 64 << 20
"""Bytes that a value may have before it is compressed, unless the codec is made with another bound."""

_FORMATTED_DICTIONARY = b"\x37\xa4\x30\xec"  # RFC 8878 §5; any other bytes are contents alone
_DIGEST_DIGITS = 16


@final
class Zstd(Generic[T]):
    """Values of `inner`, compressed: `db.tree("pages", key=Text, value=Zstd(Json))`.

    The tree records the name "zstd(json)"; with a dictionary its digest, too, so that a tree is not read with another.
    The level is not recorded: it may change. For values only: compressed bytes do not sort as what they hold.

    `expect=` compares stored bytes: after a change of level, or of the library's version, the same object may
    compress to others, and then nothing is stored and the answer is False.

    Args:
        inner: the codec of the objects.
        level: 1 (fast) to 22 (small); negative ones are faster still.
        dictionary: bytes that values have in common, best trained (`zstandard.train_dictionary`); the more, the
            smaller the values are. Whoever reads the tree needs it: store it.
        size_max: bytes that a value may have before compression. A larger one is a ValueError when it is put, and a
            DecodeError when it is read, before memory is taken for it.

    Raises:
        ModuleNotFoundError: neither library is there.
        TypeError, ValueError: not a codec, a level that there is none, a name of more than 255 bytes.
    """

    __slots__ = ("_library", "dictionary", "inner", "level", "name", "size_max")

    def __init__(
        self,
        inner: Codec[T],
        *,
        level: int = LEVEL,
        dictionary: bytes | None = None,
        size_max: int = SIZE_MAX,
    ) -> None:
        check_codec(inner)
        if dictionary is not None and (type(dictionary) is not bytes or not dictionary):
            raise TypeError("a dictionary is bytes, and not empty")
        if type(size_max) is not int or size_max < 0:
            raise ValueError("size_max is a number of bytes")
        self.inner = inner
        self.level = level
        self.dictionary = dictionary
        self.size_max = size_max
        mark = ""
        if dictionary is not None:
            mark = f",{sha256(dictionary).hexdigest()[:_DIGEST_DIGITS]}"
        self.name: str = f"zstd({inner.name}{mark})"
        self._library = _open_library(level, dictionary)

    def encode(self, obj: T, /) -> bytes:
        """One frame. ValueError: more than `size_max` bytes; and what `inner` raises. O(size)."""
        data = self.inner.encode(obj)
        if len(data) > self.size_max:
            raise ValueError(
                f"a value of {len(data)} bytes; this codec takes {self.size_max} (Zstd's size_max)"
            )
        return self._library.compress(data)

    def decode(self, data: bytes, /) -> T:
        """The object.

        Raises:
            ValueError: not one whole frame that says its size, or of more than `size_max` bytes; and what `inner`
                raises. Memory taken by then is O(size_max).
        """
        size = self._library.frame_size(data)
        if size > self.size_max:
            raise ValueError(
                f"a frame of {size} bytes; this codec takes {self.size_max} (Zstd's size_max)"
            )
        contents = self._library.decompress(data, size)
        if len(contents) != size:
            raise ValueError(f"a frame of {len(contents)} bytes says that it has {size}")
        return self.inner.decode(contents)

    def __repr__(self) -> str:
        return f"cowtree.codecs.Zstd({self.inner!r}, level={self.level})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (self.inner, self.level, self.dictionary, self.size_max)


def _make(inner: Codec[T], level: int, dictionary: bytes | None, size_max: int) -> Zstd[T]:
    return Zstd(inner, level=level, dictionary=dictionary, size_max=size_max)


class _Library(Protocol):
    """Zstandard at one level with one dictionary, for many threads. Each raises ValueError for what is no frame."""

    def compress(self, data: bytes) -> bytes: ...
    def frame_size(self, data: bytes) -> int: ...
    def decompress(self, data: bytes, size: int) -> bytes: ...


def _open_library(level: int, dictionary: bytes | None) -> _Library:
    try:
        return _StandardLibrary(level, dictionary)
    except ModuleNotFoundError:
        pass
    try:
        return _Zstandard(level, dictionary)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'Zstd needs Python 3.14 or the package zstandard: pip install "cowtree[zstd]"'
        ) from None


class _StandardLibrary:
    """By `compression.zstd`, of Python 3.14."""

    def __init__(self, level: int, dictionary: bytes | None) -> None:
        from importlib import import_module

        self._zstd: Any = import_module("compression.zstd")
        self._level = level
        self._dictionary: Any = None
        if dictionary is not None:
            contents_alone = not dictionary.startswith(_FORMATTED_DICTIONARY)
            self._dictionary = self._zstd.ZstdDict(dictionary, is_raw=contents_alone)
        self._local = threading.local()  # a compressor holds the state of one frame
        self.compress(b"")  # raises for a level that there is none

    def compress(self, data: bytes) -> bytes:
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            compressor = self._zstd.ZstdCompressor(self._level, zstd_dict=self._dictionary)
            self._local.compressor = compressor
        frame: bytes = compressor.compress(data, compressor.FLUSH_FRAME)
        return frame

    def frame_size(self, data: bytes) -> int:
        try:
            size: int | None = self._zstd.get_frame_info(data).decompressed_size
        except self._zstd.ZstdError as error:
            raise ValueError(f"not a frame of Zstandard: {error}") from None
        if size is None:
            raise ValueError("a frame of Zstandard that does not say its size")
        return size

    def decompress(self, data: bytes, size: int) -> bytes:
        decompressor = self._zstd.ZstdDecompressor(self._dictionary)
        try:
            # One byte more than there should be: a frame of another size than it says is then noticed.
            contents: bytes = decompressor.decompress(data, size + 1)
        except self._zstd.ZstdError as error:
            raise ValueError(f"not decompressed: {error}") from None
        if not decompressor.eof or decompressor.unused_data:
            raise ValueError("not one whole frame of Zstandard")
        return contents


class _Zstandard:
    """By the package `zstandard`."""

    def __init__(self, level: int, dictionary: bytes | None) -> None:
        import zstandard

        self._library: Any = zstandard
        self._level = level
        self._dictionary = None if dictionary is None else zstandard.ZstdCompressionDict(dictionary)
        self._local = threading.local()  # neither of the two may be used by two threads at once
        self.compress(b"")  # raises for a level that there is none

    def compress(self, data: bytes) -> bytes:
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            compressor = self._library.ZstdCompressor(self._level, dict_data=self._dictionary)
            self._local.compressor = compressor
        frame: bytes = compressor.compress(data)
        return frame

    def frame_size(self, data: bytes) -> int:
        try:
            size: int = self._library.frame_content_size(data)
        except self._library.ZstdError as error:
            raise ValueError(f"not a frame of Zstandard: {error}") from None
        if size < 0:
            raise ValueError("a frame of Zstandard that does not say its size")
        return size

    def decompress(self, data: bytes, size: int) -> bytes:
        decompressor = getattr(self._local, "decompressor", None)
        if decompressor is None:
            decompressor = self._library.ZstdDecompressor(dict_data=self._dictionary)
            self._local.decompressor = decompressor
        try:
            contents: bytes = decompressor.decompress(data, allow_extra_data=False)
        except self._library.ZstdError as error:
            raise ValueError(f"not decompressed: {error}") from None
        return contents
