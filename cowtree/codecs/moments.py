"""Codecs for keys that are dates and times: Date, DateTime, Time.

    Date        4 bytes, big-endian: days since 1970-01-01, the sign bit flipped
    DateTime    8 bytes, big-endian: microseconds since 1970-01-01 00:00 UTC, the sign bit flipped
    Time        5 bytes, big-endian: microseconds since midnight

Each takes O(1).
"""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NoReturn, final

from cowtree.codecs.protocol import KeyCodec, NamedCodec

__all__ = ["Date", "DateCodec", "DateTime", "DateTimeCodec", "Time", "TimeCodec"]

_DATE_SIZE, _DATETIME_SIZE, _TIME_SIZE = 4, 8, 5
_DAY_SIGN, _MICROSECOND_SIGN = 1 << 31, 1 << 63
_SECONDS_PER_DAY = 86_400
_MICROSECONDS_PER_SECOND = 1_000_000
_MICROSECOND = timedelta(microseconds=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
# What the type has for the years 1 to 9999: an offset may lead beyond it.
_MICROSECONDS_MIN = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_MICROSECONDS_MAX = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

_day = struct.Struct(">I")
_moment = struct.Struct(">Q")


@final
class DateCodec(NamedCodec):
    """datetime.date, from the year 1 to 9999; a datetime is none."""

    __slots__ = ()
    name = "date"

    def encode(self, obj: date, /) -> bytes:
        """4 bytes. TypeError: not a date, or a datetime, whose time would be lost."""
        if type(obj) is not date and (not isinstance(obj, date) or isinstance(obj, datetime)):
            raise TypeError(f"Date takes datetime.date, not {type(obj).__name__}")
        return _day.pack(obj.toordinal() - _EPOCH_DAY + _DAY_SIGN)

    def decode(self, data: bytes, /) -> date:
        """The date. ValueError: not 4 bytes, or not of the years 1 to 9999."""
        _check_size(data, _DATE_SIZE, "a date")
        day: int = _day.unpack(data)[0]
        return date.fromordinal(day - _DAY_SIGN + _EPOCH_DAY)

    def prefix(self, obj: date, /) -> tuple[bytes, bytes | None]:
        """TypeError: no date begins with another."""
        _refuse_prefix("date")


@final
class DateTimeCodec(NamedCodec):
    """Aware datetime.datetime, in the order of moments; it comes back in UTC, equal to what was put.

    The same moment in two time zones is one key.
    """

    __slots__ = ()
    name = "datetime"

    def encode(self, obj: datetime, /) -> bytes:
        """8 bytes.

        Raises:
            TypeError: not a datetime.
            ValueError: naive: without a time zone it names no moment. Or in UTC not of the years 1 to 9999, or with
                nanoseconds, as other libraries' subclasses have them.
        """
        if not isinstance(obj, datetime):
            raise TypeError(f"DateTime takes datetime.datetime, not {type(obj).__name__}")
        if obj.utcoffset() is None:
            raise ValueError(
                "DateTime takes an aware datetime: without a time zone it names no moment"
            )
        nanoseconds: int = 0 if type(obj) is datetime else getattr(obj, "nanosecond", 0)
        if nanoseconds:
            raise ValueError("DateTime takes microseconds: nanoseconds would be lost")
        since = obj - _EPOCH
        microseconds = (
            since.days * _SECONDS_PER_DAY + since.seconds
        ) * _MICROSECONDS_PER_SECOND + since.microseconds
        if not _MICROSECONDS_MIN <= microseconds <= _MICROSECONDS_MAX:
            raise ValueError("DateTime takes the years 1 to 9999 of UTC")
        return _moment.pack(microseconds + _MICROSECOND_SIGN)

    def decode(self, data: bytes, /) -> datetime:
        """The datetime, in UTC. ValueError: not 8 bytes, or not of the years 1 to 9999."""
        _check_size(data, _DATETIME_SIZE, "a datetime")
        microseconds: int = _moment.unpack(data)[0] - _MICROSECOND_SIGN
        if not _MICROSECONDS_MIN <= microseconds <= _MICROSECONDS_MAX:
            raise ValueError("a datetime is of the years 1 to 9999")
        return _EPOCH + timedelta(microseconds=microseconds)

    def prefix(self, obj: datetime, /) -> tuple[bytes, bytes | None]:
        """TypeError: no datetime begins with another."""
        _refuse_prefix("datetime")


@final
class TimeCodec(NamedCodec):
    """datetime.time of a day, naive: times of day in different zones have no order without a date."""

    __slots__ = ()
    name = "time"

    def encode(self, obj: time, /) -> bytes:
        """5 bytes. TypeError: not a time; ValueError: with a time zone."""
        if not isinstance(obj, time):
            raise TypeError(f"Time takes datetime.time, not {type(obj).__name__}")
        if obj.tzinfo is not None:
            raise ValueError("Time takes a time without a time zone; a moment is a DateTime")
        seconds = (obj.hour * 60 + obj.minute) * 60 + obj.second
        return (seconds * _MICROSECONDS_PER_SECOND + obj.microsecond).to_bytes(_TIME_SIZE, "big")

    def decode(self, data: bytes, /) -> time:
        """The time. ValueError: not 5 bytes, or beyond a day."""
        _check_size(data, _TIME_SIZE, "a time")
        seconds, microsecond = divmod(int.from_bytes(data, "big"), _MICROSECONDS_PER_SECOND)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        return time(hour, minute, second, microsecond)

    def prefix(self, obj: time, /) -> tuple[bytes, bytes | None]:
        """TypeError: no time begins with another."""
        _refuse_prefix("time")


def _check_size(data: bytes, size: int, what: str) -> None:
    if len(data) != size:
        raise ValueError(f"{what} has {size} bytes, not {len(data)}")


def _refuse_prefix(what: str) -> NoReturn:
    raise TypeError(f"a {what} is no prefix: give start and stop")


Date: Final[KeyCodec[date]] = DateCodec()
"""datetime.date."""

DateTime: Final[KeyCodec[datetime]] = DateTimeCodec()
"""Aware datetime.datetime, as a moment of UTC, to the microsecond."""

Time: Final[KeyCodec[time]] = TimeCodec()
"""datetime.time of a day, without a time zone."""
