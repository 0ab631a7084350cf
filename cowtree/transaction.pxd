"""Transactions, their trees, savepoints."""

from libc.stdint cimport uint64_t

from cowtree.session cimport Session
from cowtree.session_trees cimport WriteTree
from cowtree.writer cimport Writer


cdef class Transaction(Writer):
    cdef Session session
    cdef bint durable
    cdef bytes note
    cdef object committed                  # the id, after commit
    cdef bint holds_engine                 # counts as one of its handles
    cdef object __weakref__

    cdef int undo(self) except -1
    cdef int end_with_handle(self) except -1
    cdef int let_go(self) except -1
    cdef int release_engine(self) except -1


cdef class TransactionTree(Writer):
    cdef Transaction owner
    cdef readonly object name

    cdef WriteTree named(self, Session session)


cdef class Savepoint:
    cdef Transaction owner
    cdef uint64_t serial
    cdef bint open


cdef list still_alive(list known)
cdef bytes check_note(object note)
cdef Transaction make_transaction(Session session, bint durable, bytes note, list known)
