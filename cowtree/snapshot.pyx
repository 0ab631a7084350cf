# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Snapshots: a pinned commit and its trees. See `snapshot.pxd`."""

from collections.abc import Mapping

cimport cython

from libc.stdint cimport uint32_t

from cowtree.differences cimport state_changes
from cowtree.commit_state cimport CommitState, state_in
from cowtree.engine cimport Engine
from cowtree.reader cimport Reader
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.storage.file_lock cimport fork_generation
from cowtree.states cimport catalogue_value, fill_named, named_record, tree_names
from cowtree.succession cimport Pins
from cowtree.tree.view cimport TreeView
from cowtree.tree_codecs cimport codec_names, make_codecs

from cowtree import registry
from cowtree.catalogue import TAG, unpack_tag
from cowtree.errors import ClosedError, CorruptionError, SnapshotGoneError
from cowtree.options import ALL
from cowtree.storage.chain import commit_of_id
from cowtree.storage.record_reader import RecordReader

Mapping.register(Reader)


cdef Snapshot take_snapshot(Engine engine, CommitState state):
    """A new snapshot of a commit. O(1)."""
    cdef Snapshot snapshot = Snapshot.__new__(Snapshot)
    snapshot.engine = engine
    snapshot.state = state
    snapshot.view = state.default_tree
    snapshot.ended = False
    engine.snapshots += 1
    snapshot.pins = engine.pins
    snapshot.next = engine.pins.first
    snapshot.previous = NULL
    if snapshot.next != NULL:
        (<Snapshot>snapshot.next).previous = <void*>snapshot
    engine.pins.first = <void*>snapshot
    return snapshot


cdef set pinned_ids(Pins pins):
    """Ids of the commits that open snapshots of this process show."""
    cdef Snapshot snapshot
    cdef void* at = pins.first
    cdef set ids = set()
    while at != NULL:
        snapshot = <Snapshot>at
        if snapshot.state is not None:
            ids.add(snapshot.state.record.fields.commit_id)
        at = snapshot.next
    return ids


cdef int move_snapshots(Engine old, Engine new) except -1:
    """See `snapshot.pxd`. With the lock of the registry held; whose commit was dropped goes on with the old file.

    What is under way (an iterator, a cursor, memory from `buffer()`) holds the state that it began with, and so the old
    mapping. Nothing is written or locked by a read: a snapshot changes its state in one piece, with the GIL held.
    """
    cdef Snapshot snapshot
    cdef CommitState newest = None, state
    cdef dict states = {}
    for snapshot in snapshots_of(old) if new.file.uuid == old.file.uuid else ():
        if snapshot.ended:
            continue
        if newest is None:
            newest = new.newest()
        key = snapshot.state.record.commit_id, snapshot.state.record.commit_nonce
        if key not in states:
            states[key] = same_commit(new, newest, snapshot.state.record)
        state = states[key]
        if state is not None and not snapshot.ended and snapshot.engine is old:
            snapshot.move(new, state)
    return 0


cdef list snapshots_of(Engine engine):
    """The open snapshots that read its file."""
    cdef Snapshot snapshot
    cdef void* at = engine.pins.first
    cdef list found = []
    while at != NULL:
        snapshot = <Snapshot>at
        if snapshot.engine is engine and not snapshot.ended:
            found.append(snapshot)
        at = snapshot.next
    return found


cdef CommitState same_commit(Engine engine, CommitState newest, CommitRecord record):
    """A commit as the file of another engine has it, or None."""
    cdef CommitRecord found
    try:
        found = commit_of_id(RecordReader(engine.file, newest.space), newest.record, record.commit_id)
    except (CorruptionError, OSError):
        return None                            # who reads the new file will say so
    if found is None or found.fields.commit_nonce != record.fields.commit_nonce:
        return None
    return state_in(found, newest.space)


cdef CommitState state_at(Engine engine, CommitState newest, object at):
    """The state that `at` names, as `newest` knows the past. TypeError, ValueError, KeyError, SnapshotGoneError."""
    cdef Snapshot snapshot
    if at is None:
        return newest
    from cowtree.history import record_at, record_of_tag
    reader = RecordReader(engine.file, newest.space)
    if isinstance(at, Snapshot):
        snapshot = at
        snapshot.check_open()
        if snapshot.engine is engine:
            return snapshot.state
        if snapshot.engine.file.uuid != engine.file.uuid:
            raise SnapshotGoneError("the snapshot is of another database")
        record = record_at(reader, newest.record, snapshot.state.record.commit_id)
        if record.commit_nonce != snapshot.state.record.commit_nonce:
            raise SnapshotGoneError("the snapshot is of another past of this database")
    elif isinstance(at, str):
        tag = catalogue_value(newest, TAG + at.encode(errors="surrogatepass"), engine.path) if at else None
        if tag is None:
            raise KeyError(f"there is no tag {at!r}")
        record = record_of_tag(reader, at, unpack_tag(tag, engine.path))
    elif type(at) is int and at == newest.record.fields.commit_id:
        return newest
    else:
        record = record_at(reader, newest.record, at)
    return state_in(record, newest.space)


def reopen_snapshot(path, uuid, commit_id, nonce, mapped, any_file_system):
    """What a pickled snapshot becomes, in any process: the same commit of the same file, or SnapshotGoneError."""
    cdef Snapshot snapshot
    cdef CommitState newest
    cdef Engine engine = registry.engine_for(
        path, create=False, readonly=True, mode=0, page_size=None, mapped=mapped, any_file_system=any_file_system
    )
    try:
        from cowtree.history import record_at
        newest = engine.newest()
        if engine.file.uuid != uuid:
            raise SnapshotGoneError(f"{path}: another database is there now")
        reader = RecordReader(engine.file, newest.space)
        record = record_at(reader, newest.record, commit_id)
        if record.commit_nonce != nonce:
            raise SnapshotGoneError(f"{path}: its commit {commit_id} is of another past")
        snapshot = take_snapshot(engine, state_in(record, newest.space))
    except BaseException:
        registry.release(engine)
        raise
    snapshot.holds_engine = True
    return snapshot


def reopen_snapshot_tree(snapshot, name, key, value):
    """What a pickled tree of a snapshot becomes."""
    return snapshot.tree(name, key=key, value=value)


# In a cycle of garbage its fields stay until `__dealloc__`, which takes it out of the list of pins; none of them leads
# back to it, so that nothing is kept for ever.
@cython.no_gc_clear
cdef class Snapshot(Reader):
    """One commit of a database, stable for ever, shareable between threads.

    It pins its pages until it is closed or collected. Made by `Database.snapshot`.
    """

    def __cinit__(self):
        self.ended = True                      # until it is made

    def __init__(self):
        raise TypeError("snapshots are made by Database.snapshot()")

    def __dealloc__(self):
        if self.engine is not None:
            try:
                if self.ended:
                    self.release_engine()          # what `close` had not the memory for
                else:
                    self.let_go()
            except Exception:
                pass

    cdef int let_go(self) except -1:
        """One snapshot of the engine less."""
        self.engine.snapshots -= 1
        if self.previous != NULL:
            (<Snapshot>self.previous).next = self.next
        else:
            self.pins.first = self.next
        if self.next != NULL:
            (<Snapshot>self.next).previous = self.previous
        return self.release_engine()

    cdef int release_engine(self) except -1:
        """Once; again if memory was too short for it."""
        if self.holds_engine and fork_generation() == self.engine.fork_mark:
            self.holds_engine = False
            try:
                registry.release(self.engine)
            except MemoryError:
                self.holds_engine = not self.engine.closed
                raise
        return 0

    cdef int move(self, Engine engine, CommitState state) except -1:
        """Go on in the file of another engine, where `state` is the same commit."""
        cdef Engine old = self.engine
        cdef CommitState _before = self.state  # what it alone holds goes when all has changed
        if self.holds_engine:
            registry.hold(engine)
        self.engine = engine
        self.state = state
        self.view = state.default_tree
        self.moves += 1
        old.snapshots -= 1
        engine.snapshots += 1
        if self.holds_engine:
            registry.release(old)
        return 0

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
        return None if self.engine is None else self.engine.path

    def __reduce__(self):
        """As path and commit: whoever unpickles it, in whatever process, opens the file again and reads the same."""
        cdef CommitState state = self.state
        self.check_open()
        if self.engine.anonymous:
            raise TypeError("a snapshot of a database in memory cannot be pickled: no other process can read it")
        return reopen_snapshot, (
            self.engine.path, self.engine.file.uuid, state.record.commit_id, state.record.commit_nonce,
            not state.space.space.mirrored, True,
        )

    @property
    def commit_id(self):
        """The commit it shows."""
        self.check_open()
        return self.state.record.commit_id

    @property
    def time(self):
        """When that commit was made (aware, UTC)."""
        self.check_open()
        from cowtree.history import commit_time
        return commit_time(self.state.record)

    def diff(self, older, *, tree=ALL, start=None, stop=None, prefix=None, values=True):
        """An iterator of `Change` that leads from another commit to this one: see `Database.diff`."""
        cdef CommitState newest, state
        cdef Engine engine
        self.check_open()
        engine = self.engine
        state = self.state
        newest = engine.published if engine.closed else engine.newest()
        if older is None:
            raise TypeError("a difference needs another commit")
        if tree is not ALL:
            check_name(tree)
        low, high = self.bounds(start, stop, prefix)
        return state_changes(
            state_at(engine, newest, older), state, self, tree, low, high, bool(values)
        )

    def tree(self, name, *, key=None, value=None):
        """A named tree of this commit (None: the default tree). `key`, `value`: codecs, as in `Database.tree`."""
        cdef SnapshotTree tree = SnapshotTree.__new__(SnapshotTree)
        check_name(name)
        self.check_open()
        tree.owner = self
        tree.name = name
        tree.moves = self.moves - 1
        tree.fill()
        tree.codecs = make_codecs(name, key, value)
        if tree.codecs is not None:
            tree.codecs.agree_with_record(named_record(self.state, name, self.engine.path))
        return tree

    def tree_codecs(self, name):
        """(key codec's name, value codec's name) that a tree records; "": none, its bytes are taken as they are."""
        check_name(name)
        self.check_open()
        return codec_names(named_record(self.state, name, self.engine.path))

    def trees(self):
        """Names of the trees, sorted by their UTF-8 bytes."""
        self.check_open()
        return tree_names(self.state, self.engine.path)

    def close(self):
        """End its reads; memory from `buffer()` stays valid until its last view is gone. Idempotent."""
        cdef Engine _engine = self.engine      # what it alone holds goes at the end
        if not self.ended:
            self.ended = True
            self.state = None
            self.let_go()
            self.engine = None                 # it pins the file, which may be one that was compacted

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
        if self.moves != self.owner.moves:
            self.fill()
        view[0] = self.view
        return self.owner.state

    cdef int fill(self) except -1:
        """The view of the state that the owner has now."""
        cdef CommitState state
        cdef TreeView view
        cdef uint32_t moves
        while self.moves != self.owner.moves:  # once, unless it moves meanwhile
            moves = self.owner.moves
            state = self.owner.state
            fill_named(state, self.name, &view, self.owner.source_path())
            self.view = view
            self.moves = moves
        return 0

    cdef int check_open(self) except -1:
        return self.owner.check_open()

    cdef object source_path(self):
        return self.owner.source_path()

    def diff(self, older, *, start=None, stop=None, prefix=None, values=True):
        """What changed in this tree from another commit to this one: see `Database.diff`."""
        low, high = self.bounds(start, stop, prefix)
        changes = self.owner.diff(older, tree=self.name, start=low, stop=high, values=values)
        return changes if self.codecs is None else self.codecs.given_changes(changes)

    def __reduce__(self):
        codecs = self.codecs
        return reopen_snapshot_tree, (
            self.owner, self.name, None if codecs is None else codecs.key, None if codecs is None else codecs.value
        )

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
    name.encode()                              # UnicodeEncodeError, a ValueError: no UTF-8 for a lone surrogate
