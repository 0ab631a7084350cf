"""Numbers, dates and the like as they are written on a command line and shown: one text each, read and given alike.

codec      text
int        -5
float      0.5, 1e3, inf
decimal    12.50, 1E+6, -Infinity
bool       true, false
date       2024-02-29
datetime   2024-02-29T12:00:00+01:00, or with Z
time       12:00:00.5
uuid       32 hexadecimal digits, with or without hyphens
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["SCALARS", "parse_scalar", "scalar_text"]

_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?|inf)")


def parse_scalar(text: str, codec: str) -> Any:
    """The object of a codec in SCALARS that the text says. ValueError: it says none."""
    return _PARSERS[codec](text.strip())


def scalar_text(obj: Any) -> str:
    """The text that `parse_scalar` reads."""
    if isinstance(obj, bool):
        return "true" if obj else "false"
    if isinstance(obj, float):
        return repr(obj)
    isoformat = getattr(obj, "isoformat", None)
    return isoformat() if isoformat is not None else str(obj)


def _int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise ValueError(f"not an int: {text!r}")
    return int(text)


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError(f"not a float: {text!r}")
    return float(text)


def _decimal(text: str) -> Any:
    from decimal import Decimal, InvalidOperation

    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a decimal: {text!r}") from None


def _bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"not a bool, which is true or false: {text!r}")
    return text == "true"


def _date(text: str) -> Any:
    from datetime import date

    return date.fromisoformat(text)


def _datetime(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)


def _time(text: str) -> Any:
    from datetime import time

    return time.fromisoformat(text)


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "int": _int,
    "float": _float,
    "decimal": _decimal,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
    "uuid": _uuid,
}
SCALARS = frozenset(_PARSERS)
