"""Commit pages of a file's past, read from memory."""

from .page_file cimport PageFile, PageSpace


cdef class RecordReader:
    cdef readonly PageFile file
    cdef PageSpace space

    cdef object read(self, unsigned long long number)
