# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Transactions: see `transaction.pxd`.

    transaction() ── reads and writes, savepoints ──> commit | rollback | leaving `with` | garbage collection
"""

import warnings
import weakref
from collections.abc import MutableMapping

from libc.stdint cimport uint64_t

from cowtree.differences cimport changed_names, source_changes, tree_source
from cowtree.commit_state cimport CommitState
from cowtree.layout cimport key_size_max
from cowtree.snapshot cimport state_at
from cowtree.session cimport Session
from cowtree.session_trees cimport WriteTree
from cowtree.storage.file_lock cimport fork_generation
from cowtree.tree.cursor cimport MODE_KEYS, range_iterator
from cowtree.tree.view cimport TreeView
from cowtree.tree_codecs cimport make_codecs, text_of
from cowtree.writer cimport Writer

from cowtree import registry
from cowtree.catalogue import check_tag_name, tag_key
from cowtree.errors import TransactionError
from cowtree.options import ALL, NOTE_SIZE_MAX
from cowtree.snapshot import check_name

MutableMapping.register(Writer)


cdef list still_alive(list known):
    """Those of the weak references that are not dead, in a new list: who goes through the old one misses none."""
    cdef list alive = []
    for reference in known:
        if reference() is not None:
            alive.append(reference)
    return alive


cdef bytes check_note(object note):
    """The bytes that are kept with a commit."""
    if not isinstance(note, (bytes, bytearray, memoryview)):
        raise TypeError(f"a note is bytes, not {type(note).__name__}")
    if len(note) > NOTE_SIZE_MAX:
        raise ValueError(f"a note has at most {NOTE_SIZE_MAX} bytes, not {len(note)}")
    return bytes(note)


cdef Transaction make_transaction(Session session, bint durable, bytes note, list known):
    """A transaction over the session, which is rolled back if there is no memory for one; `known`: those of its handle."""
    cdef Transaction transaction
    try:
        transaction = Transaction.__new__(Transaction)
        transaction.session = session
        transaction.durable = durable
        transaction.note = note
        transaction.changing = True
        known.append(weakref.ref(transaction))
        # It keeps the file open, whatever becomes of the handle that it was begun with.
        registry.hold(session.engine)
        transaction.holds_engine = True
    except BaseException:
        session.rollback()
        raise
    return transaction


cdef class Transaction(Writer):
    """One writer's changes: all of them become a commit, or none.

    Begun by `Database.transaction`; bound to no thread; its calls are serialised. It ends by `commit`, `rollback`,
    leaving `with`, or when it is collected (a rollback and a ResourceWarning); after that TransactionError.
    """

    def __init__(self):
        raise TypeError("transactions are made by Database.transaction()")

    cdef Session enter(self):
        self.session.check()
        return self.session

    cdef object pin(self, TreeView* view):
        self.session.check()
        return self.session.default_tree.pin(view)

    cdef uint64_t version(self) noexcept:
        return self.session.version()

    cdef int check_open(self) except -1:
        return self.session.check()

    cdef object source_path(self):
        return self.session.engine.path

    @property
    def commit_id(self):
        """The commit's id once it is made, else None."""
        return self.committed

    def commit(self):
        """Make the changes a commit and end; its id, or that of the commit it stood on if nothing changed.

        Durable when it returns, unless `sync=False`. Raises OSError (nothing happened, the transaction is rolled
        back) or CommitUncertainError (a sync failed).
        """
        self.session.check()
        try:
            self.committed = self.session.commit(self.durable, self.note)
        finally:
            self.let_go()
        return self.committed

    cdef int let_go(self) except -1:
        """It has ended: one handle of the engine less."""
        if self.holds_engine and not self.session.active:
            self.release_engine()
        return 0

    cdef int release_engine(self) except -1:
        """Once; again if memory was too short for it."""
        self.holds_engine = False
        try:
            registry.release(self.session.engine)
        except MemoryError:
            self.holds_engine = not self.session.engine.closed
            raise
        return 0

    cdef int end_with_handle(self) except -1:
        """The handle that it was begun with is being closed: roll back; a commit under way goes on, and is waited for."""
        if self.session.active and not self.session.busy:
            self.session.rollback()
        if self.holds_engine:
            self.release_engine()
        return 0

    cdef int undo(self) except -1:
        try:
            self.session.rollback()
        finally:
            self.let_go()
        return 0

    def rollback(self):
        """Undo everything and end. TransactionError if it has ended."""
        if not self.session.active or self.session.busy:
            self.session.check()
        self.undo()

    def savepoint(self):
        """A point to come back to: `with txn.savepoint() as sp`. Nests."""
        cdef Savepoint savepoint = Savepoint.__new__(Savepoint)
        savepoint.owner = self
        savepoint.serial = self.session.open_savepoint()
        savepoint.open = True
        return savepoint

    def tree(self, name, *, key=None, value=None):
        """A named tree of this transaction (None: the default tree); it exists from its first write.

        `key`, `value`: codecs, as in `Database.tree`.
        """
        cdef TransactionTree tree = TransactionTree.__new__(TransactionTree)
        check_name(name)
        self.session.check()
        if name is not None:
            self.session.tree_named(name)
        tree.owner = self
        tree.name = name
        tree.changing = True
        tree.codecs = make_codecs(name, key, value)
        if tree.codecs is not None:
            self.session.agree_codecs(tree.named(self.session), tree.codecs)
        return tree

    def trees(self):
        """Names of the trees as this transaction sees them, sorted by their UTF-8 bytes."""
        self.session.check()
        names = {
            text_of(key[1:])
            for key in range_iterator(self.session.catalogue, MODE_KEYS, b"\x01", b"\x02", True, False, False)
        }
        for name, tree in self.session.trees.items():
            if (<WriteTree>tree).dropped:
                names.discard(name)
            elif (<WriteTree>tree).touched:
                names.add(name)
        return sorted(names, key=str.encode)

    def drop(self, name):
        """Take a named tree out with all its entries; True if it was there. Whole subtrees are cut unvisited."""
        check_name(name)
        if name is None:
            raise TypeError("the default tree cannot be dropped; clear() empties it")
        return self.session.drop(name)

    def rename(self, old, new):
        """Give a named tree another name; KeyError if there is no `old`, ValueError if there is a `new`."""
        for name in (old, new):
            check_name(name)
            if name is None:
                raise TypeError("the default tree has no name")
        self.session.rename(old, new)

    def tag(self, name, *, move=False):
        """Name the commit that this transaction becomes (the one it stands on, if it changes no entry).

        ValueError if the name is taken, unless `move=True`.
        """
        cdef bytes key
        check_tag_name(name)
        self.session.check()
        key = tag_key(name, key_size_max(self.session.engine.file.page_size))
        if not move and self.session.catalogue_record(key) is not None:
            raise ValueError(f"there is a tag {name!r} already (move=True moves it)")
        self.session.tag_own(key)

    def restore(self, at, *, tree=ALL):
        """Let the trees of an older commit, or one of them (a name; None: the default tree), take their places.

        O(trees): pages are shared. A tree that was not there then is dropped. Errors as `Database.snapshot(at=...)`.
        """
        cdef CommitState old
        if at is None:
            raise TypeError("restore needs a commit")
        if tree is not ALL:
            check_name(tree)
        self.session.check()
        old = state_at(self.session.engine, self.session.base, at)
        self.session.restore(old, tree)

    def diff(self, older, *, tree=ALL, start=None, stop=None, prefix=None, values=True):
        """An iterator of `Change` that leads from a commit to this transaction as it is: see `Database.diff`.

        Changes that are made meanwhile are seen from the next key on.
        """
        cdef Session session = self.session
        cdef CommitState old
        cdef WriteTree changed
        session.check()
        if older is None:
            raise TypeError("a difference needs a commit")
        if tree is not ALL:
            check_name(tree)
        low, high = self.bounds(start, stop, prefix)
        old = state_at(session.engine, session.base, older)
        if tree is ALL:
            names = set(changed_names(old, session.base, self))
            for changed in session.trees.values():
                if changed.touched:
                    names.add(changed.name)
            names = [None, *sorted(names, key=str.encode)]
        else:
            names = [tree]
        return source_changes(
            [
                (name, tree_source(old, name, self), session.default_tree if name is None else session.tree_named(name))
                for name in names
            ],
            low, high, bool(values),
        )

    def __enter__(self):
        self.session.check()
        return self

    def __exit__(self, kind, error, traceback):
        if not self.session.active:
            return
        if kind is not None:
            self.undo()
        elif self.session.failed:
            self.undo()
            raise TransactionError("the transaction had failed: it was rolled back")
        else:
            try:
                self.commit()
            except BaseException:
                self.undo()                            # does nothing if the commit has ended it
                raise

    def __del__(self):
        if self.session is None or not self.holds_engine or fork_generation() != self.session.engine.fork_mark:
            return
        if not self.session.active:
            self.let_go()
            return
        self.undo()
        warnings.warn("a transaction was collected while open: it was rolled back", ResourceWarning, source=self)

    def __repr__(self):
        if self.session.active:
            state = "failed" if self.session.failed else "open"
        elif self.committed is not None:
            state = f"committed as {self.committed}"
        else:
            state = "rolled back"
        return f"<cowtree.Transaction, {state}>"


cdef class TransactionTree(Writer):
    """A tree inside a transaction."""

    def __init__(self):
        raise TypeError("made by Transaction.tree()")

    cdef Session enter(self):
        self.owner.session.check()
        return self.owner.session

    cdef WriteTree target(self, Session session):
        cdef WriteTree tree = self.named(session)
        session.use_codecs(tree, self.codecs)
        return tree

    cdef WriteTree named(self, Session session):
        return session.default_tree if self.name is None else session.tree_named(self.name)

    cdef object pin(self, TreeView* view):
        cdef WriteTree tree
        self.owner.session.check()
        tree = self.named(self.owner.session)
        if self.codecs is not None:
            self.owner.session.agree_codecs(tree, self.codecs)
        return tree.pin(view)

    cdef uint64_t version(self) noexcept:
        return self.owner.session.version()

    cdef int check_open(self) except -1:
        return self.owner.session.check()

    cdef object source_path(self):
        return self.owner.session.engine.path

    def diff(self, older, *, start=None, stop=None, prefix=None, values=True):
        """What changed in this tree from a commit to this transaction: see `Database.diff`."""
        low, high = self.bounds(start, stop, prefix)
        changes = self.owner.diff(older, tree=self.name, start=low, stop=high, values=values)
        return changes if self.codecs is None else self.codecs.given_changes(changes)

    def __repr__(self):
        return f"<cowtree.TransactionTree {self.name!r} of {self.owner!r}>"


cdef class Savepoint:
    """Leaving its `with` by an exception, or `rollback`, undoes what was done since it was made."""

    def rollback(self):
        """Undo everything since the savepoint, which ends it."""
        self.owner.session.check()
        if not self.open or not self.owner.session.has_savepoint(self.serial):
            raise TransactionError("the savepoint has ended")
        self.open = False
        self.owner.session.close_savepoint(self.serial, False)

    def __enter__(self):
        self.owner.session.check()
        return self

    def __exit__(self, kind, error, traceback):
        cdef Session session = self.owner.session
        if not self.open or not session.active or session.failed or not session.has_savepoint(self.serial):
            self.open = False
            return
        self.open = False
        session.close_savepoint(self.serial, kind is None)

    def __repr__(self):
        return f"<cowtree.Savepoint {self.serial}, {'open' if self.open else 'ended'}>"
