# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Databases: see `database.pxd`. Reads see the newest commit; each write is a commit of its own."""

import errno
import operator
import os

from cowtree.differences cimport state_changes
from cowtree.commit_state cimport CommitState
from cowtree.engine cimport Engine
from cowtree.layout cimport key_size_max
from cowtree.session cimport Session, begin_session, tag_record
from cowtree.session_trees cimport WriteTree
from cowtree.snapshot cimport move_snapshots, state_at, take_snapshot
from cowtree.states cimport fill_named, named_record, tags_of, tree_count, tree_names
from cowtree.storage.file_lock cimport fork_generation
from cowtree.transaction cimport Transaction, check_note, make_transaction, still_alive
from cowtree.tree.view cimport TreeView
from cowtree.tree_codecs cimport codec_names, make_codecs
from cowtree.writer cimport Writer

from cowtree import registry
from cowtree.succession import SupersededError
from cowtree.errors import ClosedError, ReadOnlyError
from cowtree.catalogue import (
    check_tag_name, pack_setting, setting_key, tag_key, wanted_settings,
)
from cowtree.options import ALL, DEFAULT, VALUE_SIZE_MAX, check_page_size, check_timeout
from cowtree.snapshot import check_name
from cowtree.states import settings_of
from cowtree.storage.record_reader import RecordReader


def reopen_database(path, options):
    """What a pickled database becomes: the same file, which must exist, opened with the same options."""
    return Database(path, create=False, **options)


def reopen_tree(database, name, key, value):
    """What a pickled tree becomes."""
    return database.tree(name, key=key, value=value)


cdef class Database(Writer):
    """An open database. Thread-safe; several handles of one file in a process share one engine.

    See `cowtree.open` for the arguments.
    """

    def __cinit__(self, *args, **kwargs):
        self.ended = self.released = True      # until it is open

    def __init__(
        self, path, *, create=True, readonly=False, mode=0o666, page_size=DEFAULT, sync=True, timeout=None, mmap=True,
        write_memory=64 << 20, auto_compact=DEFAULT, history=DEFAULT, any_file_system=False,
    ):
        name = os.fspath(path)
        if not isinstance(name, str):
            raise TypeError(f"the path of a database is a str or a path of str, not {type(name).__name__}")
        if page_size is not DEFAULT:
            check_page_size(page_size)
        write_memory = operator.index(write_memory)
        if not 0 <= write_memory < 1 << 63:
            raise ValueError(f"write_memory is a number of bytes, not {write_memory}")
        wanted = wanted_settings(auto_compact, history)
        self.timeout = check_timeout(timeout)
        self.durable = bool(sync)
        self.readonly = bool(readonly)
        self.write_memory = write_memory
        self.transactions = []
        chosen = None if page_size is DEFAULT else page_size
        if isinstance(path, str) and path == ":memory:":
            if readonly:
                raise ValueError("a database in memory is new: it cannot be read-only")
            self.engine = registry.memory_engine(chosen or 4096)
            self.handle_path = name
            self.ended = self.released = False
            self.engine.pins.add_handle(self)
            self.configure(**wanted)
            return
        if not name:
            raise FileNotFoundError(errno.ENOENT, "the path of a database is empty", name)
        self.handle_path = os.path.abspath(name)
        self.options = {
            "readonly": self.readonly, "mode": mode, "mapped": bool(mmap), "any_file_system": bool(any_file_system),
        }
        self.engine = registry.engine_for(self.handle_path, create=bool(create), page_size=chosen, **self.options)
        self.ended = self.released = False
        self.engine.pins.add_handle(self)
        if wanted:
            try:
                self.require_settings(wanted)
            except BaseException:
                self.close()
                raise
        (<Engine>self.engine).tell()

    def require_settings(self, wanted):
        """What `open` was given is what the file has; ValueError. A file that was never written is given it."""
        present = self.settings
        name = next((each for each in wanted if getattr(present, each) != wanted[each]), None)
        if name is None:
            return
        if not self.readonly and self.engine.newest().record.sequence == 1:
            return self.configure(**wanted)
        raise ValueError(
            f"{self.handle_path}: its {name} is {getattr(present, name)!r}, not {wanted[name]!r}; configure() changes it"
        )

    def __dealloc__(self):
        if self.engine is not None and not self.released and fork_generation() == self.engine.fork_mark:
            try:
                registry.release(self.engine)
            except Exception:
                pass

    cdef Engine live(self):
        """The engine of this process: a forked child opens its own at first use."""
        if self.ended:
            raise ClosedError("the database is closed")
        if fork_generation() != self.engine.fork_mark:
            if self.options is None:
                raise ClosedError("a database in memory belongs to the process that made it")
            self.engine = registry.engine_for(self.handle_path, create=False, page_size=None, **self.options)
            self.engine.pins.add_handle(self)
            self.transactions = []
        if self.engine.superseded:
            self.follow()
        return self.engine

    def follow(self):
        """Turn to the file, or the engine, that has taken the present one's place, and let snapshots come along."""
        cdef Engine old, new
        registry.engines_lock.acquire()        # not `with`: see boot_id
        try:
            old = self.engine
            if self.ended or not old.superseded or fork_generation() != old.fork_mark:
                return
            new = old.successor if old.successor is not None else registry.engine_for(
                self.handle_path, create=False, page_size=None, **self.options
            )
            self.engine = new
            new.pins.add_handle(self)
            move_snapshots(old, new)
            registry.release(old)
        finally:
            registry.engines_lock.release()

    cdef CommitState current(self):
        """The newest commit of the file that is at the path."""
        cdef CommitState state
        while True:
            state = self.live().newest()
            if not self.engine.superseded:
                return state

    cdef object pin(self, TreeView* view):
        cdef CommitState state
        if self.ended or fork_generation() != self.engine.fork_mark:
            self.live()
        state = self.engine.newest()
        if self.engine.superseded:
            state = self.current()
        view[0] = state.default_tree
        return state

    cdef int check_open(self) except -1:
        if self.ended:
            raise ClosedError("the database is closed")
        return 0

    cdef object source_path(self):
        return self.handle_path

    cdef Session enter(self):
        return self.begin(self.timeout)

    cdef Session begin(self, object timeout):
        """A write session on the file that is at the path."""
        cdef Engine engine
        while True:
            engine = self.live()
            if self.readonly:
                raise ReadOnlyError(f"{self.handle_path}: the database is open read-only")
            try:
                return begin_session(engine, timeout, self.write_memory, self)
            except SupersededError:                # then this engine says so too: the next one is tried
                continue

    cdef int leave(self, Session session, bint ok) except -1:
        if ok:
            session.commit(self.durable, b"")
        else:
            session.rollback()
        return 0

    cdef bint batches(self):
        return True

    def transaction(self, *, sync=DEFAULT, timeout=DEFAULT, note=b""):
        """Begin a transaction: `with db.transaction() as txn`. Waits for other writers, at most `timeout` seconds.

        `note`: up to 1024 bytes kept with the commit. Raises LockTimeoutError, TransactionError (this thread has one
        open), ReadOnlyError, ClosedError, CommitUncertainError.
        """
        self.check_open()
        note = check_note(note)
        wait = self.timeout if timeout is DEFAULT else check_timeout(timeout)
        durable = self.durable if sync is DEFAULT else bool(sync)
        self.transactions = still_alive(self.transactions)
        return make_transaction(self.begin(wait), durable, note, self.transactions)

    def snapshot(self, at=None):
        """A snapshot of the newest commit, or of the one that `at` names. O(1), with `at` O(log commits).

        A new object each time. `at`: an id, a tag, an aware datetime (the newest commit not after it), a Commit or a
        Snapshot. Raises TypeError, ValueError (naive datetime), KeyError (unknown tag), SnapshotGoneError.
        """
        cdef CommitState newest = self.current()
        cdef Engine engine = self.engine
        return take_snapshot(engine, newest if at is None else state_at(engine, newest, at))

    def history(self, start=None, stop=None, *, reverse=True):
        """The commits with start <= id < stop, as an iterator of `Commit`; the newest first unless `reverse=False`.

        The empty state 0 is not among them. O(log commits) to begin, O(1) for each.
        """
        from cowtree.history import commit_history
        cdef CommitState newest = self.current()
        cdef Engine engine = self.engine
        bounds = [None if at is None else state_at(engine, newest, at).record.commit_id if not is_id(at) else at
                  for at in (start, stop)]
        return commit_history(RecordReader(engine.file, newest.space), newest.record, self.tags(), bounds[0], bounds[1], bool(reverse))

    def tag(self, name, at=None, *, move=False):
        """Name a commit (default: the newest), durably; takes no commit id. ValueError if the name is taken.

        `move=True`: let an existing tag point there instead. Names match `[A-Za-z_][\\w./:-]*`. The other errors are
        those of `snapshot(at=...)` and `transaction()`.
        """
        cdef Session session
        cdef bytes key
        check_tag_name(name)
        key = tag_key(name, self.key_size_max)
        session = self.enter()
        try:
            if session.catalogue_record(key) is not None and not move:
                raise ValueError(f"there is a tag {name!r} already (move=True moves it)")
            session.set_catalogue(key, tag_record(session.engine, state_at(session.engine, session.base, at)))
        except BaseException:
            session.rollback()
            raise
        session.commit(True, b"")

    def untag(self, name):
        """Forget a tag, durably; KeyError if there is none of that name."""
        cdef Session session
        cdef bytes key
        check_tag_name(name)
        key = tag_key(name, self.key_size_max)
        session = self.enter()
        try:
            if session.catalogue_record(key) is None:
                raise KeyError(name)
            session.set_catalogue(key, None)
        except BaseException:
            session.rollback()
            raise
        session.commit(True, b"")

    def tags(self):
        """The tags and the ids of the commits they point at, by name."""
        return {name: tag.commit_id for name, tag in tags_of(self.current(), self.handle_path).items()}

    def restore(self, at):
        """Make the trees of an older commit the newest state, as a new commit; its id. O(trees): pages are shared.

        The past stays, tags and settings too. Restoring what is there already makes no commit.
        """
        cdef Session session
        if at is None:
            raise TypeError("restore needs a commit")
        session = self.enter()
        try:
            session.restore(state_at(session.engine, session.base, at), ALL)
        except BaseException:
            session.rollback()
            raise
        return session.commit(self.durable, b"")

    def diff(self, old, new=None, *, tree=ALL, start=None, stop=None, prefix=None, values=True):
        """An iterator of `Change` that leads from one commit to another (None: the newest).

        Of all trees, or of one (a name; None: the default tree), with start <= key < stop. Equal pages are skipped
        unread: it costs what changed, not what is stored. `values=False` leaves the values out. Errors of `snapshot`.
        """
        cdef CommitState newest = self.current()
        cdef Engine engine = self.engine
        if old is None:
            raise TypeError("a difference needs a commit to begin from")
        if tree is not ALL:
            check_name(tree)
        low, high = self.bounds(start, stop, prefix)
        return state_changes(
            state_at(engine, newest, old), state_at(engine, newest, new), self, tree, low, high, bool(values)
        )

    def changes(self, since, *, tree=ALL, start=None, stop=None, prefix=None, values=True):
        """What changed since a commit, up to the newest one, as `Changes`: store its `position` and pass it here again.

        `since=0` gives everything there is. SnapshotGoneError: that commit is not kept, so rebuild from 0; hold a tag
        on the commit of a position that must not be lost. Arguments as for `diff`.
        """
        cdef CommitState newest = self.current()
        cdef Engine engine = self.engine
        cdef CommitState old = state_at(engine, newest, since)
        from cowtree.feed import Changes
        if since is None:
            raise TypeError("changes need a commit to begin from; 0 gives everything")
        if tree is not ALL:
            check_name(tree)
        low, high = self.bounds(start, stop, prefix)
        return Changes(
            old.record.commit_id, newest.record.commit_id,
            lambda: state_changes(old, newest, self, tree, low, high, bool(values)),
        )

    def wait(self, after, timeout=None):
        """The id of a commit newer than `after`, as soon as any process has made one; None after `timeout` seconds.

        `after`: a commit id; one that is older than the newest commit returns at once. `timeout`: None = for ever, 0 =
        only look. Wakes within 50 ms of the commit (20 ms as a rule) without its writer knowing: it looks again and
        again, which costs a load from memory each time. Tags, settings and compaction wake nobody. Ctrl-C ends it.

        Raises ClosedError when the handle is closed meanwhile, TypeError, ValueError.
        """
        from cowtree.feed import wait_for_commit
        self.check_open()
        if not is_id(after):
            raise TypeError(f"wait takes the id of a commit, not {type(after).__name__}")
        return wait_for_commit(lambda: self.current().record.commit_id, after, check_timeout(timeout))

    def tree(self, name, *, key=None, value=None):
        """A named tree (None: the default tree). It exists from its first write; a missing one reads as empty.

        `key`, `value`: codecs (`cowtree.codecs`), which the tree records at its first write through them; then others
        are a CodecError. Without a codec keys or values are read and written as bytes.
        """
        cdef DatabaseTree tree = DatabaseTree.__new__(DatabaseTree)
        cdef TreeView view
        check_name(name)
        self.check_open()
        tree.owner = self
        tree.name = name
        tree.codecs = make_codecs(name, key, value)
        if tree.codecs is not None:
            tree.pin(&view)
        return tree

    def tree_codecs(self, name):
        """(key codec's name, value codec's name) that a tree records; "": none, its bytes are taken as they are."""
        check_name(name)
        return codec_names(named_record(self.current(), name, self.handle_path))

    def trees(self):
        """Names of the trees of the newest commit, sorted by their UTF-8 bytes."""
        return tree_names(self.current(), self.handle_path)

    def sync(self):
        """Make every commit so far durable. Raises CommitUncertainError when the sync fails."""
        self.current()
        self.engine.sync()

    def configure(self, *, auto_compact=DEFAULT, history=DEFAULT):
        """Change what the file is set to, durably and for every process; takes no commit id. DEFAULT: as it is.

        `auto_compact`: the ratio of file to live size that starts compaction, above 1, or None for never. `history`:
        what compaction keeps of the past besides tags: None = nothing, an int = that many newest commits, a timedelta
        = that age. Raises TypeError, ValueError, and as `transaction`.
        """
        cdef Session session
        wanted = wanted_settings(auto_compact, history)
        if not wanted:
            return
        session = self.enter()
        try:
            for name, value in wanted.items():
                record = pack_setting(value)
                if session.catalogue_record(setting_key(name)) != record:
                    session.set_catalogue(setting_key(name), record)
        except BaseException:
            session.rollback()
            raise
        session.commit(True, b"")

    @property
    def settings(self):
        """What the file is set to, as `Settings`."""
        cdef CommitState newest = self.current()
        return settings_of(newest, self.engine.file.page_size, self.handle_path)

    def stats(self, *, deep=False):
        """Numbers about the file and its newest commit. O(1); `deep` walks its pages and says of what kind and how full
        they are: O(live pages), CorruptionError where they do not check.
        """
        from cowtree.check import page_kinds
        from cowtree.stats import Stats
        cdef CommitState state = self.current()
        cdef Engine engine = self.engine
        page_size = engine.file.page_size
        record = state.record
        live = record.live_pages * page_size
        file_bytes = engine.file.device.get_size()
        return Stats(
            commit_id=record.commit_id,
            entries=record.entries,
            depth=state.default_tree.level + 1 if state.default_tree.root else 0,
            trees=tree_count(state, self.handle_path),
            page_size=page_size,
            file_bytes=file_bytes,
            live_bytes=live,
            garbage_bytes=max(0, record.pages_appended * page_size - live),
            tail_bytes=max(0, file_bytes - record.pages_appended * page_size),
            snapshots=engine.snapshots,
            durable=engine.anonymous or engine.durable_sequence >= record.sequence,
            rolled_back=len(engine.recovery.rolled_back) if engine.recovery is not None else 0,
            compacting=engine.compactor is not None,
            compaction_problem=engine.compaction_problem,
            **(page_kinds(state, engine.file) if deep else {}),
        )

    def check(self, *, progress=None):
        """Verify the file from the bytes up: a `Report`. O(file).

        Of the newest commit every page, key order and count, whatever was verified before; of the past every record's
        place in the chain and the checksums of its pages. `progress(done, total)` in bytes.
        """
        from cowtree.check import check_state
        cdef CommitState newest = self.current()
        return check_state(newest, self.engine.file, progress)

    def compact(self, *, progress=None):
        """Rewrite the file without what nothing needs any more; it has the same path and the same database in it.

        Kept are the newest commit, tagged ones, what `history` asks for (`configure`), and those that a snapshot of
        this process shows; other commits are gone: `snapshot(at)` of them is a SnapshotGoneError. Snapshots go on
        reading, in every process. Writers wait meanwhile. `progress(done, None)` in bytes, last done == total.

        Raises OSError (the file is as it was), CorruptionError, LockTimeoutError, TransactionError, ReadOnlyError, and
        what `progress` raises. O(kept pages).
        """
        from cowtree.compaction import compact
        compact(self, progress)

    def backup(self, path, *, at=None, incremental=False, progress=None):
        """Write a database with everything up to the newest commit, or the one that `at` names, to a new file `path`.

        Others go on to read and write. The file is whole, durable and verified page by page, or is not there:
        FileExistsError (what is there stays), CorruptionError (a damaged page), OSError, and what `progress` raises.
        `at` as for `snapshot`; `progress(done, total)` in bytes. O(file) time, O(1) memory.

        `incremental=True`: an earlier backup at `path` is brought up to that commit instead; all of it or, whatever
        happens, nothing. Commits keep id, time and note, tags and settings become this database's, and what the backup
        has of the past it keeps. Works across compactions, as long as the commit with which the backup ends is kept
        here: hold a tag on it, else SnapshotGoneError. ValueError: a file that is no backup of this database, was
        written to, or is ahead of `at`; LockTimeoutError: somebody writes to it. O(what differs). Where there is no
        file, a whole backup is written.
        """
        from cowtree.backup import write_backup
        cdef CommitState newest = self.current()
        cdef Engine engine = self.engine
        cdef CommitState state = state_at(engine, newest, at)
        if incremental and os.path.exists(path):
            from cowtree.increment import extend_backup
            extend_backup(self, engine, state, path, self.timeout, self.write_memory, progress)
        else:
            write_backup(engine.file, state.record, path, progress=progress)

    def branch(self, path, *, at=None, progress=None):
        """Write an independent database that begins as a commit of this one (`at` as for `snapshot`) to a new file.

        It has the past up to that commit, tags and settings as of then, and goes its own way: neither sees what is
        committed to the other. It is a backup that is meant to be written to: same arguments, errors and cost.
        """
        self.backup(path, at=at, progress=progress)

    def close(self):
        """Roll back its open transaction and let go of the file; the last handle closes it cleanly. Idempotent.

        Snapshots and their iterators stay valid. Raises OSError or CommitUncertainError if what was committed with
        `sync=False` cannot be made durable.
        """
        if self.ended and self.released:
            return
        self.ended = True
        if self.engine is None or fork_generation() != self.engine.fork_mark:
            self.released = True
            return
        for reference in self.transactions:
            transaction = reference()
            if transaction is not None:
                (<Transaction>transaction).end_with_handle()
        registry.engines_lock.acquire()        # another thread may have it follow, or closes it, just now
        try:
            if not self.released:
                self.released = True
                registry.release(self.engine)
        except BaseException:
            self.released = self.engine.closed  # if not, memory was too short: close it again
            raise
        finally:
            registry.engines_lock.release()

    @property
    def commit_id(self):
        """Id of the newest commit; 0 = the empty state."""
        return self.current().record.commit_id

    @property
    def path(self):
        """The absolute path, or ":memory:"."""
        return self.handle_path

    @property
    def closed(self):
        """Was this handle closed?"""
        return self.ended

    @property
    def page_size(self):
        """Bytes per page, fixed at creation."""
        return self.live().file.page_size

    @property
    def key_size_max(self):
        """Longest key in bytes: page_size / 4 - 16."""
        return key_size_max(self.live().file.page_size)

    @property
    def value_size_max(self):
        """Longest value in bytes."""
        return VALUE_SIZE_MAX

    def __reduce__(self):
        """As absolute path and options; never creates."""
        self.check_open()
        if self.options is None:
            raise TypeError("a database in memory cannot be pickled: no other process can open it")
        return reopen_database, (self.handle_path, {
            "readonly": self.readonly, "mode": self.options["mode"], "sync": bool(self.durable),
            "timeout": self.timeout, "mmap": self.options["mapped"], "write_memory": self.write_memory,
            "any_file_system": self.options["any_file_system"],
        })

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        if self.ended:
            state = ", closed"
        else:
            state = ", read-only" if self.readonly else ""
        return f"<cowtree.Database {self.handle_path!r}{state}>"


cdef class DatabaseTree(Writer):
    """A named tree of a database: reads see the newest commit, each write is a commit of its own."""

    def __init__(self):
        raise TypeError("made by Database.tree()")

    cdef object pin(self, TreeView* view):
        cdef CommitState state = self.owner.current()
        fill_named(state, self.name, view, self.owner.handle_path)
        if self.codecs is not None:
            self.codecs.agree_with_record(named_record(state, self.name, self.owner.handle_path))
        return state

    cdef int check_open(self) except -1:
        return self.owner.check_open()

    cdef object source_path(self):
        return self.owner.handle_path

    cdef Session enter(self):
        return self.owner.enter()

    cdef WriteTree target(self, Session session):
        cdef WriteTree tree = session.default_tree if self.name is None else session.tree_named(self.name)
        session.use_codecs(tree, self.codecs)
        return tree

    cdef int leave(self, Session session, bint ok) except -1:
        return self.owner.leave(session, ok)

    def diff(self, older, *, start=None, stop=None, prefix=None, values=True):
        """What changed in this tree since an older commit: see `Database.diff`."""
        low, high = self.bounds(start, stop, prefix)
        changes = self.owner.diff(older, tree=self.name, start=low, stop=high, values=values)
        return changes if self.codecs is None else self.codecs.given_changes(changes)

    cdef bint batches(self):
        return True

    def __reduce__(self):
        codecs = self.codecs
        return reopen_tree, (
            self.owner, self.name, None if codecs is None else codecs.key, None if codecs is None else codecs.value
        )

    def __repr__(self):
        return f"<cowtree.Tree {self.name!r} of {self.owner!r}>"


cdef bint is_id(object at):
    return isinstance(at, int) and not isinstance(at, bool)
