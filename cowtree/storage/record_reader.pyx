# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Commit pages of a file's past, read from memory: look-ups in history touch one page a step, here and there.

Works on a space that a snapshot pins after the file was closed. Each page is verified whenever it is read: that costs
less than a microsecond, and a bit that says "verified" also says that the page's embedded root was.
"""

from libc.stdint cimport uint8_t, uint64_t
from posix.unistd cimport pread

from ..layout cimport PAGE_SIZE_MAX
from .commit_record cimport CommitRecord, decode_commit
from .fault_guard cimport guarded_copy
from .page_file cimport PageFile, PageSpace, Space

from ..errors import CorruptionError


cdef class RecordReader:
    """See `record_reader.pxd`. `space` reaches beyond every record that is asked for."""

    def __init__(self, PageFile file not None, PageSpace space not None):
        self.file = file
        self.space = space

    @property
    def path(self):
        """Of the file, for messages."""
        return self.file.path

    cdef object read(self, unsigned long long number):
        cdef uint8_t page[PAGE_SIZE_MAX]
        cdef const Space* space = &self.space.space
        cdef const uint8_t* low = space.base
        cdef uint64_t size = space.page_size
        cdef bint whole = False
        if number < space.page_limit:
            if space.mirrored:
                whole = pread(space.fd, page, size, number << space.shift) == <Py_ssize_t>size
            else:
                whole = guarded_copy(
                    page, low + (number << space.shift), size, low, low + (space.page_limit << space.shift)
                ) == 0
        if not whole:
            raise CorruptionError("the file ends before this commit page", path=self.file.path, page=number)
        cdef CommitRecord record = decode_commit(
            page, self.file.page_size, number, self.file.uuid_bytes, self.file.generation, self.file.path
        )
        # What a record covers bounds what its trees may refer to: inside the mapping, as for every record behind the tip.
        if record.fields.page + record.fields.page_count > space.page_limit:
            raise CorruptionError("the record reaches beyond the end of the file", path=self.file.path, page=number)
        return record

    def read_commit(self, uint64_t number):
        """The record whose commit page is `number`. Raises CorruptionError, FormatError. O(page size)."""
        return self.read(number)
