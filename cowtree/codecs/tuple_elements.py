"""Elements of a `Tuple` key that Python has no type for: Float32 and Versionstamp."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import final

__all__ = ["TRANSACTION_VERSION_SIZE", "Float32", "Versionstamp"]

TRANSACTION_VERSION_SIZE = 10
_USER_VERSION_MAX = (1 << 16) - 1
_SINGLE = struct.Struct(">f")


@final
@dataclass(frozen=True, order=True, slots=True)
class Float32:
    """A float of 32 bits, rounded to one; `float(x)` or `x.value` is its value as a float of Python.

    Raises:
        TypeError: not a float or int, or a bool.
        ValueError: too large for 32 bits.
    """

    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.value, float | int) or isinstance(self.value, bool):
            raise TypeError(f"Float32 takes float or int, not {type(self.value).__name__}")
        try:
            rounded = _SINGLE.unpack(_SINGLE.pack(float(self.value)))[0]
        except OverflowError:
            raise ValueError("too large for a float of 32 bits") from None
        object.__setattr__(self, "value", rounded)

    def __float__(self) -> float:
        return self.value


@final
@dataclass(frozen=True, order=True, slots=True)
class Versionstamp:
    """FoundationDB's versionstamp of 96 bits: the order of commits, then the order within one.

    cowtree gives none out: it is for keys that came from FoundationDB.

    Args:
        transaction_version: 10 bytes, big-endian: the version of the commit, then its number in a batch.
        user_version: 0 to 65535.

    Raises:
        TypeError: not bytes, or not an int.
        ValueError: not 10 bytes, or out of range.
    """

    transaction_version: bytes
    user_version: int = 0

    def __post_init__(self) -> None:
        if type(self.transaction_version) is not bytes:
            raise TypeError(
                f"a transaction version is bytes, not {type(self.transaction_version).__name__}"
            )
        if len(self.transaction_version) != TRANSACTION_VERSION_SIZE:
            raise ValueError(
                f"a transaction version has {TRANSACTION_VERSION_SIZE} bytes, not {len(self.transaction_version)}"
            )
        if type(self.user_version) is not int:
            raise TypeError(f"a user version is an int, not {type(self.user_version).__name__}")
        if not 0 <= self.user_version <= _USER_VERSION_MAX:
            raise ValueError(f"a user version is 0 to {_USER_VERSION_MAX}: {self.user_version}")
