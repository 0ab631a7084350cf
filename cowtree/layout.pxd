"""FORMAT.md as code: offsets, and the loads and stores that touch bytes.

    page      | header 32 | ............................................... |
    leaf      | header 40 | heads u32[n] | offsets u16[n] | free | heap | prefix |
    branch    | header 40 | children u64[n] | entries u64[n] | pages u64[n] | heads u32[n] | offsets u16[n] | free | heap | prefix |
    leaf entry: kind+flags u8 | suffix size u16 | value size u16 | suffix | value
    separator: size u16 | suffix

Loads and stores go through memcpy: no alignment is assumed, and on little-endian machines each is one instruction.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline void cowtree_prefetch(const uint8_t *p) { __builtin_prefetch(p); }
    #define COWTREE_PAGE_NUMBER_LIMIT ((uint64_t)1 << 56)
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define COWTREE_LE16(x) __builtin_bswap16(x)
    #define COWTREE_LE32(x) __builtin_bswap32(x)
    #define COWTREE_LE64(x) __builtin_bswap64(x)
    #define COWTREE_BE32(x) (x)
    #define COWTREE_BE64(x) (x)
    #else
    #define COWTREE_LE16(x) (x)
    #define COWTREE_LE32(x) (x)
    #define COWTREE_LE64(x) (x)
    #define COWTREE_BE32(x) __builtin_bswap32(x)
    #define COWTREE_BE64(x) __builtin_bswap64(x)
    #endif
    static inline uint16_t cowtree_load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return COWTREE_LE16(v); }
    static inline uint32_t cowtree_load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return COWTREE_LE32(v); }
    static inline uint64_t cowtree_load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return COWTREE_LE64(v); }
    static inline uint32_t cowtree_load32_be(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return COWTREE_BE32(v); }
    static inline uint64_t cowtree_load64_be(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return COWTREE_BE64(v); }
    static inline void cowtree_store16(uint8_t *p, uint16_t v) { v = COWTREE_LE16(v); memcpy(p, &v, 2); }
    static inline void cowtree_store32(uint8_t *p, uint32_t v) { v = COWTREE_LE32(v); memcpy(p, &v, 4); }
    static inline void cowtree_store64(uint8_t *p, uint64_t v) { v = COWTREE_LE64(v); memcpy(p, &v, 8); }
    """
    const uint64_t PAGE_NUMBER_LIMIT "COWTREE_PAGE_NUMBER_LIMIT"      # FORMAT §1.1: the top 8 bits are reserved
    void prefetch "cowtree_prefetch"(const uint8_t* p) noexcept nogil      # any address; only a hint
    uint16_t load16 "cowtree_load16"(const uint8_t* p) noexcept nogil
    uint32_t load32 "cowtree_load32"(const uint8_t* p) noexcept nogil
    uint64_t load64 "cowtree_load64"(const uint8_t* p) noexcept nogil
    uint32_t load32_be "cowtree_load32_be"(const uint8_t* p) noexcept nogil
    uint64_t load64_be "cowtree_load64_be"(const uint8_t* p) noexcept nogil
    void store16 "cowtree_store16"(uint8_t* p, uint16_t v) noexcept nogil
    void store32 "cowtree_store32"(uint8_t* p, uint32_t v) noexcept nogil
    void store64 "cowtree_store64"(uint8_t* p, uint64_t v) noexcept nogil

# Page kinds, FORMAT §2.0.
cdef enum:
    KIND_IDENTITY = 1
    KIND_COMMIT = 2
    KIND_LEAF = 3
    KIND_BRANCH = 4
    KIND_RUN = 5
    KIND_RETIRED = 6

# Page header, FORMAT §2.0.
cdef enum:
    PAGE_CHECKSUM = 0
    PAGE_NUMBER = 8
    PAGE_BIRTH = 16
    PAGE_KIND = 24
    PAGE_LEVEL = 25
    PAGE_COUNT = 26
    PAGE_PREFIX = 28
    PAGE_HEADER_SIZE = 32

# Tree pages, FORMAT §4.
cdef enum:
    TREE_HEAP = 32
    TREE_HEADER_SIZE = 40
    LEAF_SLOT_SIZE = 6           # head u32, offset u16
    LEAF_ENTRY_HEADER = 5        # kind and flags, suffix size, value size
    BRANCH_SLOT_SIZE = 30        # child, entries, pages u64; head u32; offset u16
    SEPARATOR_HEADER = 2
    ENTRY_INLINE = 0
    ENTRY_RUN = 1
    ENTRY_KIND_MASK = 0x0F
    RUN_REFERENCE_SIZE = 24
    LEVEL_MAX = 63
    PAGE_SIZE_MAX = 65536
    PAGE_ENTRIES_LOG2 = 13       # no page has more than 2^13 entries: one takes 11 bytes at the least
    BITMAP_SIZE = 8192           # a bit for each byte of the largest page: scratch of the validators

# Runs, FORMAT §5.
cdef enum:
    RUN_PAGES = 32
    RUN_VALUE_SIZE = 40
    RUN_TABLE_CHECKSUM = 48
    RUN_HEADER_SIZE = 64

cdef enum:
    FORMAT_VERSION = 1
    FIRST_RECORD_PAGE = 2


cdef inline uint64_t run_page_count(uint64_t value_size, uint64_t page_size) noexcept nogil:
    """Least n with n * page_size >= 64 + value_size + 8 * n (FORMAT §5)."""
    cdef uint64_t room = page_size - 8
    return (RUN_HEADER_SIZE + value_size + room - 1) // room


cdef inline uint32_t key_size_max(uint32_t page_size) noexcept nogil:
    """Longest key in bytes (FORMAT §4.1)."""
    return page_size // 4 - 16


cdef inline bint all_zero(const uint8_t* data, size_t size) noexcept nogil:
    """Are all bytes zero? Each is compared with its neighbour, which the library does many at a time."""
    return size == 0 or (data[0] == 0 and memcmp(data, data + 1, size - 1) == 0)
