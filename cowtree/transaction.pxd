"""Transactions, their trees, savepoints."""

from cowtree.session cimport Session, WriteTree
from cowtree.writer cimport Writer


cdef class Transaction(Writer):
    cdef Session session
    cdef bint durable
    cdef bytes note
    cdef object committed                  # the id, after commit
    cdef object __weakref__


cdef class TransactionTree(Writer):
    cdef Transaction owner
    cdef readonly object name

    cdef WriteTree named(self, Session session)


cdef class Savepoint:
    cdef Transaction owner
    cdef int depth
    cdef bint open


cdef Transaction make_transaction(Session session, bint durable, bytes note)
