"""Memory of the pages and values that a transaction has changed and not written yet.

    header 64 | page image            a page: references to it are DIRTY | address of the image
    DirtyRun                          a large value: the run reference's page is DIRTY | address of the struct

Each carries the epoch it was made in. A savepoint opens a new epoch and seals all older ones: what is sealed is copied,
not edited, and comes back as it was by a rollback, which frees whatever is younger.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef struct DirtyHeader:
    uint64_t epoch
    DirtyHeader* older
    DirtyHeader* newer
    uint32_t has_runs          # some entry may refer to a DirtyRun
    uint32_t written           # its image went to the file: freed by the next sweep

cdef struct DirtyRun:
    uint64_t epoch
    DirtyRun* older
    DirtyRun* newer
    uint64_t value_size
    uint64_t page_count
    uint64_t number            # once it is written; its data is freed then
    uint8_t* data

cdef struct Chunk:
    Chunk* next

cdef struct Arena:
    uint32_t page_size
    uint64_t page_total        # pages in use
    uint64_t run_bytes
    DirtyHeader* newest
    DirtyHeader* free_pages    # linked through `older`
    DirtyRun* newest_run
    Chunk* chunks
    uint32_t chunk_pages       # of the next chunk


cdef enum:
    DIRTY_HEADER_SIZE = 64


cdef inline DirtyHeader* header_of(const uint8_t* page) noexcept nogil:
    return <DirtyHeader*>(<uint8_t*>page - DIRTY_HEADER_SIZE)


cdef inline uint64_t arena_bytes(const Arena* arena) noexcept nogil:
    return arena.page_total * arena.page_size + arena.run_bytes


cdef void arena_init(Arena* arena, uint32_t page_size) noexcept nogil
cdef uint8_t* arena_page(Arena* arena, uint64_t epoch) noexcept nogil
cdef void arena_free_page(Arena* arena, uint8_t* page) noexcept nogil
cdef DirtyRun* arena_run(Arena* arena, const uint8_t* value, uint64_t size, uint64_t page_count, uint64_t epoch) noexcept nogil
cdef void arena_free_run_data(Arena* arena, DirtyRun* run) noexcept nogil
cdef void arena_free_run(Arena* arena, DirtyRun* run) noexcept nogil
cdef void arena_free_since(Arena* arena, uint64_t epoch) noexcept nogil
cdef void arena_sweep(Arena* arena) noexcept nogil
cdef void arena_clear(Arena* arena) noexcept nogil
