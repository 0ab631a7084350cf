# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Reads a record's commit page and range past the mapping, in windows of bounded size, for recovery and checks.

Reading by position needs no guard against SIGBUS, and `from_medium` bypasses the page cache. Nothing here sets a
verified bit: a checksum says nothing about a page's structure, which whoever uses the page checks.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from ..checksum cimport Xxh64State, xxh64, xxh64_finish, xxh64_start, xxh64_update
from ..layout cimport (
    KIND_BRANCH, KIND_LEAF, KIND_RETIRED, KIND_RUN, PAGE_KIND, PAGE_NUMBER, RUN_HEADER_SIZE, RUN_PAGES,
    RUN_TABLE_CHECKSUM, RUN_VALUE_SIZE, load64, run_page_count, store64,
)
from .commit_record cimport FLAG_PRESYNCED, RECORD_GAP, CommitRecord, decode_commit
from .page_file cimport PageFile

from ..errors import CorruptionError

cdef enum:
    WINDOW_SIZE = 256 << 10


cdef class RangeReader:
    """A window on the file that moves forward."""

    def __cinit__(self, PageFile file not None, *, bint from_medium=False):
        self.file = file
        self.from_medium = from_medium
        self.window_capacity = WINDOW_SIZE >> file.shift
        self.window = <uint8_t*> malloc(WINDOW_SIZE)
        if self.window == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.window)

    cdef const uint8_t* page_at(self, uint64_t number, uint64_t ahead) except? NULL:
        cdef uint64_t pages
        cdef Py_ssize_t got
        if not self.window_page <= number < self.window_page + self.window_pages:
            if number >> 48:                             # beyond any file; keeps the offset within 63 bits
                return NULL
            if number < self.expected_end:
                ahead = max(ahead, self.expected_end - number)
            pages = min(max(ahead, 1), self.window_capacity)
            self.window_pages = 0
            if self.from_medium:
                got = self.file.device.read_from_medium(self.window, pages << self.file.shift, number << self.file.shift)
            else:
                got = self.file.device.read(self.window, pages << self.file.shift, number << self.file.shift)
            self.window_page = number
            self.window_pages = <uint64_t> got >> self.file.shift
            self.bytes_read += <uint64_t> got
            if self.window_pages == 0:
                return NULL
        return self.window + ((number - self.window_page) << self.file.shift)

    def read_commit(self, uint64_t number, uint64_t ahead=1):
        """The record whose commit page is `number`. Raises CorruptionError, FormatError, OSError."""
        cdef const uint8_t* page = self.page_at(number, ahead)
        if page == NULL:
            raise CorruptionError("the file ends before this commit page", path=self.file.path, page=number)
        return decode_commit(page, self.file.page_size, number, self.file.uuid_bytes, self.file.generation,
                             self.file.path)

    def first_word(self, uint64_t number):
        """First word of the page: zero where nothing was written (I6); None beyond the end of the file."""
        cdef const uint8_t* page = self.page_at(number, 1)
        return None if page == NULL else load64(page)

    def forget(self):
        """Drop the window: the file may have changed."""
        self.window_pages = 0

    def expect(self, uint64_t end):
        """Pages up to `end` will be asked for in order: read whole windows of them.

        A record at a time is a read from the medium for each commit, and so most of the time of a recovery.
        """
        self.expected_end = end

    def range_problem(self, CommitRecord record not None, *, bint presynced=False):
        """Why the record's range does not verify, as CorruptionError; None: it does (FORMAT §3.2). Raises OSError.

        Gap records have nothing to verify here, and presynced ones only when it is asked for (I9). Reads every page
        once; O(1) memory.
        """
        cdef uint64_t end = record.fields.page + record.fields.page_count
        cdef uint64_t number = record.fields.page + 1
        cdef uint64_t generation = self.file.generation
        cdef Xxh64State by_generation, by_nonce
        cdef uint8_t digest[16]
        cdef uint8_t entry[16]
        cdef const uint8_t* page
        cdef uint64_t count
        if record.fields.kind == RECORD_GAP or (record.fields.flags & FLAG_PRESYNCED and not presynced):
            return None
        xxh64_start(&by_generation, generation)
        xxh64_start(&by_nonce, record.fields.nonce)
        while number < end:
            page = self.page_at(number, end - number)
            if page == NULL:
                return self._problem("the file ends inside a record", number)
            store64(entry, number)
            store64(entry + 8, load64(page))
            count = 1
            if load64(page + PAGE_NUMBER) != number:
                return self._problem("the page carries another page's number", number)
            if page[PAGE_KIND] == KIND_RUN:
                problem = self._run_problem(number, end, &count)
                if problem is not None:
                    return problem
            elif page[PAGE_KIND] == KIND_LEAF or page[PAGE_KIND] == KIND_BRANCH or page[PAGE_KIND] == KIND_RETIRED:
                if load64(page) != xxh64(page + 8, self.file.page_size - 8, generation):
                    return self._problem("wrong checksum", number)
            else:
                return self._problem("unexpected kind of page", number)
            xxh64_update(&by_generation, entry, 16)
            xxh64_update(&by_nonce, entry, 16)
            number += count
        store64(digest, xxh64_finish(&by_generation))
        store64(digest + 8, xxh64_finish(&by_nonce))
        if memcmp(digest, record.fields.digest, 16):
            return self._problem("the pages are not those that this commit wrote", record.fields.page)
        return None

    cdef object _run_problem(self, uint64_t number, uint64_t end, uint64_t* page_count):
        """The run that begins at `number`, in the window: why it does not verify, or None."""
        cdef uint64_t generation = self.file.generation, page_size = self.file.page_size
        cdef const uint8_t* page = self.page_at(number, 1)
        cdef uint64_t count = load64(page + RUN_PAGES), value_size = load64(page + RUN_VALUE_SIZE)
        cdef uint64_t table_checksum = load64(page + RUN_TABLE_CHECKSUM)
        cdef uint64_t table, start, low, high, i
        cdef uint8_t entry[8]
        cdef Xxh64State computed, stored
        if load64(page) != xxh64(page + 8, RUN_HEADER_SIZE - 8, generation):
            return self._problem("wrong checksum", number)
        if count == 0 or count > end - number or value_size >= count * page_size \
                or run_page_count(value_size, page_size) != count:
            return self._problem("the value's size does not agree with its pages", number)
        # The table as it should be and the table as it is stored have one checksum, the header's: so they are equal.
        table = count * page_size - 8 * count
        xxh64_start(&computed, generation)
        xxh64_start(&stored, generation)
        for i in range(count):
            page = self.page_at(number + i, end - number - i)
            if page == NULL:
                return self._problem("the file ends inside a record", number + i)
            start = i * page_size
            low = start if i else RUN_HEADER_SIZE
            high = start + page_size if start + page_size < table else table
            if low > high:
                low = high
            store64(entry, xxh64(page + (low - start if low >= start else 0), high - low, generation + i))
            xxh64_update(&computed, entry, 8)
            if start + page_size > table:
                low = table if table > start else start
                xxh64_update(&stored, page + (low - start), start + page_size - low)
        if xxh64_finish(&stored) != table_checksum or xxh64_finish(&computed) != table_checksum:
            return self._problem("wrong checksum of a large value", number)
        page_count[0] = count
        return None

    cdef object _problem(self, str reason, uint64_t number):
        return CorruptionError(reason, path=self.file.path, page=number)
