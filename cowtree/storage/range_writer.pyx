# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Writes the range of one record: pages in the order of their numbers, its commit page last or all at once.

    begin ──> add_page, add_run ... (flush) ──> finish      the commit page's place, first of the range, stays free
                      └──────────────────────> abort

The digest (FORMAT §3.2) grows with each page; where a page was written again it is made anew at the end. After an error
nothing but `abort` is left.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc

from ..checksum cimport Xxh64State, xxh64, xxh64_finish, xxh64_start, xxh64_update
from ..layout cimport (
    KIND_RUN, PAGE_BIRTH, PAGE_KIND, PAGE_NUMBER, RUN_HEADER_SIZE, RUN_PAGES, RUN_TABLE_CHECKSUM, RUN_VALUE_SIZE,
    load64, run_page_count, store64,
)
from .commit_record cimport COMMIT_DIGEST, COMMIT_PAGE_COUNT, COMMIT_TIME
from .devices cimport iovec
from .page_file cimport PageFile, Space, space_set_verified

cdef enum:
    LARGE_RUN = 1 << 20              # written at once, so that its value may go
    CACHED_WRITE_MAX = 1 << 16
    AGAIN_MAX = 256                  # pages that are written over others in one call
    RELEASE_SIZE = 1 << 16           # checksums of values above this are made without the GIL

# A run's page count may not reach the reserved bits of a page number (FORMAT §1.1).
cdef uint64_t VALUE_SIZE_MAX = <uint64_t> 1 << 50


cdef void _run_checksums(const uint8_t* value, uint64_t value_size, uint8_t* padding, uint64_t padding_size,
                         uint8_t* table, uint64_t count, uint64_t page_size, uint64_t generation) noexcept nogil:
    """The checksum table (FORMAT §5): page i's bytes in [64, table), seeded with generation + i."""
    cdef uint64_t i, low, high, middle
    cdef uint64_t value_end = RUN_HEADER_SIZE + value_size
    cdef uint64_t table_start = value_end + padding_size
    cdef Xxh64State state
    for i in range(count):
        low = i * page_size if i else RUN_HEADER_SIZE
        high = (i + 1) * page_size
        if high > table_start:
            high = table_start
        if low > high:
            low = high
        if high <= value_end:
            store64(table + 8 * i, xxh64(value + (low - RUN_HEADER_SIZE), high - low, generation + i))
            continue
        middle = value_end if low < value_end else low
        xxh64_start(&state, generation + i)
        if middle > low:
            xxh64_update(&state, value + (low - RUN_HEADER_SIZE), middle - low)
        xxh64_update(&state, padding + (middle - value_end), high - middle)
        store64(table + 8 * i, xxh64_finish(&state))


cdef class RangeWriter:
    """One record's range on its way to the file. Belongs to the thread that writes."""

    def __dealloc__(self):
        self.drop_queue()
        free(self.pieces)
        free(self.blocks)
        free(self.inner)
        free(self.entries)
        free(self.again)

    cdef int begin(self, PageFile file, uint64_t first_page, uint64_t birth, uint64_t nonce) except -1:
        file.ensure_open()
        self.drop_queue()
        self.file = file
        self.first_page = first_page
        self.next_page = first_page + 1
        self.flushed_upto = self.next_page
        self.birth = birth
        self.nonce = nonce
        self.pages_written = 0
        self.inner_count = 0
        self.durable = False
        self.withhold = False
        self.active = True
        self.keeping = False
        self.rewritten = False
        self.entry_count = 0
        xxh64_start(&self.by_generation, file.generation)
        xxh64_start(&self.by_nonce, nonce)
        return 0

    cdef int keep_entries(self) except -1:
        if self.next_page != self.first_page + 1:
            raise RuntimeError("pages were added before")
        if self.again == NULL:
            self.again = <iovec*> malloc(AGAIN_MAX * sizeof(iovec))
            if self.again == NULL:
                raise MemoryError
        self.keeping = True
        return 0

    cdef int note(self, uint64_t number, uint64_t checksum) except -1:
        """The next entry of the digest."""
        cdef uint8_t entry[16]
        cdef uint64_t* grown
        store64(entry, number)
        store64(entry + 8, checksum)
        xxh64_update(&self.by_generation, entry, 16)
        xxh64_update(&self.by_nonce, entry, 16)
        if not self.keeping:
            return 0
        if self.entry_count == self.entry_capacity:
            grown = <uint64_t*> realloc(self.entries, (2 * self.entry_capacity + 1024) * 16)
            if grown == NULL:
                raise MemoryError
            self.entries = grown
            self.entry_capacity = 2 * self.entry_capacity + 1024
        self.entries[2 * self.entry_count] = number
        self.entries[2 * self.entry_count + 1] = checksum
        self.entry_count += 1
        return 0

    cdef int rewrite_page(self, uint8_t* page, uint64_t number) except -1:
        cdef uint32_t page_size = self.file.page_size
        cdef size_t low = 0, high = self.entry_count, middle
        while low < high:
            middle = (low + high) // 2
            if self.entries[2 * middle] < number:
                low = middle + 1
            else:
                high = middle
        if not self.keeping or low == self.entry_count or self.entries[2 * low] != number or number >= self.flushed_upto:
            raise AssertionError("not a page that was written")
        if self.again_count and (self.again_count == AGAIN_MAX or self.again_first + <uint64_t> self.again_count != number):
            self.write_again()
        if self.again_count == 0:
            self.again_first = number
        store64(page + PAGE_NUMBER, number)
        store64(page + PAGE_BIRTH, self.birth)
        store64(page, xxh64(page + 8, page_size - 8, self.file.generation))
        self.entries[2 * low + 1] = load64(page)
        self.again[self.again_count].iov_base = page
        self.again[self.again_count].iov_len = page_size
        self.again_count += 1
        self.rewritten = True
        return 0

    cdef int write_again(self) except -1:
        cdef int count = self.again_count
        self.again_count = 0
        if count:
            self.file.device.write(self.again, count, self.again_first * self.file.page_size)
        return 0

    cdef int add_page(self, uint8_t* page, uint64_t* number) except -1:
        cdef uint64_t checksum
        cdef uint32_t page_size = self.file.page_size
        self.queue(page, page_size)
        store64(page + PAGE_NUMBER, self.next_page)
        store64(page + PAGE_BIRTH, self.birth)
        checksum = xxh64(page + 8, page_size - 8, self.file.generation)
        store64(page, checksum)
        self.note(self.next_page, checksum)
        number[0] = self.next_page
        self.next_page += 1
        return 0

    cdef int add_run(self, const uint8_t* value, uint64_t value_size, uint64_t* number) except -1:
        cdef uint8_t* header
        cdef uint8_t* padding
        cdef uint8_t* table
        cdef uint64_t page_size = self.file.page_size, generation = self.file.generation
        cdef uint64_t count, padding_size
        if value_size > VALUE_SIZE_MAX:
            raise OverflowError("value too large")
        count = run_page_count(value_size, page_size)
        padding_size = count * page_size - 8 * count - RUN_HEADER_SIZE - value_size
        header = <uint8_t*> self.own_block(RUN_HEADER_SIZE + padding_size + 8 * count)
        padding = header + RUN_HEADER_SIZE
        table = padding + padding_size
        self.add_inner(self.next_page + 1, self.next_page + count)
        self.queue(header, RUN_HEADER_SIZE)
        self.queue(value, value_size)
        self.queue(padding, padding_size + 8 * count)
        if value_size > RELEASE_SIZE:
            with nogil:
                _run_checksums(value, value_size, padding, padding_size, table, count, page_size, generation)
        else:
            _run_checksums(value, value_size, padding, padding_size, table, count, page_size, generation)
        store64(header + PAGE_NUMBER, self.next_page)
        store64(header + PAGE_BIRTH, self.birth)
        header[PAGE_KIND] = KIND_RUN
        store64(header + RUN_PAGES, count)
        store64(header + RUN_VALUE_SIZE, value_size)
        store64(header + RUN_TABLE_CHECKSUM, xxh64(table, 8 * count, generation))
        store64(header, xxh64(header + 8, RUN_HEADER_SIZE - 8, generation))
        self.note(self.next_page, load64(header))
        number[0] = self.next_page
        self.next_page += count
        if value_size > LARGE_RUN:
            self.flush()
        return 0

    cdef void note_written(self, uint64_t checksum, uint64_t count) noexcept nogil:
        cdef uint8_t entry[16]
        store64(entry, self.next_page)
        store64(entry + 8, checksum)
        xxh64_update(&self.by_generation, entry, 16)
        xxh64_update(&self.by_nonce, entry, 16)
        self.next_page += count
        self.flushed_upto = self.next_page
        self.pages_written += count

    cdef int flush(self) except -1:
        if not self.active:
            raise RuntimeError("no record begun")
        self.write_again()
        if self.piece_count > 1:
            self.file.device.write(self.pieces + 1, self.piece_count - 1, self.flushed_upto * self.file.page_size)
            self.pages_written += self.next_page - self.flushed_upto
            self.flushed_upto = self.next_page
        self.drop_queue()
        self.active = True
        return 0

    cdef int finish(self, uint8_t* commit_page) except -1:
        cdef uint32_t page_size = self.file.page_size
        cdef uint64_t checksum
        cdef uint64_t offset = self.first_page * page_size
        if not self.active:
            raise RuntimeError("no record begun")
        if self.flushed_upto > self.first_page + 1:      # something is in the file already: the rest first
            self.flush()
        if self.rewritten:
            self.digest_entries()
        self.reserve_piece(0)
        store64(commit_page + COMMIT_PAGE_COUNT, self.next_page - self.first_page)
        store64(commit_page + COMMIT_DIGEST, xxh64_finish(&self.by_generation))
        store64(commit_page + COMMIT_DIGEST + 8, xxh64_finish(&self.by_nonce))
        while True:
            checksum = xxh64(commit_page + 8, page_size - 8, self.file.generation)
            if checksum and not self.zero_checksums:
                break
            # I6: not zero. The range may be in the file, so its digest stays, and the nonce in it: move the time.
            if self.zero_checksums:
                self.zero_checksums -= 1
            store64(commit_page + COMMIT_TIME, load64(commit_page + COMMIT_TIME) + 1)
        # A first word of zero says that nothing was written here (FORMAT I6).
        store64(commit_page, 0 if self.withhold else checksum)
        self.pieces[0].iov_base = commit_page
        self.pieces[0].iov_len = page_size
        if self.piece_count == 0:
            self.piece_count = 1
        if self.durable:
            self.file.device.write_durable(self.pieces, self.piece_count, offset)
        elif self.queued_bytes <= CACHED_WRITE_MAX:
            self.file.device.write_cached(self.pieces, self.piece_count, offset)
        else:
            self.file.device.write(self.pieces, self.piece_count, offset)
        store64(commit_page, checksum)
        self.pages_written = self.next_page - self.first_page
        self.flushed_upto = self.next_page
        self.drop_queue()
        return 0

    cdef void digest_entries(self) noexcept:
        """The digest anew, as pages were written again."""
        cdef uint8_t entry[16]
        cdef size_t i
        xxh64_start(&self.by_generation, self.file.generation)
        xxh64_start(&self.by_nonce, self.nonce)
        for i in range(self.entry_count):
            store64(entry, self.entries[2 * i])
            store64(entry + 8, self.entries[2 * i + 1])
            xxh64_update(&self.by_generation, entry, 16)
            xxh64_update(&self.by_nonce, entry, 16)

    cdef void mark_written_verified(self, const Space* space) noexcept:
        cdef uint64_t number = self.first_page
        cdef size_t i = 0
        if space.mirrored:                               # nothing of it is in the mirror
            return
        while number < self.flushed_upto and number < space.page_limit:
            if i < self.inner_count and number == self.inner[2 * i]:
                number = self.inner[2 * i + 1]
                i += 1
                continue
            space_set_verified(space, number)
            number += 1

    cpdef object abort(self):
        """Forget what is queued; what was written stays behind the tip and is cut or overwritten."""
        self.drop_queue()
        self.active = False

    # -------------------------------------------------------------------------------------------------------- queue

    cdef int queue(self, const void* data, size_t size) except -1:
        if not self.active:
            raise RuntimeError("no record begun")
        if self.piece_count == 0:
            self.reserve_piece(0)
            self.piece_count = 1                         # the commit page's place
        self.reserve_piece(self.piece_count)
        self.pieces[self.piece_count].iov_base = <void*> data
        self.pieces[self.piece_count].iov_len = size
        self.piece_count += 1
        self.queued_bytes += size
        return 0

    cdef int reserve_piece(self, int index) except -1:
        cdef iovec* grown
        if index >= self.piece_capacity:
            grown = <iovec*> realloc(self.pieces, (2 * index + 16) * sizeof(iovec))
            if grown == NULL:
                raise MemoryError
            self.pieces = grown
            self.piece_capacity = 2 * index + 16
        return 0

    cdef void* own_block(self, size_t size) except NULL:
        """Zeroed memory that lives until the queue is written or dropped."""
        cdef void** grown
        cdef void* block
        if self.block_count >= self.block_capacity:
            grown = <void**> realloc(self.blocks, (2 * self.block_capacity + 16) * sizeof(void*))
            if grown == NULL:
                raise MemoryError
            self.blocks = grown
            self.block_capacity = 2 * self.block_capacity + 16
        block = calloc(1, size)
        if block == NULL:
            raise MemoryError
        self.blocks[self.block_count] = block
        self.block_count += 1
        return block

    cdef int add_inner(self, uint64_t first, uint64_t end) except -1:
        cdef uint64_t* grown
        if first == end:
            return 0
        if self.inner_count >= self.inner_capacity:
            grown = <uint64_t*> realloc(self.inner, (2 * self.inner_capacity + 16) * 2 * sizeof(uint64_t))
            if grown == NULL:
                raise MemoryError
            self.inner = grown
            self.inner_capacity = 2 * self.inner_capacity + 16
        self.inner[2 * self.inner_count] = first
        self.inner[2 * self.inner_count + 1] = end
        self.inner_count += 1
        return 0

    cdef void drop_queue(self) noexcept:
        cdef int i
        for i in range(self.block_count):
            free(self.blocks[i])
        self.block_count = 0
        self.piece_count = 0
        self.again_count = 0
        self.queued_bytes = 0


def run_bytes(PageFile file not None, uint64_t number, uint64_t birth, const uint8_t[::1] value not None):
    """The bytes of a run, as `add_run` writes them (for tests and tools)."""
    cdef RangeWriter writer = RangeWriter()
    cdef uint64_t got
    cdef int i
    writer.begin(file, number - 1, birth, 0)
    if value.shape[0] > LARGE_RUN:
        raise ValueError("too large for a test")
    writer.add_run(&value[0] if value.shape[0] else NULL, <uint64_t> value.shape[0], &got)
    return b"".join([(<uint8_t*> writer.pieces[i].iov_base)[:writer.pieces[i].iov_len] for i in range(1, writer.piece_count)])
