"""Typed trees: every method through codecs, what a tree records of them, and what happens to wrong ones."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import pytest

import cowtree
from cowtree import CodecError, DecodeError
from cowtree.codecs import Bytes, Float, Int, Json, MsgPack, Pickle, Text, Tuple


def test_reads_and_writes_take_and_give_objects(db: cowtree.Database) -> None:
    tree = db.tree("t", key=Text, value=MsgPack)
    model: dict[str, Any] = {}
    rng = random.Random(1)
    for i in range(500):
        key = rng.choice(["a", "ä", "日本", "", "\U0001f600"]) + str(rng.randrange(300))
        tree[key] = model[key] = {"n": i, "l": [1, None, "x"], "f": 0.5}
    keys = sorted(model)
    assert dict(tree) == model and tree == model and len(tree) == len(model)
    assert list(tree) == keys and list(reversed(tree)) == keys[::-1]
    assert list(tree.items()) == [(key, model[key]) for key in keys]
    assert list(tree.values(reverse=True)) == [model[key] for key in reversed(keys)]
    assert list(tree.keys("b", "日")) == [key for key in keys if "b" <= key < "日"]
    assert list(tree.keys(prefix="ä1")) == [key for key in keys if key.startswith("ä1")]
    assert list(tree.keys("ä15", prefix="ä1", inclusive=(False, False))) == [
        key for key in keys if key.startswith("ä1") and key > "ä15"
    ]
    assert tree.count(prefix="ä") == sum(key.startswith("ä") for key in keys)
    key = keys[10]
    assert tree[key] == tree.get(key) == model[key] and key in tree and "no" not in tree
    assert tree.get("no") is None and tree.get("no", 5) == 5
    assert tree.get_many([key, "no"], 7) == [model[key], 7]
    assert tree.first() == (keys[0], model[keys[0]]) and tree.last() == (keys[-1], model[keys[-1]])
    assert tree.floor(key) == tree.ceiling(key) == (key, model[key])
    assert tree.lower(key) == (keys[9], model[keys[9]])
    assert tree.higher(key) == (keys[11], model[keys[11]])
    assert tree.lower(keys[0]) is None
    assert tree.nth(10) == (key, model[key]) and tree.nth_many([0, -1]) == [
        tree.first(),
        tree.last(),
    ]
    assert tree.rank(key) == 10
    assert set(tree.split(4)) <= set(keys) and len(tree.split(4)) == 3
    assert tree.buffer(key) == MsgPack.encode(model[key])
    view = tree.items("a", "b")
    assert (view[0], len(view)) == (next(iter(view)), tree.count("a", "b"))
    assert view[1:3] == list(view)[1:3] and view[0] in view and ("no", 1) not in view
    assert tree.keys() & {key, "no"} == {key}
    assert "zz" not in tree.keys("a", "b")
    cursor = tree.cursor()
    assert cursor.seek("b") and cursor.key == next(k for k in keys if k >= "b")
    assert cursor.prev() and cursor.item == (cursor.key, model[cursor.key])
    with pytest.raises(KeyError, match="no"):
        tree["no"]


def test_each_write_method(db: cowtree.Database) -> None:
    tree = db.tree("n", key=Int, value=Int)
    assert tree.put(-5, 1) and not tree.put(-5, 2, overwrite=False)
    assert not tree.put(-5, 9, expect=2) and tree.put(-5, 9, expect=1) and tree[-5] == 9
    assert tree.put(7, 70, expect=None) and not tree.put(7, 71, expect=None)
    assert not tree.delete(7, expect=71) and tree.delete(7, expect=70)
    assert tree.replace(-5, 10) == 9 and tree.replace(8, 80) is None
    assert tree.setdefault(8, 1) == 80 and tree.setdefault(9, 90) == 90
    assert tree.pop(9) == 90 and tree.pop(9, "gone") == "gone"
    with pytest.raises(KeyError, match="9"):
        tree.pop(9)
    with pytest.raises(KeyError):
        del tree[9]
    tree.update({1: 10, 2: 20})
    tree.update([(3, 30)])
    assert list(tree.items()) == [(-5, 10), (1, 10), (2, 20), (3, 30), (8, 80)]
    assert tree.popitem() == (8, 80) and tree.popitem(last=False) == (-5, 10)
    assert tree.delete_range(2) == 2 and dict(tree) == {1: 10}
    assert tree.load(((i, i * i) for i in range(100)), batch=30) == 100
    assert tree.count(10, 20) == 10
    tree.clear()
    assert not tree
    with pytest.raises(TypeError):
        tree.keys(prefix=5)


def test_nothing_is_stored_when_an_object_cannot_be_encoded(db: cowtree.Database) -> None:
    tree = db.tree("t", key=Int, value=Int)
    tree[1] = 1
    before = db.commit_id
    for wrong in ("1", b"1", None, 1.0, True):
        for use in (
            lambda wrong=wrong: tree.__setitem__(wrong, 1),
            lambda wrong=wrong: tree.__setitem__(1, wrong),
            lambda wrong=wrong: tree.get(wrong),
            lambda wrong=wrong: wrong in tree,
            lambda wrong=wrong: tree.rank(wrong),
            lambda wrong=wrong: tree.update([(5, 5), (wrong, 6)]),
            lambda wrong=wrong: tree.delete(wrong),
        ):
            with pytest.raises(TypeError):
                use()
    assert db.commit_id == before and dict(tree) == {1: 1}


def test_a_tree_records_its_codecs_at_the_first_write(db: cowtree.Database, path: Path) -> None:
    assert not db.tree("t", key=Text, value=Json)  # reading records nothing
    db.tree("t", key=Int, value=Json)
    db.tree("t", key=Text, value=Json)["k"] = [1]
    for options in ({"key": Int}, {"value": MsgPack}, {"key": Text, "value": Pickle}):
        for handle in (db, db.snapshot()):
            with pytest.raises(CodecError, match="'t' has"):
                handle.tree("t", **options)
        with db.transaction() as txn, pytest.raises(CodecError):
            txn.tree("t", **options)
    assert db.tree_codecs("t") == db.snapshot().tree_codecs("t") == ("text", "json")
    assert db.tree_codecs(None) == db.tree_codecs("missing") == ("", "")
    assert db.tree("t")[b"k"] == b"[1]"
    assert db.tree("t", key=Text)["k"] == b"[1]" and db.tree("t", value=Json)[b"k"] == [1]
    db.tree("t")[b"l"] = b"[2]"
    assert db.tree("t", key=Text, value=Json)["l"] == [2]
    db.close()
    with cowtree.open(path) as again:
        with pytest.raises(CodecError):
            again.tree("t", key=Int)
        assert dict(again.tree("t", key=Text, value=Json)) == {"k": [1], "l": [2]}


def test_a_handle_made_early_notices_other_codecs(db: cowtree.Database) -> None:
    early = db.tree("t", key=Int)
    late = db.tree("t", key=Text)
    late["k"] = b"v"
    for use in (lambda: early[5], lambda: early.__setitem__(5, b""), lambda: list(early)):
        with pytest.raises(CodecError):
            use()
    with db.transaction() as txn:
        txn.drop("t")
        txn.tree("t", key=Int)[5] = b"x"
        with pytest.raises(CodecError):
            txn.tree("t", key=Text)
    assert early[5] == b"x"
    with pytest.raises(CodecError):
        late["k"]
    early.clear()
    with pytest.raises(CodecError):
        late["k"] = b"v"


def test_codecs_of_the_default_tree(db: cowtree.Database, path: Path) -> None:
    words = db.tree(None, key=Text, value=Int)
    words["one"] = 1
    assert db.trees() == [] and db.stats().trees == 0
    assert db[b"one"] == Int.encode(1)
    with pytest.raises(CodecError, match="default tree"):
        db.tree(None, key=Int)
    db[b"two"] = Int.encode(2)
    with db.transaction() as txn:
        with txn.savepoint() as savepoint:
            txn.tree(None, key=Text)["three"] = Int.encode(3)
            savepoint.rollback()
        with pytest.raises(CodecError):
            txn.tree(None, value=Text)
        txn.tree(None, value=Int)[b"four"] = 4
    assert dict(words) == {"four": 4, "one": 1, "two": 2}
    assert db.check().ok
    db.restore(0)
    db.tree(None, key=Int)[4] = b"4"
    with pytest.raises(CodecError):
        words["one"]
    db.restore(1)
    assert dict(words) == {"one": 1}
    db.close()
    with cowtree.open(path) as again:
        assert dict(again.tree(None, key=Text, value=Int)) == {"one": 1}
        assert again.trees() == [] and again.snapshot().trees() == []
        assert again.check().ok


def test_rollbacks_forget_codecs(db: cowtree.Database) -> None:
    with db.transaction() as txn:
        with txn.savepoint() as savepoint:
            txn.tree("t", key=Text)["k"] = b"v"
            txn.tree(None, key=Text)["k"] = b"v"
            savepoint.rollback()
        txn.tree("t", key=Int)[1] = b"v"
        txn.tree(None, key=Int)[1] = b"v"
        assert not txn.tree("u", key=Text).put("k", b"v", expect=b"no")
    assert dict(db.tree("t", key=Int)) == {1: b"v"} and dict(db.tree(None, key=Int)) == {1: b"v"}
    assert db.trees() == ["t"]
    with db.transaction() as txn:
        txn.rename("t", "u")
    with pytest.raises(CodecError):
        db.tree("u", key=Text)
    db.tree("t", key=Text)["k"] = b"v"


def test_bytes_that_do_not_decode(db: cowtree.Database) -> None:
    db.tree("t")[b"\xff"] = b"v"
    db.tree("t")[b"ok"] = b"{"
    tree = db.tree("t", key=Text, value=Json)
    for use in (
        lambda: list(tree),
        lambda: tree.last(),
        lambda: tree.nth(1),
        lambda: tree.popitem(),
    ):
        with pytest.raises(DecodeError) as caught:
            use()
        assert caught.value.tree == "t" and caught.value.key == b"\xff"
    with pytest.raises(DecodeError) as caught:
        tree["ok"]
    assert caught.value.key == b"ok" and isinstance(caught.value, ValueError)
    for change in (lambda: tree.pop("ok"), lambda: tree.replace("ok", 1), tree.popitem):
        with pytest.raises(DecodeError):
            change()
    assert dict(db.tree("t")) == {b"ok": b"{", b"\xff": b"v"}, "what does not decode is not lost"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.tree, copy.key, str(copy)) == ("t", b"ok", str(caught.value))


def test_tuple_keys_and_their_prefixes(db: cowtree.Database) -> None:
    tree = db.tree("series", key=Tuple, value=Float)
    for name in ("a", "ab", "b"):
        for i in range(-2, 3):
            tree[name, i] = float(i)
    assert list(tree) == [(name, i) for name in ("a", "ab", "b") for i in range(-2, 3)]
    assert list(tree.keys(prefix=("a",))) == [("a", i) for i in range(-2, 3)]
    assert tree.last(prefix=("a",)) == (("a", 2), 2.0)
    assert list(tree.keys(("a", 1), ("ab", -1))) == [("a", 1), ("a", 2), ("ab", -2)]
    assert tree.delete_range(prefix=("ab",)) == 5 and len(tree) == 10


def test_differences_of_typed_trees(db: cowtree.Database) -> None:
    tree = db.tree("t", key=Text, value=Int)
    tree.update({"a": 1, "b": 2})
    tree.update({"b": 3, "c": 4})
    del tree["a"]
    expected = [("a", "removed", 1, None), ("b", "changed", 2, 3), ("c", "added", None, 4)]
    assert [(c.key, c.kind, c.old, c.new) for c in tree.diff(1)] == expected
    typed_snapshot = db.snapshot().tree("t", key=Text, value=Int)
    assert [(c.key, c.kind, c.old, c.new) for c in typed_snapshot.diff(1)] == expected
    assert [c.key for c in tree.diff(1, start="b")] == ["b", "c"]
    with db.transaction() as txn:
        typed = txn.tree("t", key=Text, value=Int)
        typed["d"] = 5
        assert [c.key for c in typed.diff(db.snapshot())] == ["d"]
        assert list(typed.items(prefix="d")) == [("d", 5)]
        for key in typed:
            typed[key] += 1
    assert dict(tree) == {"b": 4, "c": 5, "d": 6}


@pytest.mark.parametrize(
    "wrong", [Json, Pickle, MsgPack, int, "text", 5, type(Text), object()], ids=repr
)
def test_what_is_no_key_codec(db: cowtree.Database, wrong: Any) -> None:
    with pytest.raises(TypeError):
        db.tree("t", key=wrong)


def test_own_codecs(db: cowtree.Database) -> None:
    class Upper:
        name = "upper"

        def encode(self, obj: str) -> bytes:
            return obj.upper().encode()

        def decode(self, data: bytes) -> str:
            return data.decode()

    tree = db.tree("t", key=Bytes, value=Upper())
    tree[b"k"] = "text"
    assert tree[b"k"] == "TEXT"
    with pytest.raises(CodecError, match="upper"):
        db.tree("t", value=Text)
    with pytest.raises(TypeError):
        db.tree("t", value=5)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        db.tree("t", key=Upper())  # type: ignore[call-overload]


def test_typed_trees_compare_as_mappings(db: cowtree.Database) -> None:
    a = db.tree("a", key=Text, value=Json)
    b = db.tree("b", key=Text, value=MsgPack)
    a.update({"x": [1], "y": {"z": 2}})
    b.update({"x": [1], "y": {"z": 2}})
    assert a == b and a == {"x": [1], "y": {"z": 2}} and a != {"x": [1], "y": 0}
    assert db.tree("a") != db.tree("b")
    b["x"] = [2]
    assert a != b
