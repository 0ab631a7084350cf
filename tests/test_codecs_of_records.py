"""Dataclasses as values: what comes back, what is refused, what a class may become."""

from __future__ import annotations

import dataclasses
import enum
import pickle
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, NewType, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cowtree
from cowtree import codecs
from cowtree.codecs import MsgPack, Text

UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "r"
    BLUE = 2


@dataclass
class Place:
    city: str
    position: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Everything:
    number: int
    share: float
    text: str
    data: bytes
    flag: bool
    nothing: None
    moment: datetime
    day: date
    price: Decimal
    identity: uuid.UUID
    colour: Colour
    places: list[Place]
    by_name: dict[str, Place]
    row: tuple[int, ...]
    either: int | str
    maybe: Optional[Place]  # noqa: UP045 - the older spelling is taken, too
    level: Literal["low", 3]
    user: UserId
    anything: Any
    parent: Everything | None = None
    tags: list[str] = field(default_factory=list)
    constant: ClassVar[int] = 5
    size: int = field(init=False, default=7)


numbers = st.integers(-(2**63), 2**63 - 1)
places = st.builds(Place, st.text(), st.tuples(st.floats(allow_nan=False), st.floats(-1, 1)))
records = st.builds(
    Everything,
    numbers,
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.booleans(),
    st.none(),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.sampled_from(Colour),
    st.lists(places, max_size=3),
    st.dictionaries(st.text(max_size=3), places, max_size=3),
    st.lists(numbers, max_size=3).map(tuple),
    numbers | st.text(),
    st.none() | places,
    st.sampled_from(["low", 3]),
    numbers.map(UserId),
    st.lists(numbers | st.text(), max_size=3),
)


def sample(**changes: Any) -> Everything:
    made = Everything(
        1, 0.5, "a", b"b", True, None, datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1),
        Decimal("1.50"), uuid.UUID(int=1), Colour.RED, [Place("Rome")], {"x": Place("Oslo")},
        (1, 2), "either", None, 3, UserId(5), {"any": [1]},
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


@given(record=records, parent=st.none() | records)
def test_record_comes_back(record: Everything, parent: Everything | None) -> None:
    codec = MsgPack.of(Everything)
    record = dataclasses.replace(record, parent=parent, tags=["t"])
    back = codec.decode(codec.encode(record))
    assert back == record and type(back) is Everything


def test_a_record_is_a_plain_map_that_other_programs_read() -> None:
    record = Place("Rome", (1.0, 2.0))
    data = MsgPack.of(Place).encode(record)
    assert MsgPack.decode(data) == {"city": "Rome", "position": [1.0, 2.0]}
    stored = MsgPack.decode(MsgPack.of(Everything).encode(sample()))
    assert stored["colour"] == "r" and stored["price"] == "1.50" and stored["day"] == "2024-01-01"
    assert "constant" not in stored and "size" not in stored


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"number": "1"}, r"Everything\.number: takes int, not str"),
        ({"number": True}, "int, not bool"),
        ({"text": b"a"}, "str, not bytes"),
        ({"moment": date(2024, 1, 1)}, "datetime, not date"),
        ({"day": datetime(2024, 1, 1)}, "date, not datetime"),
        ({"colour": "r"}, "Colour, not str"),
        ({"places": (Place("a"),)}, "list, not tuple"),
        ({"places": [Place("a"), Place(5)]}, r"Everything\.places: Place\.city: takes str"),  # type: ignore[arg-type]
        ({"places": [sample]}, "Place, not function"),
        ({"row": [1]}, "tuple, not list"),
        ({"either": 1.5}, "int or str, not float"),
        ({"anything": {1, 2}}, "not set"),
        ({"moment": datetime(2024, 1, 1)}, "aware"),
    ],
)
def test_field_of_another_type_is_a_type_error_that_names_it(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        MsgPack.of(Everything).encode(sample(**changes))


def test_value_that_a_field_does_not_have_is_a_value_error() -> None:
    codec = MsgPack.of(Everything)
    for changes in ({"level": "high"}, {"level": True}, {"number": 2**64}):
        with pytest.raises(ValueError):
            codec.encode(sample(**changes))
    with pytest.raises(ValueError, match="2 elements, not 3"):
        MsgPack.of(Place).encode(Place("a", (1.0, 2.0, 3.0)))  # type: ignore[arg-type]


def test_instance_of_another_class_or_of_a_subclass_is_refused() -> None:
    @dataclass
    class Capital(Place):
        country: str = ""

    for wrong in (Capital("Rome"), {"city": "Rome"}, None):
        with pytest.raises(TypeError, match="takes Place"):
            MsgPack.of(Place).encode(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {},
        {"city": 5},
        {"city": "a", "position": [1.0]},
        {"city": "a", "position": "no"},
        {"city": "a", 5: 5},
        {"city": "a", "country": "IT"},
    ],
)
def test_what_is_no_record_of_the_class_is_a_value_error(stored: Any) -> None:
    with pytest.raises(ValueError):
        MsgPack.of(Place).decode(MsgPack.encode(stored))


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("day", "2024-13-01"),
        ("day", 5),
        ("price", "1,5"),
        ("identity", b"short"),
        ("identity", 5),
        ("colour", "green"),
        ("colour", [1]),
        ("level", "high"),
        ("parent", {}),
        ("maybe", {"city": None}),
    ],
)
def test_forged_field_is_a_value_error(name: str, stored: Any) -> None:
    codec = MsgPack.of(Everything)
    members = MsgPack.decode(codec.encode(sample()))
    with pytest.raises(ValueError, match=name):
        codec.decode(MsgPack.encode(members | {name: stored}))


def test_a_class_may_get_fields_with_defaults_and_drop_others_only_when_told() -> None:
    old = MsgPack.encode({"city": "Rome", "country": "IT"})
    with pytest.raises(ValueError, match="Place has no field 'country'"):
        MsgPack.of(Place).decode(old)
    assert MsgPack.of(Place, unknown="drop").decode(old) == Place("Rome", (0.0, 0.0))
    with pytest.raises(ValueError, match="a Place without city"):
        MsgPack.of(Place).decode(MsgPack.encode({"position": [1.0, 2.0]}))


def test_what_the_class_refuses_is_a_value_error() -> None:
    @dataclass
    class Positive:
        number: int

        def __post_init__(self) -> None:
            if self.number <= 0:
                raise LookupError("not positive")

    codec = MsgPack.of(Positive)
    assert codec.decode(codec.encode(Positive(5))) == Positive(5)
    with pytest.raises(ValueError, match="not positive"):
        codec.decode(MsgPack.encode({"number": -5}))


def test_classes_that_are_not_stored_are_refused_at_once() -> None:
    @dataclass
    class WithSet:
        members: set[int]

    @dataclass
    class Ambiguous:
        one: Place | list[int]

    for wrong in (WithSet, Ambiguous):
        with pytest.raises(TypeError, match=r"members|one"):
            MsgPack.of(wrong)
    for wrong in (int, Colour, Place("a"), "Place"):
        with pytest.raises(TypeError, match="dataclass"):
            MsgPack.of(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="255"):
        MsgPack.of(Place, name="x" * 250)
    with pytest.raises(ValueError, match="unknown"):
        MsgPack.of(Place, unknown="keep")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="empty"):
        MsgPack.of(Place, name="")


def test_deep_records_are_errors_and_no_crash() -> None:
    @dataclass
    class Chain:
        next: Any

    codec = MsgPack.of(Chain)
    deep = MsgPack.of(Everything)
    record = sample()
    for _ in range(3000):
        record = sample(parent=record)
    with pytest.raises(ValueError):
        deep.encode(record)
    with pytest.raises(ValueError):
        codec.decode(b"\x81\xa4next" * 5000 + b"\xc0")


def test_a_tree_of_records_knows_its_class_and_reads_as_maps_without_it(
    db: cowtree.Database,
) -> None:
    users = db.tree("places", key=Text, value=MsgPack.of(Place))
    users["a"] = Place("Rome")
    assert users["a"].city == "Rome"
    assert users.put("a", Place("Oslo"), expect=Place("Rome"))
    assert db.tree_codecs("places") == ("text", "msgpack/Place")
    for wrong in (MsgPack, MsgPack.of(Everything)):
        with pytest.raises(cowtree.CodecError):
            db.tree("places", value=wrong)
    renamed = MsgPack.of(dataclasses.make_dataclass("Town", [("city", str)]), name="Place")
    with pytest.raises(cowtree.DecodeError, match="position") as caught:
        db.tree("places", key=Text, value=renamed)["a"]
    assert (caught.value.tree, caught.value.key) == ("places", b"a")
    known = codecs.by_name("msgpack/Place")
    assert db.tree("places", key=Text, value=known)["a"] == {"city": "Oslo", "position": [0.0, 0.0]}


def test_codec_and_its_tree_pickle(db: cowtree.Database) -> None:
    tree: Any = db.tree("places", key=Text, value=MsgPack.of(Place, unknown="drop"))
    tree["a"] = Place("Rome")
    again = pickle.loads(pickle.dumps(tree))
    assert again["a"] == Place("Rome")
    codec = pickle.loads(pickle.dumps(MsgPack.of(Place, name="P", unknown="drop")))
    assert (codec.name, codec.unknown, codec.cls) == ("msgpack/P", "drop", Place)
    assert repr(codec) == "cowtree.codecs.MsgPack.of(Place)"
