# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The list of retired pages that a record carries (FORMAT §3.4): varints, inline or in a chain of list pages.

    item: page - previous page | 2 * pages + subtree | commit id - birth        three LEB128 varints
    list page: header 32 | next u64 | piece size u32 | zero u32 | piece
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from ..layout cimport KIND_RETIRED, PAGE_KIND, PAGE_NUMBER_LIMIT, load32, load64, store32, store64
from .range_writer cimport RangeWriter

cdef enum:
    LIST_NEXT = 32
    LIST_SIZE = 40
    LIST_PIECE = 48
    VARINT_SIZE_MAX = 10
    ITEM_SIZE_MAX = 30


cdef inline size_t _put_varint(uint8_t* into, uint64_t value) noexcept nogil:
    cdef size_t size = 0
    while value >= 0x80:
        into[size] = <uint8_t> (value | 0x80)
        value >>= 7
        size += 1
    into[size] = <uint8_t> value
    return size + 1


cdef Py_ssize_t _get_varint(const uint8_t* data, size_t size, size_t offset, uint64_t* value) noexcept nogil:
    """The offset behind the varint, or -1: cut off, or more than 64 bits."""
    cdef uint64_t result = 0
    cdef uint32_t shift = 0
    cdef uint8_t byte
    while offset < size and shift < 64:
        byte = data[offset]
        offset += 1
        if shift == 63 and byte > 1:
            return -1
        result |= <uint64_t> (byte & 0x7F) << shift
        if byte < 0x80:
            value[0] = result
            return <Py_ssize_t> offset
        shift += 7
    return -1


cdef Py_ssize_t decode_retired_item(const uint8_t* data, size_t size, size_t offset, uint64_t commit_id,
                                    RetiredItem* item) noexcept nogil:
    cdef uint64_t step, count, age
    cdef Py_ssize_t end = _get_varint(data, size, offset, &step)
    if end >= 0:
        end = _get_varint(data, size, <size_t> end, &count)
    if end >= 0:
        end = _get_varint(data, size, <size_t> end, &age)
    if end < 0 or step == 0 or step >= PAGE_NUMBER_LIMIT - item.page or age > commit_id:
        return -1
    item.page += step
    item.count = count >> 1
    item.subtree = count & 1
    item.birth = commit_id - age
    if item.count == 0 or item.count >= PAGE_NUMBER_LIMIT:
        return -1
    return end


cdef class RetiredEncoder:
    """Items, sorted by page, to varints in memory of its own that is reused."""

    def __dealloc__(self):
        self.drop_images()
        free(self.data)

    cdef int begin(self, uint64_t commit_id) except -1:
        self.drop_images()
        self.size = 0
        self.count = 0
        self.previous_page = 0
        self.commit_id = commit_id
        return 0

    cdef int add(self, const RetiredItem* item) except -1:
        cdef uint8_t* grown
        if item.page <= self.previous_page or item.birth > self.commit_id or item.count == 0:
            raise ValueError("retired items are not in order")
        if self.size + ITEM_SIZE_MAX > self.capacity:
            grown = <uint8_t*> realloc(self.data, 2 * self.capacity + 512)
            if grown == NULL:
                raise MemoryError
            self.data = grown
            self.capacity = 2 * self.capacity + 512
        self.size += _put_varint(self.data + self.size, item.page - self.previous_page)
        self.size += _put_varint(self.data + self.size, 2 * item.count + (1 if item.subtree else 0))
        self.size += _put_varint(self.data + self.size, self.commit_id - item.birth)
        self.previous_page = item.page
        self.count += 1
        return 0

    cdef int64_t store(self, RangeWriter writer, uint32_t room, uint64_t* page_count) except -1:
        cdef uint32_t piece_max = writer.file.usable_size - LIST_PIECE
        cdef uint64_t first = writer.next_page, number
        cdef size_t start = 0, end
        cdef uint8_t* page
        page_count[0] = 0
        if self.size <= room:
            return 0
        while start < self.size:
            end = self._piece_end(start, piece_max)
            page = <uint8_t*> self._new_image(writer.file.page_size)
            page[PAGE_KIND] = KIND_RETIRED
            store64(page + LIST_NEXT, writer.next_page + 1 if end < self.size else 0)
            store32(page + LIST_SIZE, <uint32_t> (end - start))
            memcpy(page + LIST_PIECE, self.data + start, end - start)
            writer.add_page(page, &number)
            page_count[0] += 1
            start = end
        return <int64_t> first

    cdef size_t _piece_end(self, size_t start, size_t piece_max) except 0:
        """Where the piece that begins at `start` ends: no item is cut."""
        cdef size_t end = start, position = start
        cdef int _varint
        while position < self.size:
            for _varint in range(3):
                while self.data[position] >= 0x80:
                    position += 1
                position += 1
            if position - start > piece_max:
                break
            end = position
        return end

    cdef void* _new_image(self, size_t size) except NULL:
        cdef void** grown = <void**> realloc(self.images, (self.image_count + 1) * sizeof(void*))
        if grown == NULL:
            raise MemoryError
        self.images = grown
        self.images[self.image_count] = calloc(1, size)
        if self.images[self.image_count] == NULL:
            raise MemoryError
        self.image_count += 1
        return self.images[self.image_count - 1]

    cdef void drop_images(self) noexcept:
        cdef size_t i
        for i in range(self.image_count):
            free(self.images[i])
        free(self.images)
        self.images = NULL
        self.image_count = 0

    def encode(self, uint64_t commit_id, items):
        """The bytes of `(page, count, birth, subtree)` items, sorted by page."""
        cdef RetiredItem item
        self.begin(commit_id)
        for page, count, birth, subtree in items:
            item.page, item.count, item.birth, item.subtree = page, count, birth, bool(subtree)
            self.add(&item)
        return self.data[:self.size]


def decode_items(const uint8_t[::1] data not None, uint64_t commit_id, uint64_t previous_page=0):
    """`(page, count, birth, subtree)` tuples of one piece. Raises ValueError for bytes that are not a list."""
    cdef RetiredItem item
    cdef Py_ssize_t offset = 0
    cdef list items = []
    item.page = previous_page
    while offset < data.shape[0]:
        offset = decode_retired_item(&data[0], <size_t> data.shape[0], <size_t> offset, commit_id, &item)
        if offset < 0:
            raise ValueError("not a list of retired pages")
        items.append((item.page, item.count, item.birth, bool(item.subtree)))
    return items


def list_page_piece(const uint8_t[::1] page not None):
    """`(next list page, piece)` of a list page that was verified. Raises ValueError if its size is impossible."""
    cdef uint32_t size = load32(&page[LIST_SIZE])
    if page[PAGE_KIND] != KIND_RETIRED or size > page.shape[0] - LIST_PIECE:
        raise ValueError("not a list page")
    return load64(&page[LIST_NEXT]), bytes(page[LIST_PIECE:LIST_PIECE + size])
