# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Moves pages into another file. See `page_mover.pxd`.

Reading by position needs no guard against SIGBUS, and a descriptor of its own outlives the engine's. A large run passes
in windows beside its checksum table, 8 bytes a page: no entry of it lies in a page before the one that it is of.
"""

import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from cowtree.checksum cimport xxh64
from cowtree.layout cimport (
    BITMAP_SIZE, ENTRY_KIND_MASK, ENTRY_RUN, KIND_BRANCH, KIND_LEAF, KIND_RUN, PAGE_BIRTH, PAGE_KIND, PAGE_LEVEL,
    PAGE_NUMBER, RUN_HEADER_SIZE, RUN_PAGES, RUN_TABLE_CHECKSUM, RUN_VALUE_SIZE, load64, run_page_count, store64,
)
from cowtree.pages.branch cimport branch_child, branch_set_child, lay_out_branch
from cowtree.pages.leaf cimport DAMAGED, Entry, entry_count, lay_out_leaf, leaf_entry
from cowtree.renumbering cimport Renumbering
from cowtree.storage.devices cimport iovec, read_all
from cowtree.storage.page_file cimport PageFile
from cowtree.storage.range_writer cimport RangeWriter
from cowtree.tree.live_map cimport LiveMap, is_set, rank_of

from cowtree.errors import CorruptionError
from cowtree.tree.live_map import StoppedError

cdef enum:
    WINDOW_SIZE = 1 << 20
    GAP_PAGES = 8                          # dead pages between live ones that are read along with them
    HINT_SIZE = 1 << 24

cdef extern from "<unistd.h>":
    int _close "close"(int fd) nogil


cdef class PageMover(Renumbering):
    """From `source`, which may be closed meanwhile, to `target`, which has its first record only."""

    def __cinit__(self, PageFile source not None, LiveMap map not None, object path):
        self.fd = -1
        self.map = map
        self.path = path
        self.generation = source.generation
        self.window = WINDOW_SIZE >> source.shift
        self.taken = <uint8_t*>malloc(WINDOW_SIZE)
        self.given = <uint8_t*>malloc(WINDOW_SIZE)
        self.table = <uint8_t*>malloc(16 * self.window)
        if self.taken == NULL or self.given == NULL or self.table == NULL:
            raise MemoryError
        self.commit_pages = {}
        self.writer = RangeWriter()
        self.fd = os.dup(source.device.fd)

    def __dealloc__(self):
        if self.fd >= 0:
            _close(self.fd)
        free(self.taken)
        free(self.given)
        free(self.table)
        free(self.large_table)

    cdef int give_descriptor(self) noexcept:
        cdef int fd = self.fd
        self.fd = -1
        return fd

    cdef int read_page(self, uint64_t number, uint8_t* into) except -1:
        with nogil:
            self.read(into, self.target.page_size, number << self.target.shift)
        return 0

    cdef int move_range(self, uint64_t first, uint64_t end) except -1:
        cdef uint64_t pages = HINT_SIZE >> self.target.shift
        with nogil:
            self.move_pages(first, end)
            self.flush()
        if self.writer.next_page - self.hinted >= pages or self.hinted == 0:
            # The device works meanwhile, so that the sync at the end is short.
            self.target.device.begin_writeback(
                self.hinted << self.target.shift, (self.writer.next_page - self.hinted) << self.target.shift
            )
            self.hinted = self.writer.next_page
        return 0

    cdef int move_pages(self, uint64_t first, uint64_t end) except -1 nogil:
        cdef uint64_t number = self.map.next_live(first, end)
        cdef const uint8_t* page
        while number < end:
            if self.map.stopping:
                with gil:
                    raise StoppedError
            if not self.taken_first <= number < self.taken_end:
                self.take(number, end)
            page = self.taken + ((number - self.taken_first) << self.target.shift)
            if page[PAGE_KIND] == KIND_RUN:
                number += self.move_run(page, number, end)
            else:
                self.move_page(page, number)
                number += 1
            number = self.map.next_live(number, end)
        return 0

    cdef int take(self, uint64_t number, uint64_t end) except -1 nogil:
        """Read live page `number` and those that follow it closely."""
        cdef uint64_t last = number, following
        if end > number + self.window:
            end = number + self.window
        while True:
            following = self.map.next_live(last + 1, end)
            if following >= end or following - last > GAP_PAGES:
                break
            last = following
        self.taken_first = self.taken_end = 0
        self.read(self.taken, (last + 1 - number) << self.target.shift, number << self.target.shift)
        self.taken_first = number
        self.taken_end = last + 1
        return 0

    cdef int move_page(self, const uint8_t* page, uint64_t number) except -1 nogil:
        """A leaf or a branch."""
        cdef uint64_t page_size = self.target.page_size
        cdef uint8_t* copy
        cdef uint64_t checksum
        if load64(page) != xxh64(page + 8, page_size - 8, self.generation) or load64(page + PAGE_NUMBER) != number:
            self.damaged(number)
        if self.given_count == self.window:
            self.flush()
        if self.given_count == 0:
            self.given_first = self.writer.next_page
        copy = self.given + (self.given_count << self.target.shift)
        memcpy(copy, page, page_size)
        if self.writer.next_page != rank_of(self.map, number) or self.renumber(
            copy, self.target.usable_size, number
        ) < 0:
            self.damaged(number)
        if is_set(self.map.catalogue, number):
            with gil:
                self.renumber_records(copy, self.target.usable_size, number)
        store64(copy + PAGE_NUMBER, self.writer.next_page)
        store64(copy + PAGE_BIRTH, self.writer.birth)
        checksum = xxh64(copy + 8, page_size - 8, self.target.generation)
        store64(copy, checksum)
        self.given_count = self.given_count + 1
        self.moved = self.moved + 1
        self.writer.note_written(checksum, 1)
        return 0

    cdef int renumber(self, uint8_t* image, uint64_t size, uint64_t limit) noexcept nogil:
        cdef uint8_t bitmap[BITMAP_SIZE]
        cdef uint32_t slot
        cdef uint64_t number
        cdef Entry entry
        if image[PAGE_KIND] == KIND_BRANCH:
            if image[PAGE_LEVEL] == 0 or lay_out_branch(image, <uint32_t>size, limit, bitmap) < 0:
                return DAMAGED
            for slot in range(entry_count(image)):
                number = branch_child(image, slot)
                if number >= limit or not is_set(self.map.live, number):
                    return DAMAGED
                branch_set_child(image, slot, rank_of(self.map, number))
            return 0
        if image[PAGE_KIND] != KIND_LEAF or image[PAGE_LEVEL] or lay_out_leaf(
            image, <uint32_t>size, limit, bitmap
        ) < 0:
            return DAMAGED
        for slot in range(entry_count(image)):
            if leaf_entry(image, <uint32_t>size, slot, &entry) < 0:
                return DAMAGED
            if entry.kind & ENTRY_KIND_MASK != ENTRY_RUN:
                continue
            number = load64(entry.value)
            if number >= limit or not is_set(self.map.live, number):
                return DAMAGED
            store64(<uint8_t*>entry.value, rank_of(self.map, number))
        return 0

    cdef uint64_t new_root(self, uint64_t root, uint32_t level, uint64_t limit) except 0:
        if root >= limit or not is_set(self.map.live, root):
            self.damaged(limit)
        return rank_of(self.map, root)

    # --------------------------------------------------------------------------------------------------------- runs

    cdef uint64_t move_run(self, const uint8_t* header, uint64_t number, uint64_t end) except 0 nogil:
        """A large value; how many pages it has."""
        cdef uint8_t head[RUN_HEADER_SIZE]
        cdef uint64_t count = load64(header + RUN_PAGES), size = load64(header + RUN_VALUE_SIZE)
        memcpy(head, header, RUN_HEADER_SIZE)
        if (
            load64(head) != xxh64(head + 8, RUN_HEADER_SIZE - 8, self.generation) or load64(head + PAGE_NUMBER) != number
            or size >> 50 or count != run_page_count(size, self.target.page_size) or count > end - number
            or self.writer.next_page != rank_of(self.map, number)
            or self.writer.next_page + count != rank_of(self.map, number + count)
        ):
            self.damaged(number)
        if count <= self.window:
            self.move_small_run(head, number, count)
        else:
            self.move_large_run(head, number, count)
        self.writer.note_written(load64(head), count)
        self.moved = self.moved + count
        return count

    cdef int move_small_run(self, uint8_t* head, uint64_t number, uint64_t count) except -1 nogil:
        """A run that fits into a window is sealed among the other pages."""
        cdef uint64_t table = (count << self.target.shift) - 8 * count
        cdef uint8_t* copy
        if number + count > self.taken_end:
            self.take(number, number + self.window if count < self.window else number + count)
        if self.given_count + count > self.window:
            self.flush()
        if self.given_count == 0:
            self.given_first = self.writer.next_page
        copy = self.given + (self.given_count << self.target.shift)
        memcpy(copy, self.taken + ((number - self.taken_first) << self.target.shift), count << self.target.shift)
        memcpy(self.table, copy + table, 8 * count)
        if xxh64(self.table, 8 * count, self.generation) != load64(head + RUN_TABLE_CHECKSUM) or self.seal_run_window(
            copy, 0, count, count, self.table, self.table + 8 * count
        ) < 0:
            self.damaged(number)
        self.seal_head(head, self.table + 8 * count, count)
        memcpy(copy, head, RUN_HEADER_SIZE)
        self.given_count = self.given_count + count
        return 0

    cdef int move_large_run(self, uint8_t* head, uint64_t number, uint64_t count) except -1 nogil:
        """In windows; the header is written last, when the table is known."""
        cdef uint32_t shift = self.target.shift
        cdef uint64_t first = self.writer.next_page, done = 0, part
        cdef uint8_t* old = <uint8_t*>realloc(self.large_table, 16 * count)
        cdef iovec piece
        if old == NULL:
            with gil:
                raise MemoryError
        self.large_table = old
        self.flush()
        self.taken_first = self.taken_end = 0
        self.read(old, 8 * count, ((number + count) << shift) - 8 * count)
        if xxh64(old, 8 * count, self.generation) != load64(head + RUN_TABLE_CHECKSUM):
            self.damaged(number)
        while done < count:
            if self.map.stopping:
                with gil:
                    raise StoppedError
            part = self.window if count - done > self.window else count - done
            self.read(self.taken, part << shift, (number + done) << shift)
            if self.seal_run_window(self.taken, done, part, count, old, old + 8 * count) < 0:
                self.damaged(number)
            piece.iov_base = self.taken
            piece.iov_len = part << shift
            self.target.device.write_without_gil(&piece, 1, (first + done) << shift)
            done += part
        self.seal_head(head, old + 8 * count, count)
        piece.iov_base = head
        piece.iov_len = RUN_HEADER_SIZE
        self.target.device.write_without_gil(&piece, 1, first << shift)
        return 0

    cdef void seal_head(self, uint8_t* head, const uint8_t* table, uint64_t count) noexcept nogil:
        store64(head + PAGE_NUMBER, self.writer.next_page)
        store64(head + PAGE_BIRTH, self.writer.birth)
        store64(head + RUN_TABLE_CHECKSUM, xxh64(table, 8 * count, self.target.generation))
        store64(head, xxh64(head + 8, RUN_HEADER_SIZE - 8, self.target.generation))

    cdef int seal_run_window(
        self, uint8_t* pages, uint64_t first, uint64_t count, uint64_t run_pages, const uint8_t* old, uint8_t* new,
    ) noexcept nogil:
        """Verify pages [first, first + count) of a run, seal them, and put in what of the table lies there."""
        cdef uint64_t page_size = self.target.page_size
        cdef uint64_t table = run_pages * page_size - 8 * run_pages
        cdef uint64_t start = first * page_size, end = (first + count) * page_size
        cdef uint64_t i, low, high
        for i in range(first, first + count):
            low = i * page_size if i else RUN_HEADER_SIZE
            high = (i + 1) * page_size
            if high > table:
                high = table
            if low > high:
                low = high
            if load64(old + 8 * i) != xxh64(pages + (low - start), high - low, self.generation + i):
                return DAMAGED
            store64(new + 8 * i, xxh64(pages + (low - start), high - low, self.target.generation + i))
        if end > table:
            low = table if table > start else start
            memcpy(pages + (low - start), new + (low - table), end - low)
        return 0

    # -------------------------------------------------------------------------------------------------------- bytes

    cdef int flush(self) except -1 nogil:
        """Write the pages that are sealed."""
        cdef iovec piece
        if self.given_count:
            piece.iov_base = self.given
            piece.iov_len = self.given_count << self.target.shift
            self.given_count = 0
            self.target.device.write_without_gil(&piece, 1, self.given_first << self.target.shift)
        return 0

    cdef int read(self, uint8_t* into, uint64_t size, uint64_t offset) except -1 nogil:
        cdef ssize_t got = read_all(self.fd, into, size, offset)
        if got < 0:
            with gil:
                raise OSError(-got, os.strerror(-got), self.path)
        if <uint64_t>got != size:
            self.damaged(offset >> self.target.shift)
        return 0

    cdef int damaged(self, uint64_t number) except -1 nogil:
        with gil:
            raise CorruptionError("not a sound page of its tree, as a compaction met it", path=self.path, page=number)
