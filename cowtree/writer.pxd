"""The write methods that databases, transactions and their trees share."""

from libc.stdint cimport uint64_t

from cowtree.reader cimport Reader
from cowtree.session cimport Session
from cowtree.session_trees cimport WriteTree


cdef class Writer(Reader):
    cdef Session enter(self)                               # the session to write through: its own, or one begun now
    cdef WriteTree target(self, Session session)           # the tree in it that this handle means
    cdef int leave(self, Session session, bint ok) except -1
    cdef bint batches(self)                                # may `load` commit in between?
    cdef object value_bytes(self, object value)
    cdef object raw_pairs(self, object pairs)
    cdef uint64_t store_all(self, object pairs) except? 0xFFFFFFFFFFFFFFFF
    cdef uint64_t store_pairs(self, Session session, object pairs, uint64_t serial) except? 0xFFFFFFFFFFFFFFFF
