"""Dates, times, decimals, UUIDs and bools as keys: order, round trips, canonical bytes, what is refused."""

from __future__ import annotations

import copy
import decimal
import json
import pickle
import random
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cowtree
from cowtree import codecs

NAMES = {
    "bool": codecs.Bool,
    "date": codecs.Date,
    "datetime": codecs.DateTime,
    "decimal": codecs.Decimal,
    "time": codecs.Time,
    "uuid": codecs.Uuid,
}
zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
inside = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones)
close = st.integers(-3, 3).map(
    lambda n: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=n)
)
small = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-2000, 2000),
    st.integers(-5, 5),
)
OBJECTS: dict[Any, st.SearchStrategy[Any]] = {
    codecs.Bool: st.booleans(),
    codecs.Date: st.dates() | st.dates(date(1969, 12, 30), date(1970, 1, 3)),
    codecs.DateTime: inside | close,
    codecs.Decimal: st.decimals(allow_nan=False) | small | st.integers(-300, 300).map(Decimal),
    codecs.Time: st.times(),
    codecs.Uuid: st.uuids() | st.integers(0, 300).map(lambda number: uuid.UUID(int=number)),
}
each = pytest.mark.parametrize("codec", OBJECTS, ids=lambda codec: codec.name)


@each
def test_names_in_files_are_stable_and_found_again(codec: Any) -> None:
    assert NAMES[codec.name] is codec is codecs.by_name(codec.name)
    assert repr(codec) == f"cowtree.codecs.{codec.__reduce__()}"
    assert getattr(codecs, codec.__reduce__()) is codec
    assert pickle.loads(pickle.dumps(codec)) is copy.deepcopy(codec) is codec
    codecs.check_key_codec(codec)


@each
@given(data=st.data())
def test_sorted_bytes_are_sorted_objects(codec: Any, data: st.DataObject) -> None:
    objects = data.draw(st.lists(OBJECTS[codec], max_size=12))
    keys = sorted(codec.encode(obj) for obj in objects)
    assert [codec.decode(key) for key in keys] == sorted(objects)


@each
@given(data=st.data())
def test_equal_objects_and_no_others_are_one_key(codec: Any, data: st.DataObject) -> None:
    first, second = data.draw(OBJECTS[codec]), data.draw(OBJECTS[codec])
    assert (first == second) == (codec.encode(first) == codec.encode(second))
    assert (first < second) == (codec.encode(first) < codec.encode(second))


@each
@given(data=st.binary(max_size=20) | st.binary(min_size=4, max_size=4))
def test_decoding_takes_only_what_encoding_gives(codec: Any, data: bytes) -> None:
    try:
        obj = codec.decode(data)
    except ValueError:
        return
    assert codec.encode(obj) == data


@given(
    kind=st.sampled_from([1, 3]),
    point=st.integers(-(2**64), 2**64) | st.integers(-3, 3),
    pairs=st.binary(max_size=4) | st.lists(st.integers(1, 101), max_size=4).map(bytes),
)
def test_decimals_of_forged_parts_are_canonical_or_refused(
    kind: int, point: int, pairs: bytes
) -> None:
    data = codecs.Tuple.encode((point,)) + pairs
    if kind == 1:
        data = bytes(255 - byte for byte in data) + b"\xff"
    data = bytes([kind]) + data
    try:
        number = codecs.Decimal.decode(data)
    except ValueError:
        return
    assert codecs.Decimal.encode(number) == data


@pytest.mark.parametrize(
    ("codec", "obj", "data"),
    [
        (codecs.Bool, False, "00"),
        (codecs.Bool, True, "01"),
        (codecs.Date, date(1970, 1, 1), "80000000"),
        (codecs.Date, date(1969, 12, 31), "7fffffff"),
        (codecs.Date, date(2024, 2, 29), "80004d46"),
        (codecs.DateTime, datetime(1970, 1, 1, tzinfo=UTC), "8000000000000000"),
        (codecs.DateTime, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), "7fffffffffffffff"),
        (codecs.Time, time(0), "0000000000"),
        (codecs.Time, time(23, 59, 59, 999999), "141dd75fff"),
        (codecs.Uuid, uuid.UUID(int=1), "00" * 15 + "01"),
        (codecs.Decimal, Decimal("-Infinity"), "00"),
        (codecs.Decimal, Decimal("-12.5"), "01eafdf2ccff"),
        (codecs.Decimal, Decimal(0), "02"),
        (codecs.Decimal, Decimal("12.5"), "0315020d33"),
        (codecs.Decimal, Decimal("0.05"), "0313fe33"),
        (codecs.Decimal, Decimal("Infinity"), "04"),
    ],
)
def test_bytes_in_files_are_stable(codec: Any, obj: Any, data: str) -> None:
    assert codec.encode(obj).hex() == data
    assert codec.decode(bytes.fromhex(data)) == obj


@pytest.mark.parametrize(
    ("codec", "wrong"),
    [
        (codecs.Bool, [0, 1, "true", None]),
        (codecs.Date, [datetime(2024, 1, 1), "2024-01-01", 5, None, time(1)]),
        (codecs.DateTime, [date(2024, 1, 1), 5.0, "now", None]),
        (codecs.Time, [datetime(2024, 1, 1), "12:00", 5, None]),
        (codecs.Uuid, ["0" * 32, b"\0" * 16, 5, None]),
        (codecs.Decimal, [1.5, "1", True, None, 1j]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_another_type_is_a_type_error_that_names_it(codec: Any, wrong: list[Any]) -> None:
    for obj in wrong:
        with pytest.raises(TypeError, match=type(obj).__name__):
            codec.encode(obj)
    with pytest.raises(TypeError, match="start and stop"):
        codec.prefix(codec.decode(codec.encode(True)) if codec is codecs.Bool else None)


@pytest.mark.parametrize(
    ("codec", "obj", "reason"),
    [
        (codecs.DateTime, datetime(2024, 1, 1), "aware"),
        (codecs.DateTime, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "9999"),
        (codecs.DateTime, datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "9999"),
        (codecs.Time, time(1, tzinfo=UTC), "zone"),
        (codecs.Decimal, Decimal("NaN"), "NaN"),
        (codecs.Decimal, Decimal("-sNaN1"), "NaN"),
    ],
)
def test_value_without_a_place_in_the_order_is_a_value_error(
    codec: Any, obj: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        codec.encode(obj)


def test_a_moment_is_one_key_in_every_zone_and_comes_back_in_utc() -> None:
    moment = datetime(2024, 7, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    key = codecs.DateTime.encode(moment)
    assert key == codecs.DateTime.encode(moment.astimezone(UTC))
    assert codecs.DateTime.decode(key).isoformat() == "2024-07-01T12:30:00+00:00"
    for edge in (datetime.min, datetime.max):
        aware = edge.replace(tzinfo=UTC)
        assert codecs.DateTime.decode(codecs.DateTime.encode(aware)) == aware


class Nanoseconds(datetime):
    nanosecond = 1


def test_nanoseconds_are_not_lost_silently() -> None:
    with pytest.raises(ValueError, match="nanoseconds"):
        codecs.DateTime.encode(Nanoseconds(2024, 1, 1, tzinfo=UTC))


def test_numbers_that_are_equal_are_one_key_whatever_their_zeros() -> None:
    for texts in (["1.5", "1.50", "01.500"], ["100", "1E+2", "1.00e2"], ["0", "-0", "0E+9"]):
        assert len({codecs.Decimal.encode(Decimal(text)) for text in texts}) == 1
    assert codecs.Decimal.encode(7) == codecs.Decimal.encode(Decimal("7.0"))
    assert str(codecs.Decimal.decode(codecs.Decimal.encode(Decimal("-0.0")))) == "0"


def test_the_context_changes_nothing() -> None:
    number = Decimal("1.234567890123456789e-50")
    with decimal.localcontext() as context:
        context.prec = 3
        context.Emin = -10
        context.traps[decimal.InvalidOperation] = False
        key = codecs.Decimal.encode(number)
        assert codecs.Decimal.decode(key) == number
        with pytest.raises(ValueError):
            codecs.Decimal.decode(b"\x03" + codecs.Tuple.encode((2**63,)) + b"\x0b")


def test_decimals_of_many_digits_and_magnitudes_sort() -> None:
    rng = random.Random(7)
    numbers = [Decimal("1e999999999999999999"), Decimal("-1e-1999999999999999997")]
    for _ in range(3000):
        size = 10 ** rng.randrange(1, 60)
        numbers.append(Decimal((rng.randrange(2), tuple(map(int, str(rng.randrange(size)))), 0)))
        numbers.append(Decimal(rng.randrange(-500, 500)).scaleb(rng.randrange(-300, 300)))
    keys = sorted(map(codecs.Decimal.encode, numbers))
    assert [codecs.Decimal.decode(key) for key in keys] == sorted(numbers)


def test_trees_take_them_as_keys_and_values(db: cowtree.Database) -> None:
    prices = db.tree("prices", key=codecs.Date, value=codecs.Decimal)
    first = date(2024, 1, 1)
    prices.update((first + timedelta(days=i), Decimal(i) / 4) for i in range(366))
    assert prices.count(date(2024, 2, 1), date(2024, 3, 1)) == 29
    assert prices.floor(date(2030, 1, 1)) == (date(2024, 12, 31), Decimal("91.25"))
    assert db.tree_codecs("prices") == ("date", "decimal")
    with pytest.raises(TypeError, match="no prefix"):
        prices.keys(prefix=first)


def test_importing_codecs_imports_none_of_their_types() -> None:
    code = (
        "import sys, cowtree.codecs; print([n for n in ('decimal', '_decimal', 'uuid', 'msgpack', 'enum', 'zstandard')"
        " if n in sys.modules and n not in before])"
    )
    code = (
        "import sys, struct, hashlib, threading, cowtree, dataclasses; before = set(sys.modules); "
        + code
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("codec", "text", "shown"),
    [
        ("bool", "true", "true"),
        ("date", "2024-02-29", "2024-02-29"),
        ("datetime", "2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00+00:00"),
        ("decimal", "12.50", "12.5"),
        ("time", "12:30", "12:30:00"),
        ("uuid", "00000000000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_the_command_line_takes_and_shows_them(
    path: Path, capsysbinary: pytest.CaptureFixture[bytes], codec: str, text: str, shown: str
) -> None:
    from cowtree.cli import main

    with cowtree.open(path) as db:
        typed: Any = db.tree("t", key=NAMES[codec], value=codecs.Bytes)
        typed[NAMES[codec].decode(codec_sample(codec))] = b"sample"
    assert main(["put", str(path), "--tree", "t", text, "found"]) == 0
    assert main(["get", str(path), "--tree", "t", text]) == 0
    assert main(["scan", str(path), "--tree", "t"]) == 0
    assert shown in capsysbinary.readouterr().out.decode()
    assert main(["scan", str(path), "--tree", "t", "--json"]) == 0
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert all("key_object" in json.loads(line) for line in lines)
    assert main(["get", str(path), "--tree", "t", "nonsense"]) == 2
    assert b"Traceback" not in capsysbinary.readouterr().err


def codec_sample(codec: str) -> bytes:
    samples: dict[str, Any] = {
        "bool": False,
        "date": date(1900, 1, 1),
        "datetime": datetime(1900, 1, 1, tzinfo=UTC),
        "decimal": Decimal(-1),
        "time": time(0),
        "uuid": uuid.UUID(int=0),
    }
    return NAMES[codec].encode(samples[codec])
