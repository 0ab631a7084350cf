# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Incremental backups: the commits that an earlier backup lacks, made anew behind its newest one.

    lock the backup ── which commit is its newest? the source has it too ──> for each younger commit of the source:
    its difference to the one before, as a commit with the same id, nonce, time and note ── sync ──> first word ── sync

Everything is said by ids, nonces and differences, not by page numbers, so a compaction of the source in between changes
nothing. All or nothing: the first of the new commit pages is written without its first word, which says that nothing
is there (FORMAT I6), so neither readers nor recovery hop onto what follows; when all is synced, the word is put in its
place. A process killed before leaves the old backup and remains behind its tip, which the next writer cuts off.
"""

import os

from libc.stdint cimport uint8_t, uint64_t

from cowtree.commit_state cimport CommitState, state_in
from cowtree.differences cimport changed_names, tree_source
from cowtree.engine cimport Engine
from cowtree.layout cimport key_size_max, store64
from cowtree.session cimport Session, begin_session
from cowtree.session_trees cimport WriteTree
from cowtree.states cimport catalogue_of, named_record, tags_of
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.tree.cursor cimport TreeSource
from cowtree.tree.diff cimport diff_iterator
from cowtree.tree.view cimport TreeView
from cowtree.tree_codecs cimport record_codecs

from cowtree import registry
from cowtree.backup import Meter
from cowtree.catalogue import SETTING, Tag, pack_tag, tag_key
from cowtree.errors import SnapshotGoneError
from cowtree.options import DEFAULT
from cowtree.storage.chain import commit_of_id, commits_after
from cowtree.storage.record_reader import RecordReader


cdef class Increment:
    """One extension of one backup."""

    cdef TreeSource handle                 # of the source; closing it ends the work
    cdef Engine source
    cdef CommitState newest                # of the source: what the backup is brought up to
    cdef Engine target
    cdef CommitState base                  # of the target, before
    cdef object timeout
    cdef uint64_t write_memory
    cdef object meter
    cdef dict tagged                       # id of a commit that a tag names -> how the target has it: Tag, or None

    cdef CommitRecord common(self):
        """The source's record of the commit that is the backup's newest; ValueError, SnapshotGoneError."""
        cdef CommitRecord mine, theirs = self.base.record
        path = self.target.path
        if self.target.file.uuid != self.source.file.uuid:
            raise ValueError(f"{path} is not a backup of {self.source.path}: it is another database")
        if theirs.commit_id > self.newest.record.commit_id:
            raise ValueError(
                f"{path} is ahead: its newest commit is {theirs.commit_id}, not up to {self.newest.record.commit_id}"
            )
        mine = commit_of_id(RecordReader(self.source.file, self.newest.space), self.newest.record, theirs.commit_id)
        if mine is None:
            raise SnapshotGoneError(
                f"commit {theirs.commit_id}, with which {path} ends, is not kept any more: make a new backup, and hold a "
                "tag on the commit of the last one"
            )
        if mine.fields.commit_nonce != theirs.fields.commit_nonce:
            raise ValueError(f"{path} was written to, or is of another past: its commit {theirs.commit_id} is not the source's")
        return mine

    cdef int extend(self, CommitRecord common) except -1:
        """Append every younger commit, the last one with the tags and settings of `newest`."""
        cdef CommitState older = state_in(common, self.newest.space), younger
        cdef CommitRecord record, following
        cdef Session session
        records = commits_after(RecordReader(self.source.file, self.newest.space), common, self.newest.record)
        next(records)
        record = next(records, None)
        if record is None:
            session = self.begin()
            try:
                self.follow_catalogue(session)
            except BaseException:
                session.rollback()
                raise
            session.commit(True, b"")
            return 0
        while record is not None:
            following = next(records, None)
            younger = state_in(record, self.newest.space)
            self.repeat(older, younger, following is None)
            older = younger
            record = following
        return 0

    cdef Session begin(self):
        return begin_session(self.target, self.timeout, self.write_memory, self.handle)

    cdef int repeat(self, CommitState older, CommitState younger, bint last) except -1:
        """Make one commit of the source anew: what leads from the state before to its own."""
        cdef Session session = self.begin()
        cdef CommitRecord made
        try:
            session.repeat(younger.record)
            self.change_tree(session, session.default_tree, None, older, younger)
            self.change_default_codecs(session, older, younger)
            for name in changed_names(older, younger, self.handle):
                self.change_named(session, name, older, younger)
            if last:
                self.follow_catalogue(session)
        except BaseException:
            session.rollback()
            raise
        session.commit(True, younger.record.note)
        made = self.target.appended.record
        if made.commit_id in self.tagged:
            self.tagged[made.commit_id] = Tag(made.commit_id, made.nonce, made.page, made.time_ns)
        return 0

    cdef int change_tree(self, Session session, WriteTree tree, str name, CommitState older, CommitState younger) except -1:
        """Lead a tree from one state of the source to another."""
        cdef TreeSource before = tree_source(older, name, self.handle), after = tree_source(younger, name, self.handle)
        cdef TreeView view
        after.pin(&view)
        if view.root == 0:
            return session.clear(tree)
        for key, kind, _, value in diff_iterator(before, after, None, None, True, True):
            if kind == "removed":
                session.delete(tree, key, DEFAULT)
                self.meter.advance(len(key))
            else:
                session.put(tree, key, value, True, DEFAULT)
                self.meter.advance(len(key) + len(value))
        return 0

    cdef int change_named(self, Session session, str name, CommitState older, CommitState younger) except -1:
        """Lead a named tree from one state to another, its record too; it may be new, or be gone."""
        cdef bytes record = named_record(younger, name, self.source.path)
        cdef WriteTree tree
        if record is None:
            session.drop(name)
            return 0
        tree = session.tree_named(name)
        self.change_tree(session, tree, name, older, younger)
        session.after_change(tree, 0)      # its record, and the tree if it is empty, come along in any case
        return session.set_record(tree, record)

    cdef int change_default_codecs(self, Session session, CommitState older, CommitState younger) except -1:
        cdef bytes record = named_record(younger, None, self.source.path)
        if record_codecs(record) != record_codecs(named_record(older, None, self.source.path)):
            session.codecs_of_default()
            session.set_record(session.default_tree, record)
        return 0

    cdef int follow_catalogue(self, Session session) except -1:
        """Let tags and settings be those of the source."""
        cdef CommitState present = session.base
        cdef uint64_t size_max = key_size_max(self.target.file.page_size)
        wanted = tags_of(self.newest, self.source.path)
        had = tags_of(present, self.target.path)
        for name in had:
            if name not in wanted:
                session.set_catalogue(tag_key(name, size_max), None)
        for name, tag in wanted.items():
            if session.given is not None and tag.commit_id == session.commit_id:
                session.tag_own(tag_key(name, size_max))
            elif name not in had or had[name].commit_id != tag.commit_id:
                session.set_catalogue(tag_key(name, size_max), pack_tag(self.tag_of(name, tag.commit_id)))
        settings = dict(catalogue_of(self.newest, self.source.path).items(prefix=SETTING))
        for key in catalogue_of(present, self.target.path).keys(prefix=SETTING):
            if key not in settings:
                session.set_catalogue(key, None)
        for key, record in settings.items():
            if session.catalogue_record(key) != record:
                session.set_catalogue(key, record)
        return 0

    cdef object tag_of(self, str name, uint64_t commit_id):
        """A commit as the target has it."""
        cdef CommitRecord record
        if self.tagged.get(commit_id) is None:
            record = commit_of_id(RecordReader(self.target.file, self.base.space), self.base.record, commit_id)
            if record is None:
                raise SnapshotGoneError(f"{self.target.path} has no commit {commit_id}, at which the tag {name!r} points")
            self.tagged[commit_id] = Tag(record.commit_id, record.nonce, record.page, record.time_ns)
        return self.tagged[commit_id]

    cdef int reveal(self) except -1:
        """Everything is appended: let it be seen, at once and durably."""
        cdef Engine target = self.target
        cdef bytearray word = bytearray(8)
        cdef uint8_t[::1] bytes_of_word = word
        if target.withheld_word:
            target.file.device.sync()
            store64(&bytes_of_word[0], target.withheld_word)
            # Eight bytes within a sector: there or not there.
            target.file.device.write_bytes(self.base.end << target.file.shift, word)
            target.file.device.sync()
            target.durable_sequence = target.appended_sequence
        target.withholding = False
        target.publish(target.appended)
        return 0

    cdef int abandon(self) except -1:
        """The backup is what it was: nobody has seen more."""
        self.target.published = self.base
        self.target.set_appended(self.base)
        self.target.wrote = False          # so that shutting down calls nothing durable
        self.target.cut_back()
        return 0


def extend_backup(
    TreeSource handle not None, Engine source not None, CommitState newest not None, path, timeout, write_memory, progress,
    trace=None,
):
    """Bring the backup at `path` up to the state `newest` of `source`. See `Database.backup`.

    `handle`: of the source; closing it meanwhile ends the work with ClosedError. `timeout` in seconds: for the lock of the backup's writer;
    `write_memory` in bytes: as of a transaction; `trace` is where tests plug in. O(what differs) time.
    """
    cdef Increment increment = Increment.__new__(Increment)
    cdef Engine target = registry.private_engine(path, trace=trace)
    cdef CommitRecord common
    increment.handle = handle
    increment.source = source
    increment.newest = newest
    increment.target = target
    increment.timeout = timeout
    increment.write_memory = write_memory
    increment.meter = Meter(progress)
    try:
        if os.path.samestat(os.fstat(target.file.device.fd), os.fstat(source.file.device.fd)):
            raise ValueError(f"{path} is the database itself, not a backup of it")
        increment.tagged = {}
        for tag in tags_of(newest, source.path).values():
            increment.tagged[tag.commit_id] = None
        target.begin_write(timeout, handle)
        increment.base = target.appended
        target.withholding = True          # the lock is kept to the end
        target.finish_write()
        try:
            common = increment.common()
            increment.extend(common)
            increment.meter.finish()
            increment.reveal()
        except BaseException:
            increment.abandon()
            raise
    except BaseException:
        target.shutdown()
        raise
    try:
        target.shutdown()
    except OSError:
        pass                               # the backup is whole and durable; it was only not closed cleanly
