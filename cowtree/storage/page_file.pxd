"""A database file as pages in memory.

    PageFile ── current ──> PageSpace <── snapshots (each reference is a pin)
                               │
                             Space: base, verified bits (all that nogil readers need)

A `Space` is borrowed from a `PageSpace`: it lives as long as that object, and its memory with it.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from .devices cimport Device


cdef extern from *:
    """
    #include <stdint.h>
    static inline int cowtree_bit_test(const uint8_t *bits, uint64_t n) {
        return (__atomic_load_n(bits + (n >> 3), __ATOMIC_ACQUIRE) >> (n & 7)) & 1;
    }
    static inline void cowtree_bit_set(uint8_t *bits, uint64_t n) {
        __atomic_fetch_or(bits + (n >> 3), (uint8_t)(1u << (n & 7)), __ATOMIC_RELEASE);
    }
    static inline void cowtree_bit_clear(uint8_t *bits, uint64_t n) {
        __atomic_fetch_and(bits + (n >> 3), (uint8_t)~(1u << (n & 7)), __ATOMIC_RELEASE);
    }
    """
    int bit_test "cowtree_bit_test"(const uint8_t* bits, uint64_t n) noexcept nogil
    void bit_set "cowtree_bit_set"(uint8_t* bits, uint64_t n) noexcept nogil
    void bit_clear "cowtree_bit_clear"(uint8_t* bits, uint64_t n) noexcept nogil


cdef enum:
    SPACE_OK = 0
    SPACE_OUT_OF_RANGE = -1      # beyond the address range, or (mirrored) beyond the end of the file
    SPACE_BAD_CHECKSUM = -2
    SPACE_WRONG_NUMBER = -3
    SPACE_WRONG_KIND = -4
    SPACE_BAD_SIZE = -5          # a run whose counts disagree with the reference or run past the limit
    SPACE_IO = -6                # mirrored: pread failed; errno says why


cdef struct Space:
    const uint8_t* base          # page n is at base + (n << shift)
    uint8_t* verified            # one bit a page
    uint64_t page_limit          # pages that the address range has room for; beyond the file's end: SIGBUS
    uint64_t generation
    uint64_t* loaded_bytes       # mirrored: read into the mirror since the last trim
    uint32_t page_size
    uint32_t usable_size
    uint32_t shift
    uint32_t mirrored            # 1: base is private memory that space_check_* fill with pread
    int fd


cdef inline bint space_is_verified(const Space* space, uint64_t number) noexcept nogil:
    """`number` < page_limit."""
    return bit_test(space.verified, number)


cdef inline void space_set_verified(const Space* space, uint64_t number) noexcept nogil:
    """`number` < page_limit."""
    bit_set(space.verified, number)


# Forget what is known of all pages from `number` on (after a rollback). Costs O(1) system calls.
cdef void space_clear_verified_from(const Space* space, uint64_t number) noexcept nogil

# A leaf, branch, commit or list page: own number, kind, checksum; mirrored: read into place first. 0 or SPACE_*.
# Does not set the verified bit: structure is the caller's to check. Call it under `guarded`.
cdef int space_check_page(const Space* space, uint64_t number) noexcept nogil

# A whole run that must end at or below `limit_page` and hold `value_size` bytes: header, table, every page. Sets the
# verified bit of its first page, and returns 0 at once when that is set. Call it under `guarded`.
cdef int space_check_run(const Space* space, uint64_t number, uint64_t limit_page, uint64_t value_size) noexcept nogil


cdef class PageSpace:
    """One mapping of a file; unmapped when collected, so a reference pins it. Weakly referable."""

    cdef Space space
    cdef object __weakref__
    cdef void* mapping
    cdef size_t mapping_size
    cdef void* bitmap
    cdef size_t bitmap_size
    cdef uint64_t loaded
    # Mirrored: drop all pages if more than 16 MiB were loaded. Nobody may be reading.
    cdef bint trim(self)


cdef class PageFile:
    cdef readonly Device device
    cdef readonly str path                          # None for an anonymous file
    cdef readonly bint anonymous
    cdef readonly bint readonly
    cdef readonly bint closed
    cdef readonly bytes uuid                        # 16 bytes
    cdef uint8_t uuid_bytes[16]
    cdef readonly uint64_t generation
    cdef readonly uint64_t created_ns
    cdef readonly uint32_t page_size
    cdef readonly uint32_t usable_size
    cdef readonly uint32_t shift
    cdef readonly uint64_t compatible_features
    cdef readonly uint64_t read_compatible_features
    cdef readonly uint64_t incompatible_features
    cdef readonly str write_refused_reason          # None, or why this release may only read
    cdef bint want_mapping
    cdef PageSpace current

    # The space that has room for pages below `end_page`: the current one, or a new, larger mapping.
    cdef PageSpace space_for(self, uint64_t end_page)
    cdef int ensure_open(self) except -1            # ClosedError
    cpdef object close(self)                        # spaces that are pinned stay readable


# The exception for a SPACE_* code (or FAULT of the guard): CorruptionError, or OSError for SPACE_IO.
cpdef object space_error(object path, uint64_t number, int code)
