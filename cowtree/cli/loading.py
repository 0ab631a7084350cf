"""Storing what a stream of entries says, and giving such a stream of what is stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import cowtree
from cowtree.cli.display import entries_text
from cowtree.cli.failures import CommandError
from cowtree.cli.json_lines import Declaration, Entry
from cowtree.cli.opening import Source
from cowtree.cli.progress import Progress
from cowtree.codecs.recorded import RecordedCodec
from cowtree.writer import Writer

__all__ = ["Loader", "Step", "steps_of"]

Step = Entry | Declaration
_ByteTree = Writer[bytes, bytes, Any, Any]


def steps_of(sources: Iterable[Source]) -> Iterator[Step]:
    """The entries of trees in order; what a typed or empty tree is stands before its own."""
    for source in sources:
        tree, name = source.tree, source.name
        if (
            source.key_codec
            or source.value_codec
            or (name is not None and source.exists and not tree)
        ):
            yield Declaration(name, source.key_codec, source.value_codec)
        for key, value in tree.items():
            yield Entry(name, key, value)


class Loader:
    """Stores what a stream of entries and declarations says, in one transaction or one for each batch."""

    def __init__(
        self,
        db: cowtree.Database,
        progress: Progress,
        *,
        batch: int | None = None,
        total: int | None = None,
        where: Callable[[], str],
    ) -> None:
        """`where` names, in a message, what was read last; `total` is the number of entries, where it is known."""
        self._db = db
        self._where = where
        self._batch = batch
        self._total = total
        self._progress = progress
        self._declared: dict[str | None, Declaration] = {}
        self._entries = 0  # of the open transaction, too
        self._committed = 0

    def run(self, steps: Iterator[Step]) -> None:
        """Store everything. CommandError: which line could not be stored, and how much was."""
        try:
            for first in steps:
                more = steps if self._batch is None else itertools.islice(steps, self._batch - 1)
                with self._db.transaction() as txn:
                    self._store(txn, itertools.chain([first], more))
                self._committed = self._entries
        except (cowtree.CodecError, cowtree.KeyTooLargeError, cowtree.ValueTooLargeError) as error:
            raise CommandError(f"{self._where()}: {error}{self._kept()}") from None
        except CommandError as error:
            raise CommandError(f"{error}{self._kept()}") from None

    def _kept(self) -> str:
        return f" ({entries_text(self._committed)} before it stored)" if self._committed else ""

    def _store(self, txn: cowtree.Transaction, steps: Iterator[Step]) -> None:
        for (name, kind), group in itertools.groupby(
            steps, key=lambda step: (step.tree, type(step))
        ):
            if kind is Declaration:
                for step in group:
                    self._declare(txn, cast("Declaration", step))
            else:
                self._tree(txn, name).load(self._pairs(cast("Iterator[Entry]", group)))

    def _declare(self, txn: cowtree.Transaction, declaration: Declaration) -> None:
        """Make a tree exist and record its codecs; they are recorded by a write."""
        self._declared[declaration.tree] = declaration
        tree = self._tree(txn, declaration.tree)
        before = tree.get(b"")
        tree.put(b"", b"")
        if before is None:
            tree.delete(b"")
        else:
            tree.put(b"", before)

    def _tree(self, txn: cowtree.Transaction, name: str | None) -> _ByteTree:
        declared = self._declared.get(name)
        if declared is None:
            return txn.tree(name)
        key, value = (
            RecordedCodec(codec) if codec else None
            for codec in (declared.key_codec, declared.value_codec)
        )
        return cast("_ByteTree", cast("Any", txn).tree(name, key=key, value=value))

    def _pairs(self, entries: Iterator[Entry]) -> Iterator[tuple[bytes, bytes]]:
        for entry in entries:
            self._entries += 1
            self._progress.entries(self._entries, self._total)
            yield entry.key, entry.value
