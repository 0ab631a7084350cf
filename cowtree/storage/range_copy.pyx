# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Copies records into another file and seals every page anew, for that file's generation (FORMAT §6.4).

    window read ──> each page verified under the old generation, sealed under the new one, in place ──> window written

A window holds the pages of many records, or a piece of one large value. What a page's seal needs may lie behind it:

- A commit page comes first in its range and holds the digest of the rest. It is sealed where it lies when the range
  ends in the same window; else a copy is held, and written when the range ends.
- A run's header holds the checksum of the table at the run's end. A run that fits into a window is sealed in place. A
  larger one passes in pieces, with its table piecewise beside it, and its header is written last: the value is read
  once, where two passes would read it twice.

Memory is a window and a few pages, whatever the file holds. Reading by position needs no guard against SIGBUS.
"""

import os

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from ..checksum cimport xxh64, xxh64_finish, xxh64_start, xxh64_update
from ..layout cimport (
    FIRST_RECORD_PAGE, FORMAT_VERSION, KIND_BRANCH, KIND_LEAF, KIND_RETIRED, KIND_RUN, PAGE_KIND, PAGE_NUMBER,
    RUN_HEADER_SIZE, RUN_PAGES, RUN_TABLE_CHECKSUM, RUN_VALUE_SIZE, load32, load64, run_page_count, store64,
)
from .commit_record cimport (
    COMMIT_DIGEST, COMMIT_GENERATION, COMMIT_INCOMPATIBLE, COMMIT_KIND, COMMIT_NONCE, COMMIT_PAGE_COUNT,
    COMMIT_PREVIOUS_DIGEST, COMMIT_PREVIOUS_NONCE, COMMIT_PREVIOUS_PAGE, COMMIT_READ_COMPATIBLE, COMMIT_SEQUENCE,
    COMMIT_VERSION, RECORD_BASE, RECORD_FULL, RECORD_GAP, CommitRecord, commit_page_problem,
)
from .devices cimport Device, iovec, read_all
from .page_file cimport PageFile

from ..errors import CorruptionError, FormatError
from .page_file import copied_identity

cdef enum:
    WINDOW_SIZE = 1 << 20                      # fits a core's cache
    WINDOWS = 8                                # copied without the GIL; about 5 ms of work
    ENTRIES_SIZE = WINDOW_SIZE // 4096 * 8     # table entries of a window's pages


cdef class RangeCopier:
    """The records of `source` up to and with `tip`, from the first on, for a target where they have the same numbers.

    `begin` with a target, write the pages 0 and 1, which are none of its business, and call `advance` until it returns
    0. `source` may be closed meanwhile. What is raised leaves the copy unfinished: CorruptionError naming the damaged
    page, FormatError, OSError (of the source: with its path).
    """

    def __cinit__(self, PageFile source not None, CommitRecord tip not None):
        self.fd = -1
        source.ensure_open()
        self.fd = os.dup(source.device.fd)
        self.source = source
        self.page_size = source.page_size
        memcpy(self.uuid, source.uuid_bytes, 16)
        self.old_generation = source.generation
        self.tip_page = tip.fields.page
        self.tip_checksum = tip.checksum
        self.end_page = tip.fields.page + tip.fields.page_count
        self.capacity = WINDOW_SIZE >> source.shift
        self.memory = <uint8_t*> malloc(WINDOW_SIZE + 2 * self.page_size + 2 * ENTRIES_SIZE)
        if self.memory == NULL:
            raise MemoryError
        self.window = self.memory
        self.held = self.window + WINDOW_SIZE
        self.late = self.held + self.page_size
        self.old_entries = self.late + self.page_size
        self.new_entries = self.old_entries + ENTRIES_SIZE
        self.next_page = self.end_page

    def __dealloc__(self):
        if self.fd >= 0:
            _close(self.fd)
        free(self.memory)

    def begin(self, Device target not None, uint64_t generation):
        """Start at the first record, also once more, with seals of this generation. Returns the target's page 0."""
        self.target = target
        self.generation = generation
        self.next_page = self.record_end = FIRST_RECORD_PAGE
        self.record_page = self.run_left = 0
        self.unlucky = False
        self.read(self.window, self.page_size, 0)
        return copied_identity(self.source, self.window[:self.page_size], generation)

    def advance(self):
        """Copy some windows, without the GIL. Returns how many pages are still to come: 0 is the end.

        When `unlucky` is set, begin again with another generation.
        """
        cdef uint64_t first = self.next_page
        cdef int _
        with nogil:
            for _ in range(WINDOWS):
                if self.run_left:
                    self.copy_run_window()
                elif self.next_page < self.end_page:
                    self.copy_window()
        # The device works meanwhile, so that the sync at the end is short and a writer's is not long.
        self.target.begin_writeback(first * self.page_size, (self.next_page - first) * self.page_size)
        return self.end_page - self.next_page

    # ------------------------------------------------------------------------------------------------------ windows

    cdef int copy_window(self) except -1 nogil:
        """Whole pages, small runs and records, as many as fit; up to the first large run or gap."""
        cdef uint64_t first = self.next_page
        cdef uint64_t pages = min(self.capacity, self.end_page - first)
        cdef uint64_t sealed
        self.late_number = 0
        self.read(self.window, pages * self.page_size, first * self.page_size)
        sealed = <uint64_t> self.seal_window(pages)
        self.write(self.window, sealed * self.page_size, first * self.page_size)
        if self.late_number:
            self.write(self.late, self.page_size, self.late_number * self.page_size)
        return 0

    cdef int copy_run_window(self) except -1 nogil:
        """The next piece of a run that is larger than a window: of its value and of its table."""
        cdef uint64_t offset = self.run_page * self.page_size
        cdef uint64_t first = self.run_count - self.run_left
        cdef uint64_t count = min(self.capacity, self.run_left)
        cdef uint64_t start = first * self.page_size
        cdef uint64_t end = min(start + count * self.page_size, self.run_table)
        cdef uint64_t size = end - start if end > start else 0
        cdef uint64_t entries = self.run_table + 8 * first
        self.late_number = 0
        self.read(self.window, size, offset + start)
        self.read(self.old_entries, 8 * count, offset + entries)
        self.seal_run_pages(self.window, first, count, self.old_entries, self.new_entries)
        self.write(self.window, size, offset + start)
        self.write(self.new_entries, 8 * count, offset + entries)
        self.run_left -= count
        self.next_page += count
        if self.run_left == 0:
            self.end_run(self.run_header)
            self.write(self.run_header, RUN_HEADER_SIZE, offset)
            if self.next_page == self.record_end:
                self.end_record()
                self.write(self.late, self.page_size, self.late_number * self.page_size)
        return 0

    cdef int read(self, uint8_t* into, uint64_t size, uint64_t offset) except -1 nogil:
        cdef ssize_t got = read_all(self.fd, into, size, offset)
        if got < 0:
            with gil:
                raise OSError(-got, os.strerror(-got), self.source.path)
        if <uint64_t> got < size:
            self.fail("the file ends inside a record", (offset + <uint64_t> got) // self.page_size)
        return 0

    cdef int write(self, const uint8_t* data, uint64_t size, uint64_t offset) except -1 nogil:
        cdef iovec piece
        if size:
            piece.iov_base = <void*> data
            piece.iov_len = size
            self.target.write_without_gil(&piece, 1, offset)
        return 0

    cdef int64_t seal_window(self, uint64_t pages) except -1 nogil:
        """Verify and seal what is whole in the window; how many of its pages those are. Moves `next_page` on."""
        cdef uint64_t number = self.next_page, done = 0, count
        cdef uint8_t* page
        while done < pages:
            page = self.window + done * self.page_size
            count = 1
            if number == self.record_end:
                self.begin_record(page, number)
                if page[COMMIT_KIND] == RECORD_GAP:        # the rest of its range is never read: a hole
                    self.end_record()
                    self.next_page = self.record_end
                    return <int64_t> done + 1
            elif page[PAGE_KIND] == KIND_RUN:
                self.begin_run(page, number)
                count = self.run_count
                if count > pages - done:
                    if count > self.capacity:
                        self.run_left = count
                    break                                  # the next window begins with it
                self.seal_run_pages(page, 0, count, page + self.run_table, page + self.run_table)
                self.end_run(page)
            else:
                self.seal_page(page, number)
            number += count
            done += count
            if number == self.record_end:
                self.end_record()
        self.next_page = number
        if number != self.record_end and self.commit_page != self.held:
            memcpy(self.held, self.commit_page, self.page_size)
            self.commit_page = self.held
        return <int64_t> done

    # ------------------------------------------------------------------------------------------------------ records

    cdef int begin_record(self, uint8_t* page, uint64_t number) except -1 nogil:
        """A commit page, verified as the next record of the chain (I9), but for its range."""
        cdef uint64_t count = load64(page + COMMIT_PAGE_COUNT)
        cdef const char* problem = commit_page_problem(
            page, <uint32_t> self.page_size, number, self.uuid, self.old_generation
        )
        if problem != NULL:
            self.fail(problem, number)
        if (
            load32(page + COMMIT_VERSION) != FORMAT_VERSION or load64(page + COMMIT_INCOMPATIBLE)
            or load64(page + COMMIT_READ_COMPATIBLE)
        ):
            with gil:
                raise FormatError(f"{self.source.path}: page {number}: a commit of a format that this release cannot write")
        if page[COMMIT_KIND] < RECORD_FULL or page[COMMIT_KIND] > RECORD_BASE:
            self.fail("unknown kind of record", number)
        if load64(page + COMMIT_PREVIOUS_PAGE) != self.record_page:
            self.fail("it names another predecessor", number)
        if self.record_page:
            if load64(page + COMMIT_PREVIOUS_NONCE) != self.nonce:
                self.fail("it names its predecessor with another nonce", number)
            if memcmp(page + COMMIT_PREVIOUS_DIGEST, self.old_digest, 16):
                self.fail("it names its predecessor with another digest", number)
            if load64(page + COMMIT_SEQUENCE) != self.sequence + 1:
                self.fail("its sequence is not the next", number)
            memcpy(page + COMMIT_PREVIOUS_DIGEST, self.new_digest, 16)
        if count == 0 or count > self.end_page - number:
            self.fail("impossible range", number)
        if (number == self.tip_page) != (load64(page) == self.tip_checksum) or (
            (number == self.tip_page) != (number + count == self.end_page)
        ):
            self.fail("not the record that is to be the last", number)
        self.record_page = number
        self.record_end = number + count
        self.sequence = load64(page + COMMIT_SEQUENCE)
        self.nonce = load64(page + COMMIT_NONCE)
        self.commit_page = page
        xxh64_start(&self.old_pages.by_generation, self.old_generation)
        xxh64_start(&self.new_pages.by_generation, self.generation)
        xxh64_start(&self.old_pages.by_nonce, self.nonce)
        xxh64_start(&self.new_pages.by_nonce, self.nonce)
        return 0

    cdef int end_record(self) except -1 nogil:
        """The range is complete: check its digest, then seal its commit page."""
        cdef uint8_t* page = self.commit_page
        cdef uint64_t checksum
        store64(self.old_digest, xxh64_finish(&self.old_pages.by_generation))
        store64(self.old_digest + 8, xxh64_finish(&self.old_pages.by_nonce))
        if memcmp(self.old_digest, page + COMMIT_DIGEST, 16):
            self.fail("the pages are not those that this commit wrote", self.record_page)
        if page == self.held:
            memcpy(self.late, page, self.page_size)
            page = self.late
            self.late_number = self.record_page
        store64(self.new_digest, xxh64_finish(&self.new_pages.by_generation))
        store64(self.new_digest + 8, xxh64_finish(&self.new_pages.by_nonce))
        store64(page + COMMIT_GENERATION, self.generation)
        memcpy(page + COMMIT_DIGEST, self.new_digest, 16)
        checksum = xxh64(page + 8, self.page_size - 8, self.generation)
        if self.zero_checksums:
            self.zero_checksums -= 1
            checksum = 0
        if checksum == 0:
            self.unlucky = True
        store64(page, checksum)
        return 0

    cdef void add_to_digests(self, uint64_t number, uint64_t old_checksum, uint64_t new_checksum) noexcept nogil:
        cdef uint8_t entry[16]
        store64(entry, number)
        store64(entry + 8, old_checksum)
        xxh64_update(&self.old_pages.by_generation, entry, 16)
        xxh64_update(&self.old_pages.by_nonce, entry, 16)
        store64(entry + 8, new_checksum)
        xxh64_update(&self.new_pages.by_generation, entry, 16)
        xxh64_update(&self.new_pages.by_nonce, entry, 16)

    # -------------------------------------------------------------------------------------------------------- pages

    cdef int seal_page(self, uint8_t* page, uint64_t number) except -1 nogil:
        """A leaf, a branch or a list page."""
        cdef uint64_t old = load64(page), new
        if load64(page + PAGE_NUMBER) != number:
            self.fail("the page carries another page's number", number)
        if page[PAGE_KIND] != KIND_LEAF and page[PAGE_KIND] != KIND_BRANCH and page[PAGE_KIND] != KIND_RETIRED:
            self.fail("unexpected kind of page", number)
        if xxh64(page + 8, self.page_size - 8, self.old_generation) != old:
            self.fail("wrong checksum", number)
        new = xxh64(page + 8, self.page_size - 8, self.generation)
        store64(page, new)
        self.add_to_digests(number, old, new)
        return 0

    cdef int begin_run(self, const uint8_t* header, uint64_t number) except -1 nogil:
        """A run's header, verified; its pages and its table are still to be."""
        cdef uint64_t count = load64(header + RUN_PAGES), size = load64(header + RUN_VALUE_SIZE)
        if load64(header + PAGE_NUMBER) != number:
            self.fail("the page carries another page's number", number)
        if load64(header) != xxh64(header + 8, RUN_HEADER_SIZE - 8, self.old_generation):
            self.fail("wrong checksum", number)
        if (
            count == 0 or count > self.record_end - number or size >= count * self.page_size
            or run_page_count(size, self.page_size) != count
        ):
            self.fail("the value's size does not agree with its pages", number)
        memcpy(self.run_header, header, RUN_HEADER_SIZE)
        self.run_page = number
        self.run_count = count
        self.run_table = count * self.page_size - 8 * count
        xxh64_start(&self.old_table, self.old_generation)
        xxh64_start(&self.new_table, self.generation)
        return 0

    cdef int seal_run_pages(
        self, const uint8_t* data, uint64_t first, uint64_t count, const uint8_t* old, uint8_t* new
    ) except -1 nogil:
        """Pages of the run from its page `first` on: `data` against the table's piece `old`; their new entries.

        `old` and `new` may be one place.
        """
        cdef uint64_t i, low, high
        xxh64_update(&self.old_table, old, 8 * count)
        for i in range(first, first + count):
            low = i * self.page_size if i else RUN_HEADER_SIZE
            high = min((i + 1) * self.page_size, self.run_table)
            if low > high:                                 # nothing but table
                low = high
            if load64(old + 8 * (i - first)) != xxh64(
                data + (low - first * self.page_size), high - low, self.old_generation + i
            ):
                self.fail("wrong checksum of a large value", self.run_page + i)
            store64(new + 8 * (i - first), xxh64(
                data + (low - first * self.page_size), high - low, self.generation + i
            ))
        xxh64_update(&self.new_table, new, 8 * count)
        return 0

    cdef int end_run(self, uint8_t* header) except -1 nogil:
        """All pages have passed: check the table as it was stored, then seal the header."""
        cdef uint64_t old = load64(header)
        if load64(header + RUN_TABLE_CHECKSUM) != xxh64_finish(&self.old_table):
            self.fail("wrong checksum of a large value's table", self.run_page)
        store64(header + RUN_TABLE_CHECKSUM, xxh64_finish(&self.new_table))
        store64(header, xxh64(header + 8, RUN_HEADER_SIZE - 8, self.generation))
        self.add_to_digests(self.run_page, old, load64(header))
        return 0

    # ------------------------------------------------------------------------------------------------------- errors

    cdef int fail(self, const char* problem, uint64_t number) except -1 nogil:
        with gil:
            raise CorruptionError((<bytes> problem).decode(), path=self.source.path, page=number)


cdef extern from "<unistd.h>":
    int _close "close"(int fd) nogil
