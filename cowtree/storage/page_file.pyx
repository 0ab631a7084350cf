# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A database file as pages in memory: identity (FORMAT §2.1), mappings, and the verification of single pages and runs.

Address space is reserved ahead of the file, so that a growing file is seldom mapped anew, and never moved: a larger
mapping is made beside the old one, which its snapshots keep. With `mapped=False`, or where the file system cannot map,
the same address range is private memory ("mirror") that `space_check_*` fill by position.
"""

import errno as error_numbers
import os

from libc.errno cimport ENODEV, ENOMEM, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from ..checksum cimport xxh64
from ..layout cimport (
    FORMAT_VERSION, KIND_BRANCH, KIND_COMMIT, KIND_IDENTITY, KIND_LEAF, KIND_RETIRED, KIND_RUN, PAGE_KIND, PAGE_NUMBER,
    PAGE_SIZE_MAX, RUN_HEADER_SIZE, RUN_PAGES, RUN_TABLE_CHECKSUM, RUN_VALUE_SIZE, load32, load64, run_page_count,
    store64,
)
from .devices cimport Device

from ..errors import ClosedError, CorruptionError, FormatError

cdef extern from "<sys/mman.h>" nogil:
    void* mmap(void* address, size_t size, int protection, int flags, int fd, long offset)
    int munmap(void* address, size_t size)
    void* MAP_FAILED
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_PRIVATE, MAP_FIXED

cdef extern from *:
    """
    #include <sys/mman.h>
    #include <unistd.h>
    #if !defined(MAP_ANONYMOUS)
    #define MAP_ANONYMOUS MAP_ANON
    #endif
    #if !defined(MAP_NORESERVE)
    #define MAP_NORESERVE 0
    #endif
    """
    int MAP_ANONYMOUS, MAP_NORESERVE
    ssize_t pread(int fd, void* into, size_t size, long offset) nogil

cdef enum:
    PAGE_SIZE_MIN = 4096
    # Page 0, FORMAT §2.1
    IDENTITY_MAGIC = 32
    IDENTITY_VERSION = 40
    IDENTITY_PAGE_SIZE = 44
    IDENTITY_TAIL_SIZE = 48
    IDENTITY_UUID = 56
    IDENTITY_GENERATION = 72
    IDENTITY_CREATED = 80
    IDENTITY_COMPATIBLE = 88
    IDENTITY_READ_COMPATIBLE = 96
    IDENTITY_INCOMPATIBLE = 104
    IDENTITY_SIZE = 112
    SYSTEM_PAGE_MAX = 65536          # no system that Python runs on has larger ones

cdef uint64_t RESERVE_MIN = 1 << 30
cdef uint64_t MIRROR_TRIM_SIZE = 16 << 20
cdef const uint8_t* MAGIC = b"\x89cowtr\r\n"
cdef uint8_t NO_BYTES[8]


# ---------------------------------------------------------------------------------------------- verification (nogil)

cdef int _fill(const Space* space, uint64_t number, uint64_t count) noexcept nogil:
    """Read pages into a mirror. Two threads may do so at once: they store the same bytes (I2)."""
    cdef uint8_t* into = <uint8_t*> space.base + (number << space.shift)
    cdef uint64_t offset = number << space.shift
    cdef uint64_t size = count << space.shift
    cdef uint64_t done = 0, step
    cdef ssize_t got
    while done < size:
        step = size - done
        if step > <uint64_t> 1 << 30:
            step = <uint64_t> 1 << 30
        got = pread(space.fd, into + done, step, <long> (offset + done))
        if got < 0:
            if errno == EINTR:
                continue
            return SPACE_IO
        if got == 0:
            return SPACE_OUT_OF_RANGE
        done += <uint64_t> got
    _count_loaded(space.loaded_bytes, size)
    return SPACE_OK


cdef int space_check_page(const Space* space, uint64_t number) noexcept nogil:
    cdef const uint8_t* page
    cdef int status
    cdef uint8_t kind
    if number >= space.page_limit:
        return SPACE_OUT_OF_RANGE
    if space.mirrored:
        status = _fill(space, number, 1)
        if status:
            return status
    page = space.base + (number << space.shift)
    if load64(page) != xxh64(page + 8, space.page_size - 8, space.generation):
        return SPACE_BAD_CHECKSUM
    if load64(page + PAGE_NUMBER) != number:
        return SPACE_WRONG_NUMBER
    kind = page[PAGE_KIND]
    if kind != KIND_LEAF and kind != KIND_BRANCH and kind != KIND_COMMIT and kind != KIND_RETIRED:
        return SPACE_WRONG_KIND
    return SPACE_OK


cdef int space_check_run(const Space* space, uint64_t number, uint64_t limit_page, uint64_t value_size) noexcept nogil:
    cdef const uint8_t* run
    cdef uint64_t count, i, low, high, table
    cdef int status
    if limit_page > space.page_limit:
        limit_page = space.page_limit
    if number >= limit_page:
        return SPACE_OUT_OF_RANGE
    if space_is_verified(space, number):
        return SPACE_OK
    if value_size >= (limit_page - number) << space.shift:       # also keeps the arithmetic below within 64 bits
        return SPACE_BAD_SIZE
    count = run_page_count(value_size, space.page_size)
    if count > limit_page - number:
        return SPACE_BAD_SIZE
    if space.mirrored:
        status = _fill(space, number, count)
        if status:
            return status
    run = space.base + (number << space.shift)
    if load64(run) != xxh64(run + 8, RUN_HEADER_SIZE - 8, space.generation):
        return SPACE_BAD_CHECKSUM
    if load64(run + PAGE_NUMBER) != number:
        return SPACE_WRONG_NUMBER
    if run[PAGE_KIND] != KIND_RUN:
        return SPACE_WRONG_KIND
    if load64(run + RUN_PAGES) != count or load64(run + RUN_VALUE_SIZE) != value_size:
        return SPACE_BAD_SIZE
    table = (count << space.shift) - 8 * count
    if load64(run + RUN_TABLE_CHECKSUM) != xxh64(run + table, 8 * count, space.generation):
        return SPACE_BAD_CHECKSUM
    for i in range(count):
        low = i << space.shift if i else RUN_HEADER_SIZE
        high = (i + 1) << space.shift
        if high > table:
            high = table
        if low > high:
            low = high
        if load64(run + table + 8 * i) != xxh64(run + low, high - low, space.generation + i):
            return SPACE_BAD_CHECKSUM
    space_set_verified(space, number)
    return SPACE_OK


cdef void space_clear_verified_from(const Space* space, uint64_t number) noexcept nogil:
    cdef uint64_t start, end = (space.page_limit + 7) >> 3
    if number >= space.page_limit:
        return
    while number < space.page_limit and number & 7:
        bit_clear(space.verified, number)
        number += 1
    start = number >> 3
    while start < end and start % SYSTEM_PAGE_MAX:
        _clear_byte(space.verified, start)
        start += 1
    if start < end:                          # fresh zero pages in place of the rest
        end = (end + SYSTEM_PAGE_MAX - 1) // SYSTEM_PAGE_MAX * SYSTEM_PAGE_MAX
        mmap(space.verified + start, end - start, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0)


cdef extern from *:
    """
    static inline void cowtree_clear_byte(uint8_t *bits, uint64_t i) {
        __atomic_store_n(bits + i, 0, __ATOMIC_RELEASE);
    }
    static inline void cowtree_count_loaded(uint64_t *total, uint64_t n) {
        __atomic_fetch_add(total, n, __ATOMIC_RELAXED);
    }
    """
    void _clear_byte "cowtree_clear_byte"(uint8_t* bits, uint64_t i) noexcept nogil
    void _count_loaded "cowtree_count_loaded"(uint64_t* total, uint64_t n) noexcept nogil


cpdef object space_error(object path, uint64_t number, int code):
    """The exception for a SPACE_* code about page `number`; anything else is the guard's report of a SIGBUS."""
    if code == SPACE_OUT_OF_RANGE:
        return CorruptionError("the page lies beyond the end of the file", path=path, page=number)
    if code == SPACE_BAD_CHECKSUM:
        return CorruptionError("wrong checksum", path=path, page=number)
    if code == SPACE_WRONG_NUMBER:
        return CorruptionError("the page carries another page's number", path=path, page=number)
    if code == SPACE_WRONG_KIND:
        return CorruptionError("unexpected kind of page", path=path, page=number)
    if code == SPACE_BAD_SIZE:
        return CorruptionError("the value's size does not agree with its pages", path=path, page=number)
    if code == SPACE_IO:
        return OSError(error_numbers.EIO, f"page {number} cannot be read", path)
    return OSError(error_numbers.EIO, f"page {number} cannot be read: the file was cut, or its device failed", path)


# ------------------------------------------------------------------------------------------------------------ spaces

cdef class PageSpace:
    """One mapping of a file; unmapped when collected, so a reference pins it. Weakly referable."""

    def __cinit__(self):
        self.space.fd = -1
        self.mapping = NULL
        self.bitmap = NULL

    def __dealloc__(self):
        if self.mapping != NULL:
            munmap(self.mapping, self.mapping_size)
        if self.bitmap != NULL:
            munmap(self.bitmap, self.bitmap_size)
        if self.space.fd >= 0:
            _close(self.space.fd)

    cdef bint trim(self):
        """Mirrored: drop all pages if more than 16 MiB were loaded. Nobody may be reading. True if it did."""
        if not self.space.mirrored or self.loaded <= MIRROR_TRIM_SIZE:
            return False
        if mmap(self.mapping, self.mapping_size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED:
            return False
        space_clear_verified_from(&self.space, 0)
        self.loaded = 0
        return True

    @property
    def page_limit(self):
        """Pages that the address range has room for."""
        return self.space.page_limit

    @property
    def mirrored(self):
        """Whether pages are read by position into private memory."""
        return bool(self.space.mirrored)

    @property
    def loaded_bytes(self):
        """Bytes in the mirror."""
        return self.loaded

    def check_page(self, uint64_t number):
        """`space_check_page`: 0 or a SPACE_* code. Unguarded: the page must lie inside the file."""
        return space_check_page(&self.space, number)

    def check_run(self, uint64_t number, uint64_t limit_page, uint64_t value_size):
        """`space_check_run`: 0 or a SPACE_* code. Unguarded: the run must lie inside the file."""
        return space_check_run(&self.space, number, limit_page, value_size)

    def is_verified(self, uint64_t number):
        """Whether this process trusts the page."""
        return number < self.space.page_limit and space_is_verified(&self.space, number)

    def set_verified(self, uint64_t number):
        """Trust the page."""
        if number >= self.space.page_limit:
            raise IndexError(number)
        space_set_verified(&self.space, number)

    def clear_verified_from(self, uint64_t number):
        """Trust no page from `number` on."""
        space_clear_verified_from(&self.space, number)

    def trim_now(self):
        """`trim`: whether pages were dropped."""
        return self.trim()

    def page_bytes(self, uint64_t number):
        """A copy of a page that was checked. Unguarded: the page must lie inside the file."""
        if number >= self.space.page_limit:
            raise IndexError(number)
        return self.space.base[number << self.space.shift:(number + 1) << self.space.shift]


cdef PageSpace _map(PageFile file, uint64_t pages_wanted):
    """A new space with room for `pages_wanted` pages: as much more as the system gives."""
    cdef PageSpace result = PageSpace.__new__(PageSpace)
    cdef uint64_t least = pages_wanted << file.shift
    cdef uint64_t size = RESERVE_MIN
    cdef void* mapping = MAP_FAILED
    cdef bint mirrored = not file.want_mapping
    if pages_wanted >> (62 - file.shift):
        raise OSError(error_numbers.ENOMEM, "the file is larger than the address space", file.path)
    while size < 4 * least:
        size <<= 1
    while True:
        if mirrored:
            mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        else:
            mapping = mmap(NULL, size, PROT_READ, MAP_SHARED, file.device.fd, 0)
        if mapping != MAP_FAILED:
            break
        if errno == ENOMEM and size >> 1 >= least and size >> 1 >= file.page_size:
            size >>= 1
        elif not mirrored and errno in (ENODEV, error_numbers.EACCES, error_numbers.EOPNOTSUPP, error_numbers.EINVAL):
            mirrored = True
        else:
            raise OSError(errno, os.strerror(errno), file.path)
    result.mapping = mapping
    result.mapping_size = size
    result.bitmap_size = ((size >> file.shift >> 3) + SYSTEM_PAGE_MAX - 1) // SYSTEM_PAGE_MAX * SYSTEM_PAGE_MAX
    mapping = mmap(NULL, result.bitmap_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if mapping == MAP_FAILED:
        raise OSError(errno, os.strerror(errno), file.path)
    result.bitmap = mapping
    result.space.base = <const uint8_t*> result.mapping
    result.space.verified = <uint8_t*> result.bitmap
    result.space.page_limit = size >> file.shift
    result.space.generation = file.generation
    result.space.loaded_bytes = &result.loaded
    result.space.page_size = file.page_size
    result.space.usable_size = file.usable_size
    result.space.shift = file.shift
    result.space.mirrored = mirrored
    if mirrored:
        result.space.fd = os.dup(file.device.fd)     # outlives the file's: snapshots do
    return result


cdef void _copy_verified(PageSpace source, PageSpace target) noexcept:
    """What the old mapping of the file verified holds for the new one: bits of whole used bitmap pages."""
    cdef const uint64_t* old = <const uint64_t*> source.bitmap
    cdef uint64_t* new = <uint64_t*> target.bitmap
    cdef size_t i
    cdef size_t words = min(source.bitmap_size, target.bitmap_size) // 8
    if source.space.mirrored or target.space.mirrored:
        return                                       # the new mirror is empty
    for i in range(words):
        if old[i]:                                   # untouched memory stays untouched
            new[i] = old[i]


# -------------------------------------------------------------------------------------------------------------- file

cdef class PageFile:
    """An existing database file: who it is, and its pages as memory.

    Raises FormatError for a file that is not ours or is of a newer format, CorruptionError when it is ours and page 0
    is damaged. Takes the device over: it is closed with the file, and when opening fails.
    """

    def __cinit__(self, Device device not None, object path=None, *, bint mapped=True, bint anonymous=False):
        self.device = device
        self.path = None if path is None else os.fsdecode(path)
        self.anonymous = anonymous
        self.readonly = device.readonly
        self.want_mapping = mapped
        try:
            _read_identity(self)
            self.current = _map(self, device.size() >> self.shift)
        except BaseException:
            self.close()
            raise

    cdef PageSpace space_for(self, uint64_t end_page):
        cdef PageSpace grown
        self.ensure_open()
        if end_page > self.current.space.page_limit:
            grown = _map(self, end_page)
            _copy_verified(self.current, grown)
            self.current = grown
        return self.current

    cdef int ensure_open(self) except -1:
        if self.closed:
            raise ClosedError("the database is closed")
        return 0

    cpdef object close(self):
        """Close the descriptors and let the mapping go; pinned spaces stay readable. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self.current = None
        self.device.close()

    def space(self, uint64_t end_page=0):
        """The PageSpace that has room for pages below `end_page`."""
        return self.space_for(end_page)

    def page_count(self):
        """Whole pages in the file now."""
        self.ensure_open()
        return self.device.size() >> self.shift


def open_page_file(path, *, bint readonly=False, bint mapped=True, trace=None, file_system=None):
    """Open the database file at `path`. Raises OSError, FormatError, CorruptionError; changes nothing."""
    from .devices import open_device
    from .file_system import FileSystem

    system = FileSystem() if file_system is None else file_system
    descriptor = system.open(os.fspath(path), readonly=readonly)
    return PageFile(open_device(descriptor, readonly=readonly, trace=trace), path, mapped=mapped)


def anonymous_descriptor():
    """A descriptor of an empty file that has no name and goes with its last descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("cowtree", os.MFD_CLOEXEC)
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix="cowtree-")
    os.unlink(path)
    return descriptor


def identity_page(uint32_t page_size, bytes uuid not None, uint64_t generation, uint64_t created_ns):
    """Page 0 of a new file (FORMAT §2.1)."""
    cdef bytearray page = bytearray(page_size)
    page[8 + 16] = KIND_IDENTITY
    page[IDENTITY_MAGIC:IDENTITY_MAGIC + 8] = MAGIC[:8]
    for offset, size, value in (
        (IDENTITY_VERSION, 4, FORMAT_VERSION),
        (IDENTITY_PAGE_SIZE, 4, page_size),
        (IDENTITY_GENERATION, 8, generation),
        (IDENTITY_CREATED, 8, created_ns),
    ):
        page[offset:offset + size] = value.to_bytes(size, "little")
    page[IDENTITY_UUID:IDENTITY_UUID + 16] = uuid
    page[0:8] = int(xxh64(<const uint8_t*> <char*> page + 8, page_size - 8, generation)).to_bytes(8, "little")
    return bytes(page)


def copied_identity(PageFile file not None, bytes page not None, uint64_t generation):
    """Page 0 of a copy of `file`: its own, `page`, verified and sealed for another generation. Raises CorruptionError."""
    cdef bytearray copy = bytearray(page)
    cdef uint8_t* data = <uint8_t*> <char*> copy
    if len(copy) != file.page_size or load64(data) != xxh64(data + 8, file.page_size - 8, file.generation) \
            or load64(data + IDENTITY_GENERATION) != file.generation:
        raise CorruptionError("wrong checksum", path=file.path, page=0)
    store64(data + IDENTITY_GENERATION, generation)
    store64(data, xxh64(data + 8, file.page_size - 8, generation))
    return bytes(copy)


def check_page_size(page_size):
    """Raise ValueError unless `page_size` is one that the format allows."""
    if not isinstance(page_size, int) or isinstance(page_size, bool):
        raise TypeError("page_size is an int")
    if page_size < PAGE_SIZE_MIN or page_size > PAGE_SIZE_MAX or page_size & (page_size - 1):
        raise ValueError(f"page_size is a power of two from {PAGE_SIZE_MIN} to {PAGE_SIZE_MAX}, not {page_size}")


cdef int _read_identity(PageFile file) except -1:
    cdef uint8_t page[PAGE_SIZE_MAX]
    cdef Py_ssize_t got = file.device.read(page, PAGE_SIZE_MAX, 0)
    cdef uint32_t version, tail
    cdef uint64_t unknown
    if got < IDENTITY_SIZE or memcmp(page + IDENTITY_MAGIC, MAGIC, 8):
        raise FormatError(f"{file.path}: not a cowtree database")
    version = load32(page + IDENTITY_VERSION)
    file.page_size = load32(page + IDENTITY_PAGE_SIZE)
    if version != FORMAT_VERSION:
        raise FormatError(f"{file.path}: format version {version}, this release reads version {FORMAT_VERSION}")
    if file.page_size < PAGE_SIZE_MIN or file.page_size > PAGE_SIZE_MAX or file.page_size & (file.page_size - 1):
        raise FormatError(f"{file.path}: page size {file.page_size} is not one of this format's")
    if got < <Py_ssize_t> file.page_size:
        raise CorruptionError("the file is cut off inside its first page", path=file.path, page=0,
                              expected=file.page_size, found=got)
    file.generation = load64(page + IDENTITY_GENERATION)
    if load64(page) != xxh64(page + 8, file.page_size - 8, file.generation):
        raise CorruptionError("wrong checksum", path=file.path, page=0)
    if load64(page + PAGE_NUMBER) != 0 or page[PAGE_KIND] != KIND_IDENTITY:
        raise CorruptionError("not an identity page", path=file.path, page=0)
    tail = load32(page + IDENTITY_TAIL_SIZE)
    file.compatible_features = load64(page + IDENTITY_COMPATIBLE)
    file.read_compatible_features = load64(page + IDENTITY_READ_COMPATIBLE)
    file.incompatible_features = unknown = load64(page + IDENTITY_INCOMPATIBLE)
    if unknown or tail:
        raise FormatError(f"{file.path}: written with features that this release does not know"
                          f" (incompatible {unknown:#x}, page tail {tail})")
    if file.read_compatible_features:
        file.write_refused_reason = (f"the file has features that this release may only read"
                                     f" ({file.read_compatible_features:#x})")
    memcpy(file.uuid_bytes, page + IDENTITY_UUID, 16)
    file.uuid = file.uuid_bytes[:16]
    file.created_ns = load64(page + IDENTITY_CREATED)
    file.usable_size = file.page_size - tail
    file.shift = 0
    while (<uint32_t> 1 << file.shift) < file.page_size:
        file.shift += 1
    return 0


cdef extern from "<unistd.h>":
    int _close "close"(int fd) nogil
