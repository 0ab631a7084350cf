# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Writing: see `writer.pxd` and the contract of `Tree` in the stub.

On a database each method is one commit of its own; on a transaction it is part of that.
"""

import itertools
import operator
import time

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.pages.leaf cimport FOUND
from cowtree.session cimport Session
from cowtree.session_trees cimport WriteTree
from cowtree.sorted_load cimport SortedLoad, load_into
from cowtree.tree.search cimport Path

from cowtree.errors import TransactionError
from cowtree.options import DEFAULT, as_bytes

MISSING = object()
cdef uint64_t PUTS_AT_ONCE = 1024              # a millisecond: neither Ctrl-C nor another thread waits longer


cdef class Writer(Reader):
    """Write methods; see the contract in the stub."""

    cdef Session enter(self):
        raise TypeError("a writer must say how it writes")

    cdef WriteTree target(self, Session session):
        session.use_codecs(session.default_tree, None)
        return session.default_tree

    cdef int leave(self, Session session, bint ok) except -1:
        return 0

    cdef bint batches(self):
        return False

    def put(self, key, value, *, bint overwrite=True, expect=DEFAULT):
        """Store a value; True if it was stored.

        `overwrite=False`: only a new key. `expect=x`: only if the stored bytes are x now (None: no such key).
        """
        cdef bint stored
        cdef Session session
        if self.codecs is not None:
            key = self.codecs.encode_key(key)
            value = self.codecs.encode_value(value)
            expect = self.expected(expect)
        session = self.enter()
        try:
            stored = session.put(self.target(session), key, value, overwrite, expect)
        except BaseException:
            self.leave(session, False)
            raise
        self.leave(session, True)
        return stored

    cdef object value_bytes(self, object value):
        return value if self.codecs is None else self.codecs.encode_value(value)

    def expected(self, expect):
        """The bytes that `expect=` means; DEFAULT and None mean themselves."""
        return expect if expect is DEFAULT or expect is None else self.value_bytes(expect)

    cdef object raw_pairs(self, object pairs):
        """An iterator over encoded (key, value) of a mapping or an iterable of pairs."""
        return pairs_of(pairs) if self.codecs is None else self.codecs.taken_pairs(pairs_of(pairs))

    def __setitem__(self, key, value):
        cdef Session session
        if self.codecs is not None:
            key = self.codecs.encode_key(key)
            value = self.codecs.encode_value(value)
        session = self.enter()
        try:
            session.put(self.target(session), key, value, True, DEFAULT)
        except BaseException:
            self.leave(session, False)
            raise
        self.leave(session, True)

    def delete(self, key, *, expect=DEFAULT):
        """Take an entry out; True if it was there (and, with `expect`, had that value)."""
        cdef bint deleted
        cdef Session session
        if self.codecs is not None:
            key = self.codecs.encode_key(key)
            expect = self.expected(expect)
        session = self.enter()
        try:
            deleted = session.delete(self.target(session), key, expect)
        except BaseException:
            self.leave(session, False)
            raise
        self.leave(session, True)
        return deleted

    def __delitem__(self, key):
        if not self.delete(key):
            raise KeyError(key)

    def replace(self, key, value):
        """Store a value and return the one it replaces, or None."""
        found = self._exchange(self.key_bytes(key), self.value_bytes(value), True)
        return None if found is MISSING else found

    def setdefault(self, key, default=None):
        """The value of `key`; stores `default` (which must be bytes) first if the key is missing."""
        found = self.get(key, MISSING)
        if found is not MISSING:
            return found
        found = self._exchange(self.key_bytes(key), self.value_bytes(default), False)
        if found is not MISSING:
            return found
        return as_bytes(default, "value") if self.codecs is None or self.codecs.value is None else default

    def _exchange(self, bytes name, value, bint overwrite):
        """The present value or MISSING; stores `value` if there is none, or if `overwrite`."""
        cdef Session session
        old = MISSING
        cdef WriteTree tree
        cdef Path path
        session = self.enter()
        try:
            session.check()
            tree = self.target(session)
            if session.find(
                tree, <const uint8_t*>PyBytes_AS_STRING(name), <uint32_t>min(PyBytes_GET_SIZE(name), 65537), &path
            ) == FOUND:
                old = self.given_value(session.value_of(tree, &path), name)
            if old is MISSING or overwrite:
                session.put(tree, name, value, True, DEFAULT)
        except BaseException:
            self.leave(session, False)
            raise
        self.leave(session, True)
        return old

    def pop(self, key, default=MISSING):
        """Take an entry out and return its value; `default`, if given, for a missing key, else KeyError."""
        cdef bytes name = self.key_bytes(key)
        cdef Session session
        old = MISSING
        cdef WriteTree tree
        cdef Path path
        session = self.enter()
        try:
            session.check()
            tree = self.target(session)
            if session.find(
                tree, <const uint8_t*>PyBytes_AS_STRING(name), <uint32_t>min(PyBytes_GET_SIZE(name), 65537), &path
            ) == FOUND:
                old = self.given_value(session.value_of(tree, &path), name)
                session.delete(tree, name, DEFAULT)
        except BaseException:
            self.leave(session, False)
            raise
        self.leave(session, True)
        if old is not MISSING:
            return old
        if default is MISSING:
            raise KeyError(key)
        return default

    def popitem(self, last=True):
        """Take out and return the last (or first) entry; KeyError if there is none."""
        cdef Session session = self.enter()
        cdef WriteTree tree
        item = None
        try:
            session.check()
            tree = self.target(session)
            item = session.end_item(tree, bool(last))
            if item is not None:
                found = self.given(item)           # before anything changes: it may not decode
                session.delete(tree, item[0], DEFAULT)
        except BaseException:
            self.leave(session, False)
            raise
        self.leave(session, True)
        if item is None:
            raise KeyError("the tree is empty")
        return found

    def clear(self):
        """Take every entry out. O(1) in what is stored."""
        cdef Session session = self.enter()
        try:
            session.clear(self.target(session))
        except BaseException:
            self.leave(session, False)
            raise
        self.leave(session, True)

    def delete_range(self, start=None, stop=None, *, prefix=None):
        """Take out start <= key < stop; how many entries went. O(log n): whole subtrees are cut unvisited."""
        cdef uint64_t count
        cdef Session session
        if start is None and stop is None and prefix is None:
            raise TypeError("delete_range needs a bound or a prefix; to take everything out, say clear()")
        low, high = self.bounds(start, stop, prefix)
        session = self.enter()
        try:
            count = session.delete_range(self.target(session), low, high)
        except BaseException:
            self.leave(session, False)
            raise
        self.leave(session, True)
        return count

    def update(self, pairs=(), /):
        """Store the pairs of a mapping or an iterable; all of them or, on an error, none."""
        self.store_all(self.raw_pairs(pairs))

    cdef uint64_t store_all(self, object pairs) except? 0xFFFFFFFFFFFFFFFF:
        """Store encoded pairs, all or none: how many."""
        cdef Session session = self.enter()
        cdef uint64_t serial, count
        try:
            session.check()
            serial = session.open_savepoint()
        except BaseException:
            self.leave(session, False)
            raise
        try:
            count = self.store_pairs(session, pairs, serial)
            session.close_savepoint(serial, True)
        except BaseException:
            session.unsettled = None
            try:
                if session.active and session.has_savepoint(serial):
                    session.close_savepoint(serial, False)
            except BaseException:                  # no memory to undo it by itself: all of it goes
                session.failed = True
                raise
            finally:
                self.leave(session, False)
            raise
        self.leave(session, True)
        return count

    cdef uint64_t store_pairs(self, Session session, object pairs, uint64_t serial) except? 0xFFFFFFFFFFFFFFFF:
        cdef WriteTree tree = self.target(session)
        cdef uint64_t known = session.savepoint_serial, count = 0
        cdef SortedLoad load = load_into(session, tree)
        for pair in pairs:
            if session.savepoint_serial != known:  # the input itself opens or ends savepoints
                if not session.has_savepoint(serial):
                    raise TransactionError("the pairs being stored ended a savepoint around them, and share its fate")
                known = session.savepoint_serial
                tree = load.tree = self.target(session)
            if not load.take(pair):
                key, value = pair
                session.put(tree, key, value, True, DEFAULT)
            count += 1
            if count % PUTS_AT_ONCE == 0:
                PyErr_CheckSignals()
                with nogil:                        # other threads may want to run
                    pass
        session.check()
        if not session.has_savepoint(serial):
            raise TransactionError("the pairs being stored ended a savepoint around them, and share its fate")
        return count

    def load(self, pairs, *, batch=None, progress=None):
        """Store many pairs; how many. Sorted input fills pages to the brim.

        `batch`: entries per commit (on a database only; None: one commit). `progress(done, total)`: bytes of keys and
        values so far, total None until the last call, at most ten a second.
        """
        if batch is not None:
            batch = operator.index(batch)
            if not self.batches():
                raise ValueError("batches need a database: a transaction is one commit")
            if batch < 1:
                raise ValueError("a batch has at least one entry")
        meter = None if progress is None else Meter(progress)
        source = self.raw_pairs(pairs) if meter is None else meter.count(self.raw_pairs(pairs))
        total = 0
        while True:
            count = self.store_all(source if batch is None else itertools.islice(source, batch))
            total += count
            if batch is None or count < batch:
                break
        if meter is not None:
            meter.finish()
        return total


class Meter:
    """Counts bytes that pass, and tells `progress` at most ten times a second."""

    def __init__(self, progress):
        self.progress = progress
        self.bytes = 0
        self.next_call = 0.0

    def count(self, pairs):
        """Pass the pairs on."""
        for key, value in pairs:
            self.bytes += len(key) + len(value)
            now = time.monotonic()
            if now >= self.next_call:
                self.next_call = now + 0.1
                self.progress(self.bytes, None)
            yield key, value

    def finish(self):
        """The last call: done == total."""
        self.progress(self.bytes, self.bytes)


cdef object pairs_of(object pairs):
    """An iterator over (key, value) of a mapping or an iterable of pairs."""
    if hasattr(pairs, "items"):
        return iter(pairs.items())
    if hasattr(pairs, "keys"):
        return ((key, pairs[key]) for key in pairs.keys())
    return iter(pairs)
