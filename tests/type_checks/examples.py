"""Type-checked, never run: what mypy and pyright must infer, and (with `type: ignore`) refuse."""

from __future__ import annotations

import decimal
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, assert_type
from uuid import uuid4

import cowtree
from cowtree import Change, Commit, Database, Reader, Snapshot, Transaction, Tree, aio, dbm
from cowtree.codecs import (
    Bool,
    Date,
    DateTime,
    Decimal,
    Int,
    Json,
    KeyCodec,
    MsgPack,
    Text,
    Time,
    Uuid,
    Zstd,
)


@dataclass
class Person:
    """A value."""

    name: str


def bytes_in_and_out(db: Database) -> None:
    assert_type(db[b"k"], bytes)
    assert_type(db.get(b"k"), bytes | None)
    assert_type(db.get(b"k", b"d"), bytes)
    assert_type(db.get(bytearray(b"k"), 5), bytes | int)
    assert_type(db.get_many([b"k", memoryview(b"l")]), list[bytes | None])
    assert_type(db.first(), tuple[bytes, bytes] | None)
    assert_type(list(db), list[bytes])
    db[memoryview(b"k")] = bytearray(b"v")
    db["k"] = b"v"  # type: ignore[index]
    db[b"k"] = 5  # type: ignore[assignment]
    mapping: MutableMapping[bytes, bytes] = db
    tree: Tree[bytes, bytes] = db
    del mapping, tree


def typed(db: Database) -> None:
    users = db.tree("users", key=Text, value=MsgPack)
    assert_type(users, Tree[str, Any])
    counts = db.tree("counts", key=Text, value=Int)
    assert_type(counts, Tree[str, int])
    assert_type(counts["k"], int)
    assert_type(counts.get("k"), int | None)
    assert_type(counts.first("a", prefix="b"), tuple[str, int] | None)
    assert_type(list(counts.items()), list[tuple[str, int]])
    assert_type(counts.nth(0), tuple[str, int])
    assert_type(counts.split(3), list[str])
    assert_type(counts.pop("k"), int)
    assert_type(counts.pop("k", None), int | None)
    assert_type(counts.diff(0), Iterator[Change[str, int]])
    assert_type(counts.cursor().key, str)
    counts["k"] = 5
    counts.update({"k": 5})
    counts.update([("k", 5)])
    assert_type(counts.put("k", 5, expect=None), bool)
    counts[b"k"] = 5  # type: ignore[index]
    counts["k"] = "5"  # type: ignore[assignment]
    mapping: MutableMapping[str, int] = counts
    del mapping
    keyed = db.tree("keyed", key=Int)
    assert_type(keyed[5], bytes)
    keyed[5] = bytearray(b"v")
    db.tree("wrong", key=Json)  # type: ignore[call-overload]
    codec: KeyCodec[str] = Text
    del codec


def read_only(snapshot: Snapshot) -> None:
    counts = snapshot.tree("counts", key=Text, value=Int)
    assert_type(counts["k"], int)
    mapping: Mapping[str, int] = counts
    reader: Reader[str, int] = counts
    del mapping, reader
    counts["k"] = 5  # type: ignore[index]
    snapshot[b"k"] = b"v"  # type: ignore[index]


def history(db: Database, txn: Transaction) -> None:
    assert_type(list(db.history()), list[Commit])
    assert_type(db.snapshot("tag").time, datetime)
    assert_type(db.diff(1, datetime.now()), Iterator[Change[bytes, bytes]])
    assert_type(db.restore(db.snapshot()), int)
    assert_type(txn.tree("counts", key=Text, value=Int), Tree[str, int])
    assert_type(txn.commit_id, int | None)
    feed = db.changes(0)
    assert_type(feed.position, int)
    for change in feed:
        assert_type(change.key, bytes)
    db.snapshot(1.5)  # type: ignore[arg-type]
    assert_type(cowtree.open("x"), Database)


def more_codecs(db: Database) -> None:
    by_day = db.tree("by day", key=Date, value=Decimal)
    assert_type(by_day, Tree[date, decimal.Decimal])
    assert_type(by_day.first(), tuple[date, decimal.Decimal] | None)
    by_day[date(2026, 1, 2)] = decimal.Decimal("1.5")
    by_day["2026-01-02"] = decimal.Decimal(1)  # type: ignore[index]
    moments = db.tree("moments", key=DateTime, value=Zstd(Json))
    assert_type(list(moments.keys()), list[datetime])
    assert_type(db.tree("times", key=Time)[time(1)], bytes)
    assert_type(db.tree("ids", key=Uuid, value=Bool)[uuid4()], bool)
    people = db.tree("people", key=Text, value=MsgPack.of(Person))
    assert_type(people["ada"], Person)
    people["ada"] = Person("Ada")
    people["ada"] = "Ada"  # type: ignore[assignment]
    assert_type(db.tree("packed", value=Zstd(Text))[b"k"], str)


async def awaited() -> None:
    async with await aio.open("people.cow") as db:
        assert_type(db, aio.Database)
        assert_type(db[b"k"], bytes)
        assert_type(await db.put(b"k", b"v"), bool)
        assert_type(await db.wait(0), int | None)
        async with db.transaction() as txn:
            assert_type(txn, Transaction)
        async for change in db.changes(0):
            assert_type(change, Change[bytes, bytes])
        counts = db.tree("counts", key=Text, value=Int)
        assert_type(counts, aio.Tree[str, int])
        assert_type(counts["k"], int)
        await counts.put("k", "v")  # type: ignore[arg-type]
        await db.put("k", b"v")  # type: ignore[arg-type]


def like_dbm() -> None:
    with dbm.open("people", "c") as file:
        file["ada"] = "1815"
        assert_type(file["ada"], bytes)
