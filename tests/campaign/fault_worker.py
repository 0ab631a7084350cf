"""`python -m campaign.fault_worker OPERATION KINDS CODE FIRST EVERY FOLDER`: the n-th call fails in an operation.

Runs with the fault library loaded. Before each try a line says which it is, so that whoever started this knows where
it ended if it did not come back; a line that begins with `FAILED` says what did not hold.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import gc
import os
import shutil
import sys
import traceback
from typing import Any

import cowtree
from campaign.fault_library import FaultLibrary
from campaign.operations import (
    OPERATIONS,
    Content,
    Operation,
    content_of,
    make_sample,
    sample_options,
)

__all__ = ["Trial", "main"]

FURTHER = b"further"


class Trial:
    """One operation over copies of one sample: how it ends if nothing fails, and what must hold if something does."""

    def __init__(self, library: FaultLibrary, operation: Operation, folder: str) -> None:
        self.library = library
        self.operation = operation
        self.folder = folder
        self.path = os.path.join(folder, "database.cow")
        self.sample = os.path.join(folder, "sample")
        if not operation.missing:
            make_sample(self.sample)
        self.calls = 0
        for _ in range(3):  # what is imported or kept at first use is there then
            db = self.begin()
            self.before = content_of(db) if db is not None else self.of_sample()
            self.result = operation.run(db, self.path)
            if db is not None:
                db.close()
            with cowtree.open(self.path) as again:
                self.after = content_of(again)

    def of_sample(self) -> Content:
        if self.operation.missing:
            return {None: {}}, {}
        with cowtree.open(self.path, readonly=True) as db:
            return content_of(db)

    def begin(self) -> cowtree.Database | None:
        """A fresh copy of the sample, opened if the operation wants it so."""
        for name in os.listdir(self.folder):
            if name != "sample":
                os.unlink(os.path.join(self.folder, name))
        if not self.operation.missing:
            shutil.copy(self.sample, self.path)
        if not self.operation.opened:
            return None
        db = cowtree.open(self.path, **sample_options())
        if self.operation.before is not None:
            self.operation.before(db)
        return db

    def fail(self, kinds: int, number: int, *, for_ever: bool, code: int) -> bool:
        """Let it fail and judge; False: there was no such call."""
        db = self.begin()
        error: BaseException | None = None
        result: Any = None
        run, path, library = self.operation.run, self.path, self.library
        library.arm(kinds, number, for_ever=for_ever, code=code)
        try:
            result = run(db, path)
        except BaseException as raised:
            error = raised
        finally:
            library.disarm()
        failed = library.failed
        # A failed sync, or an allocation behind the write of a commit, leaves nothing but to open again.
        uncertain = error is not None and _is(error, cowtree.CommitUncertainError | MemoryError)
        if error is None:
            if not isinstance(result, type(None)):
                assert result == self.result, (
                    f"gave {result!r:.200} in place of {self.result!r:.200}"
                )
        else:
            assert failed, f"nothing failed, but: {error!r}"
            assert fits(error, code), f"{type(error).__name__}: {error}"
            traceback.clear_frames(error.__traceback__)
            error.__traceback__ = None
        certain = error is None
        error = result = None
        if kinds == 1 and for_ever:
            gc.collect()
        # Who lets go of a file needs a little memory: a thousandth of a second without any may keep it open.
        self.judge(db, certain=certain, uncertain=uncertain, may_hold=kinds == 1 and for_ever)
        return bool(failed)

    def judge(
        self, db: cowtree.Database | None, *, certain: bool, uncertain: bool, may_hold: bool
    ) -> None:
        """The handle, then the file opened again, show a content that is allowed, and take a commit."""
        allowed = [self.after] if certain else [self.before, self.after]
        seen: Content | None = None
        if db is not None and not db.closed:
            seen = content_of(db)
            assert seen in allowed, f"the handle shows {describe(seen, allowed)}"
            report = db.check()
            assert report.ok, report.problems
            try:
                db[FURTHER] = b"1"
                seen[0][None][FURTHER] = b"1"
            except cowtree.CommitUncertainError:
                assert uncertain, "poisoned, but no sync failed"
                seen = None
            with contextlib.suppress(*([cowtree.CommitUncertainError] if uncertain else [])):
                db.close()
        elif db is not None:
            db.close()  # again, if it could not be done before
        if not may_hold:
            self.nothing_held()
        elif self.descriptors():
            return
        if self.operation.missing and not os.path.exists(self.path):
            assert not certain
            return
        with cowtree.open(self.path, timeout=0) as again:
            found = content_of(again)
            if seen is not None:
                assert found == seen, f"reopened: {describe(found, [seen])}"
            else:
                assert found in allowed, f"reopened: {describe(found, allowed)}"
            assert again.check().ok
            again[FURTHER] = b"2"
            if os.path.exists(self.path + ".backup"):
                again.backup(self.path + ".backup", incremental=True)
            elif "backup" in os.listdir(self.folder):
                raise AssertionError("debris of a backup")
            again.compact()
            found[0][None][FURTHER] = b"2"
            assert content_of(again) == found
        left = set(os.listdir(self.folder)) - {"sample", "database.cow", "database.cow.backup"}
        assert not left, f"left behind: {left}"

    def nothing_held(self) -> None:
        """The process has the file closed: a descriptor that stayed would keep a lock."""
        if not self.descriptors():
            return
        gc.collect()
        held = self.descriptors()
        assert not held, f"still open: {held}"

    def descriptors(self) -> list[str]:
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink("/proc/self/fd/" + name)
                if target.startswith(self.path):
                    found.append(target)
        return found


def _is(error: BaseException | None, kind: Any) -> bool:
    """Is it, or one that it came of, such an error?"""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
        seen += 1
    return False


def fits(error: BaseException, code: int) -> bool:
    """Does the error say what failed?"""
    if code == errno.ENOMEM and _is(error, MemoryError | RuntimeError):
        return not isinstance(error, SystemError)  # a lock that cannot be made is a RuntimeError
    if isinstance(error, OSError) and error.errno == code:
        return True
    return isinstance(error, cowtree.Error | OSError) and (
        _is(error, OSError) or isinstance(error, cowtree.CommitUncertainError)
    )


def describe(found: Content, allowed: list[Content]) -> str:
    """In what the content differs from each allowed one."""
    words = []
    for content in allowed:
        for tree in sorted(set(found[0]) | set(content[0]), key=str):
            one, other = found[0].get(tree, {}), content[0].get(tree, {})
            differing = sorted(k for k in set(one) | set(other) if one.get(k) != other.get(k))
            if differing:
                words.append(f"{len(differing)} other entries in {tree!r} ({differing[0]!r}...)")
        if found[1] != content[1]:
            words.append(f"tags {sorted(found[1])} for {sorted(content[1])}")
        words.append("or")
    return " ".join(words[:-1])


def main() -> None:
    name, kinds, code, first, every, folder = sys.argv[1:]
    faulthandler.enable()
    library = FaultLibrary()
    sys.unraisablehook = lambda unraisable: None
    trial = Trial(library, OPERATIONS[name], folder)
    gc.disable()  # a try is the same again
    number = int(first)
    for_ever = kinds.startswith("+")
    while True:
        os.write(1, b"%d\n" % number)
        try:
            if not trial.fail(int(kinds), number, for_ever=for_ever, code=int(code)):
                break
        except BaseException as error:
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            place = traceback.extract_tb(error.__traceback__)[-1]
            os.write(
                1, f"FAILED {text} ({os.path.basename(place.filename)}:{place.lineno})\n".encode()
            )
            os._exit(3)  # what it left would be held against the next one
        number += int(every)
    os.write(1, b"done %d\n" % number)


if __name__ == "__main__":
    main()
