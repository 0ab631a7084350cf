"""The error tree, wrong types in every method, limits, closed handles: API.md, section Errors."""

from __future__ import annotations

import contextlib
import mmap
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cowtree


class NotABuffer:
    """An object of no type that the package could know."""


WRONG_TYPES = ["text", 7, True, None, 1.5, ("a",), [1], NotABuffer()]


# The tree of errors.


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("FormatError", ()),
        ("CorruptionError", ()),
        ("ReadOnlyError", ()),
        ("ClosedError", (ValueError,)),
        ("LockTimeoutError", (TimeoutError,)),
        ("SnapshotGoneError", (LookupError,)),
        ("TransactionError", ()),
        ("CommitUncertainError", ()),
        ("CodecError", ()),
        ("DecodeError", (ValueError,)),
        ("KeyTooLargeError", (ValueError,)),
        ("ValueTooLargeError", (ValueError,)),
    ],
)
def test_errors_are_under_error_and_the_builtin_they_resemble(
    name: str, bases: tuple[type, ...]
) -> None:
    error = getattr(cowtree, name)
    assert issubclass(error, cowtree.Error)
    assert issubclass(error, bases) or not bases
    assert name in cowtree.__all__


def test_corruption_error_tells_where_and_what_and_pickles() -> None:
    error = cowtree.CorruptionError("checksum", path="a.cow", page=7, expected=1, found=2)
    for same in (error, pickle.loads(pickle.dumps(error))):
        assert (same.path, same.page, same.expected, same.found) == ("a.cow", 7, 1, 2)
        assert "a.cow" in str(same)
        assert "7" in str(same)


def test_decode_error_tells_the_tree_the_key_and_the_codec_and_pickles() -> None:
    error = cowtree.DecodeError("cut short", tree="users", key=b"\xff\0", codec="text")
    for same in (error, pickle.loads(pickle.dumps(error))):
        assert isinstance(same, cowtree.CodecError)
        assert (same.tree, same.key, same.codec) == ("users", b"\xff\0", "text")
        for part in ("'users'", repr(b"\xff\0"), "text", "cut short"):
            assert part in str(same)


def test_decode_error_needs_only_a_reason_and_shows_a_long_key_in_part() -> None:
    bare = cowtree.DecodeError("cut short")
    assert (bare.tree, bare.key, bare.codec, str(bare)) == (None, None, "", "cut short")
    long = cowtree.DecodeError("cut short", key=b"k" * 1000)
    assert long.key == b"k" * 1000
    assert "1000 bytes" in str(long) and len(str(long)) < 200


# Wrong types.


def calls_with_a_key(target: Any) -> dict[str, Callable[[Any], object]]:
    """Every method that takes a key, as a function of the key."""
    calls: dict[str, Callable[[Any], object]] = {
        "[]": lambda key: target[key],
        "get": target.get,
        "in": lambda key: key in target,
        "get_many": lambda key: target.get_many([b"k", key]),
        "floor": target.floor,
        "ceiling": target.ceiling,
        "lower": target.lower,
        "higher": target.higher,
        "rank": target.rank,
        "seek": lambda key: target.cursor().seek(key),
        "in a view": lambda key: key in target.keys(),  # noqa: SIM118 - the view is meant
    }
    if hasattr(target, "buffer"):
        calls["buffer"] = target.buffer
    if hasattr(target, "put"):
        calls |= {
            "[]=": lambda key: target.__setitem__(key, b""),
            "del": lambda key: target.__delitem__(key),
            "put": lambda key: target.put(key, b""),
            "delete": target.delete,
            "pop": target.pop,
            "pop default": lambda key: target.pop(key, None),
            "setdefault": lambda key: target.setdefault(key, b""),
            "replace": lambda key: target.replace(key, b""),
            "update": lambda key: target.update([(b"new", b""), (key, b"")]),
            "update mapping": lambda key: target.update({key if key.__hash__ else "text": b""}),
            "load": lambda key: target.load([(b"new", b""), (key, b"")]),
        }
    return calls


def calls_with_a_bound(target: Any) -> dict[str, Callable[[Any], object]]:
    """Every method that takes bounds, as a function of a bound."""
    calls: dict[str, Callable[[Any], object]] = {}
    for name in ("keys", "values", "items", "first", "last", "count"):
        method = getattr(target, name)
        for option in ("start", "stop", "prefix"):
            calls[f"{name} {option}"] = lambda bound, m=method, o=option: _use(m(**{o: bound}))
    for option in ("start", "stop", "prefix"):
        calls[f"split {option}"] = lambda bound, o=option: target.split(3, **{o: bound})
    if hasattr(target, "put"):
        for option in ("start", "stop", "prefix"):
            calls[f"delete_range {option}"] = lambda bound, o=option: target.delete_range(
                **{o: bound}
            )
    return calls


def _use(result: Any) -> object:
    """Iterate what is lazy."""
    return list(result) if hasattr(result, "__iter__") else result


def calls_with_a_value(target: Any) -> dict[str, Callable[[Any], object]]:
    """Every method that takes a value, as a function of the value."""
    return {
        "[]=": lambda value: target.__setitem__(b"k", value),
        "put": lambda value: target.put(b"k", value),
        "setdefault": lambda value: target.setdefault(b"missing", value),
        "replace": lambda value: target.replace(b"k", value),
        "update": lambda value: target.update([(b"new", b""), (b"k", value)]),
        "update mapping": lambda value: target.update({b"k": value}),
        "load": lambda value: target.load([(b"new", b""), (b"x", value)]),
    }


@pytest.fixture(
    params=["database", "tree", "snapshot", "snapshot_tree", "transaction", "transaction_tree"]
)
def target(db: cowtree.Database, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A reader or writer of each kind that holds {b"k": b"v"}."""
    kind: str = request.param
    db[b"k"] = b"v"
    db.tree("t")[b"k"] = b"v"
    if kind.startswith("transaction"):
        with db.transaction() as txn:
            yield txn.tree("t") if kind.endswith("tree") else txn
    elif kind.startswith("snapshot"):
        with db.snapshot() as snapshot:
            yield snapshot.tree("t") if kind.endswith("tree") else snapshot
    else:
        yield db.tree("t") if kind == "tree" else db
    assert dict(db) == dict(db.tree("t")) == {b"k": b"v"}
    assert db.commit_id == 2


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=lambda wrong: type(wrong).__name__)
def test_wrong_key_is_a_type_error_in_every_method(target: Any, wrong: Any) -> None:
    for name, call in calls_with_a_key(target).items():
        with pytest.raises(TypeError):
            pytest.fail(f"{name} gave {call(wrong)!r}")
        assert dict(target) == {b"k": b"v"}, name


@pytest.mark.parametrize(
    "wrong", ["text", 7, 1.5, ("a",), NotABuffer()], ids=lambda wrong: type(wrong).__name__
)
def test_wrong_bound_is_a_type_error_in_every_method(target: Any, wrong: Any) -> None:
    for name, call in calls_with_a_bound(target).items():
        with pytest.raises(TypeError):
            pytest.fail(f"{name} gave {call(wrong)!r}")
        assert dict(target) == {b"k": b"v"}, name


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=lambda wrong: type(wrong).__name__)
def test_wrong_value_is_a_type_error_in_every_method(target: Any, wrong: Any) -> None:
    if not hasattr(target, "put"):
        assert not hasattr(target, "__setitem__")
        return
    for name, call in calls_with_a_value(target).items():
        with pytest.raises(TypeError):
            pytest.fail(f"{name} gave {call(wrong)!r}")
        assert dict(target) == {b"k": b"v"}, name


@pytest.mark.parametrize(
    ("wrong", "codec"),
    [("text", "Text"), (7, "Int"), (1.5, "Float"), (("a", 1), "Tuple"), (None, "")],
)
def test_type_error_names_the_codec_to_use(target: Any, wrong: Any, codec: str) -> None:
    for name in ("[]", "get", "in", "floor"):
        with pytest.raises(TypeError, match=rf"codecs\.{codec}\w*"):
            calls_with_a_key(target)[name](wrong)
    if hasattr(target, "put"):
        for name in ("[]=", "put"):
            with pytest.raises(TypeError, match=r"codecs\.\w+"):
                calls_with_a_value(target)[name](wrong)


def test_buffer_that_is_not_contiguous_is_a_type_error(target: Any) -> None:
    strided = memoryview(b"kkkkkk")[::2]
    with pytest.raises(TypeError):
        target.get(strided)
    if hasattr(target, "put"):
        with pytest.raises(TypeError):
            target.put(b"k", strided)


@pytest.mark.parametrize("wrong", ["0", None, 1.0, b"1"])
def test_wrong_index_is_a_type_error(target: Any, wrong: Any) -> None:
    with pytest.raises(TypeError):
        target.nth(wrong)
    with pytest.raises(TypeError):
        target.nth_many([wrong])
    with pytest.raises(TypeError):
        target.keys()[wrong]
    with pytest.raises(TypeError):
        target.split(wrong)


# Limits.


def test_limits_are_at_least_what_is_promised(db: cowtree.Database) -> None:
    assert db.key_size_max >= 1000
    assert db.value_size_max >= 2 << 30


def test_value_that_is_too_large_changes_nothing(db: cowtree.Database, tmp_path: Path) -> None:
    db[b"k"] = b"v"
    size = db.value_size_max + 1
    with (tmp_path / "hole").open("w+b") as hole:  # a hole: no byte of it is stored or read
        hole.truncate(size)
        huge = mmap.mmap(hole.fileno(), size, access=mmap.ACCESS_READ)
    with db.transaction() as txn:
        writes: list[Callable[[], object]] = [
            lambda: txn.put(b"k", huge),
            lambda: txn.update([(b"new", b""), (b"k", huge)]),
            lambda: txn.setdefault(b"new", huge),
            lambda: txn.replace(b"k", huge),
        ]
        for write in writes:
            with pytest.raises(cowtree.ValueTooLargeError) as caught:
                write()
            assert isinstance(caught.value, ValueError)
        assert dict(txn) == {b"k": b"v"}
    assert db.commit_id == 1


# Closed handles.


def every_call(db: Any) -> dict[str, Callable[[], object]]:
    """Every method of a database or snapshot that must refuse a closed handle."""
    calls: dict[str, Callable[[], object]] = {
        name: lambda call=call: call(b"k") for name, call in calls_with_a_key(db).items()
    }
    calls |= {name: lambda call=call: call(b"k") for name, call in calls_with_a_bound(db).items()}
    calls |= {
        "len": lambda: len(db),
        "bool": lambda: bool(db),
        "iter": lambda: list(db),
        "reversed": lambda: list(reversed(db)),
        "items": lambda: list(db.items()),
        "len of a view": lambda: len(db.keys()),
        "==": lambda: db == {},
        "nth": lambda: db.nth(0),
        "nth_many": lambda: db.nth_many([0]),
        "trees": db.trees,
        "tree": lambda: db.tree("t").get(b"k"),
        "len of a tree": lambda: len(db.tree("t")),
        "cursor": lambda: db.cursor().first(),
    }
    if hasattr(db, "put"):
        calls |= {
            "transaction": db.transaction,
            "snapshot": db.snapshot,
            "popitem": db.popitem,
            "clear": db.clear,
            "sync": db.sync,
            "check": db.check,
            "stats": db.stats,
            "write to a tree": lambda: db.tree("t").put(b"k", b"v"),
        }
    return calls


def test_every_method_of_a_closed_database_is_a_closed_error(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db[b"k"] = b"v"
    tree = db.tree("t")
    db.close()
    for name, call in every_call(db).items():
        with pytest.raises(cowtree.ClosedError):
            pytest.fail(f"{name} gave {call()!r}")
    for call in (lambda: tree.get(b"k"), lambda: tree.put(b"k", b""), lambda: len(tree)):
        with pytest.raises(cowtree.ClosedError):
            call()
    with pytest.raises(ValueError):
        db.get(b"k")
    with cowtree.open(path) as db:
        assert dict(db) == {b"k": b"v"}


def test_every_method_of_a_closed_memory_database_is_a_closed_error() -> None:
    db = cowtree.open(":memory:")
    db[b"k"] = b"v"
    db.close()
    for name, call in every_call(db).items():
        with pytest.raises(cowtree.ClosedError):
            pytest.fail(f"{name} gave {call()!r}")


def test_every_method_of_a_closed_snapshot_is_a_closed_error(db: cowtree.Database) -> None:
    db[b"k"] = b"v"
    snapshot = db.snapshot()
    snapshot.close()
    for name, call in every_call(snapshot).items():
        with pytest.raises(cowtree.ClosedError):
            pytest.fail(f"{name} gave {call()!r}")
    assert dict(db) == {b"k": b"v"}


def test_with_on_a_closed_database_is_a_closed_error(path: Path) -> None:
    db = cowtree.open(path)
    db.close()
    with pytest.raises(cowtree.ClosedError), db:
        pass


@pytest.mark.parametrize("begin", [iter, reversed, lambda d: iter(d.items())])
def test_iteration_over_a_database_never_ends_early_at_close(
    path: Path, begin: Callable[[Any], Any]
) -> None:
    db = cowtree.open(path, sync=False)
    db.update({b"%05d" % i: b"v" * 100 for i in range(3000)})
    iterator = begin(db)
    next(iterator)
    db.close()
    count = 1
    try:
        for _ in iterator:
            count += 1
    except cowtree.ClosedError:
        return
    assert count == 3000


def test_repr_never_fails(path: Path) -> None:
    db = cowtree.open(path, sync=False)
    db[b"\xff\0"] = b"v" * 10_000
    txn, snapshot = db.transaction(), db.snapshot()
    handles: list[Any] = [db, txn, snapshot, db.tree("\u00fc"), txn.tree("t"), snapshot.tree("t")]
    for handle in list(handles):
        cursor = handle.cursor()
        handles += [cursor, handle.keys(), handle.values(b"a", reverse=True), handle.items()]
        handles += [iter(handle), reversed(handle), iter(handle.items())]
    handles += [txn.savepoint(), db.stats(), db.check()]
    for state in ("open", "ended", "closed"):
        for handle in handles:
            assert isinstance(repr(handle), str), state
            assert isinstance(str(handle), str), state
        if state == "open":
            txn.rollback()
            snapshot.close()
        elif state == "ended":
            db.close()
    assert "test.cow" in repr(db)


def test_database_that_was_never_opened_is_harmless(path: Path) -> None:
    """Bypassing the constructor gives errors, not a crash."""
    for kind in (cowtree.Database, cowtree.Snapshot, cowtree.Transaction):
        try:
            empty: Any = kind.__new__(kind)
        except TypeError:
            continue
        with contextlib.suppress(Exception):
            repr(empty)
        for call in (lambda e=empty: e.get(b"k"), lambda e=empty: len(e), lambda e=empty: list(e)):
            with pytest.raises(Exception):  # noqa: B017 - any exception, but an exception
                call()
