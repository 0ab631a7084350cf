# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Snapshots: a pinned commit and its trees. See `snapshot.pxd`."""

from collections.abc import Mapping
from datetime import datetime, timezone

from cowtree.engine cimport CommitState, Engine
from cowtree.reader cimport FixedSource, Reader
from cowtree.changes cimport tree_record_view
from cowtree.tree.view cimport TreeView

from cowtree.errors import ClosedError

Mapping.register(Reader)


cdef Snapshot take_snapshot(Engine engine, CommitState state):
    """A new snapshot of a commit. O(1)."""
    cdef Snapshot snapshot = Snapshot.__new__(Snapshot)
    snapshot.engine = engine
    snapshot.state = state
    snapshot.view = state.default_tree
    snapshot.ended = False
    engine.snapshots += 1
    return snapshot


cdef FixedSource catalogue_of(CommitState state, object path):
    cdef FixedSource fixed = FixedSource.__new__(FixedSource)
    fixed.view = state.catalogue
    fixed.pinned = state
    fixed.path = path
    return fixed


cdef int fill_named(CommitState state, str name, TreeView* view, object path) except -1:
    """The view of a named tree in a commit; a missing tree reads as empty. O(log trees) once per commit and name."""
    cdef bytes record
    if name is None:
        view[0] = state.default_tree
        return 0
    view[0] = state.catalogue
    view.offset = 0
    if name in state.named:
        record = state.named[name]
    else:
        record = catalogue_of(state, path).get(b"\x01" + name.encode())
        state.named[name] = record
    if record is None:
        view.root = 0
        view.entries = 0
    else:
        tree_record_view(record, view)
    return 0


cdef list tree_names(CommitState state, object path):
    """Names of all trees of a commit, in byte order."""
    return [key[1:].decode() for key in catalogue_of(state, path).keys(prefix=b"\x01")]


cdef class Snapshot(Reader):
    """One commit of a database, stable for ever, shareable between threads.

    It pins its pages until it is closed or collected. Made by `Database.snapshot`.
    """

    def __cinit__(self):
        self.ended = True                      # until it is made

    def __init__(self):
        raise TypeError("snapshots are made by Database.snapshot()")

    def __dealloc__(self):
        if self.engine is not None and not self.ended:
            self.engine.snapshots -= 1

    cdef object pin(self, TreeView* view):
        if self.ended:
            raise ClosedError("the snapshot is closed")
        if self.view.space.mirrored:
            self.state.space.trim()
        view[0] = self.view
        return self.state

    cdef int check_open(self) except -1:
        if self.ended:
            raise ClosedError("the snapshot is closed")
        return 0

    cdef object source_path(self):
        return self.engine.path

    @property
    def commit_id(self):
        """The commit it shows."""
        self.check_open()
        return self.state.record.commit_id

    @property
    def time(self):
        """When that commit was made (aware, UTC)."""
        self.check_open()
        return datetime.fromtimestamp(self.state.record.time_ns / 1e9, timezone.utc)

    def tree(self, name):
        """A named tree of this commit (None: the default tree)."""
        cdef SnapshotTree tree = SnapshotTree.__new__(SnapshotTree)
        check_name(name)
        self.check_open()
        tree.owner = self
        tree.name = name
        fill_named(self.state, name, &tree.view, self.engine.path)
        return tree

    def trees(self):
        """Names of the trees, sorted by their UTF-8 bytes."""
        self.check_open()
        return tree_names(self.state, self.engine.path)

    def close(self):
        """End its reads; memory from `buffer()` stays valid until its last view is gone. Idempotent."""
        if not self.ended:
            self.ended = True
            self.engine.snapshots -= 1
            self.state = None

    @property
    def closed(self):
        """Was it closed?"""
        return self.ended

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        if self.ended:
            return "<cowtree.Snapshot, closed>"
        return f"<cowtree.Snapshot of commit {self.state.record.commit_id}, {self.view.entries} entries>"


cdef class SnapshotTree(Reader):
    """A tree of a snapshot; read-only."""

    def __init__(self):
        raise TypeError("made by Snapshot.tree()")

    cdef object pin(self, TreeView* view):
        self.owner.check_open()
        view[0] = self.view
        return self.owner.state

    cdef int check_open(self) except -1:
        return self.owner.check_open()

    cdef object source_path(self):
        return self.owner.engine.path

    def __repr__(self):
        return f"<cowtree.SnapshotTree {self.name!r} of {self.owner!r}>"


def check_name(name):
    """A tree's name is a str that is not empty, or None for the default tree."""
    if name is None:
        return
    if not isinstance(name, str):
        raise TypeError(f"a tree's name is a str, not {type(name).__name__}")
    if not name:
        raise ValueError("a tree's name is not empty")


def catalogue_records(CommitState state not None):
    """(name, unpacked tree record) of every named tree of a commit."""
    cdef TreeView view
    for key, record in catalogue_of(state, None).items(prefix=b"\x01"):
        yield key[1:].decode(), tree_record_view(record, &view)
