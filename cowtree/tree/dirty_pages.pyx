# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The arena of dirty pages: chunks of pages, a free list, and lists by age."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef enum:
    CHUNK_HEADER_SIZE = 64
    CHUNK_PAGES_FIRST = 8      # a small commit copies a path of three to five pages
    CHUNK_PAGES_MAX = 256


cdef void arena_init(Arena* arena, uint32_t page_size) noexcept nogil:
    arena.page_size = page_size
    arena.page_total = 0
    arena.run_bytes = 0
    arena.newest = NULL
    arena.free_pages = NULL
    arena.newest_run = NULL
    arena.chunks = NULL
    arena.chunk_pages = CHUNK_PAGES_FIRST


cdef bint add_chunk(Arena* arena) noexcept nogil:
    """More free pages; False without memory."""
    cdef size_t stride = DIRTY_HEADER_SIZE + arena.page_size
    cdef Chunk* chunk = <Chunk*>malloc(CHUNK_HEADER_SIZE + arena.chunk_pages * stride)
    cdef uint8_t* at
    cdef uint32_t i
    cdef DirtyHeader* header
    if chunk == NULL:
        return False
    chunk.next = arena.chunks
    arena.chunks = chunk
    at = <uint8_t*>chunk + CHUNK_HEADER_SIZE
    for i in range(arena.chunk_pages):
        header = <DirtyHeader*>(at + (arena.chunk_pages - 1 - i) * stride)
        header.older = arena.free_pages
        arena.free_pages = header
    if arena.chunk_pages < CHUNK_PAGES_MAX:
        arena.chunk_pages *= 2
    return True


cdef uint8_t* arena_page(Arena* arena, uint64_t epoch) noexcept nogil:
    """A page image of undefined content, or NULL without memory. O(1)."""
    cdef DirtyHeader* header
    if arena.free_pages == NULL and not add_chunk(arena):
        return NULL
    header = arena.free_pages
    arena.free_pages = header.older
    header.epoch = epoch
    header.has_runs = 0
    header.written = 0
    header.newer = NULL
    header.older = arena.newest
    if arena.newest != NULL:
        arena.newest.newer = header
    arena.newest = header
    arena.page_total += 1
    return <uint8_t*>header + DIRTY_HEADER_SIZE


cdef void arena_free_page(Arena* arena, uint8_t* page) noexcept nogil:
    cdef DirtyHeader* header = header_of(page)
    if header.newer != NULL:
        header.newer.older = header.older
    else:
        arena.newest = header.older
    if header.older != NULL:
        header.older.newer = header.newer
    header.older = arena.free_pages
    arena.free_pages = header
    arena.page_total -= 1


cdef DirtyRun* arena_run(
    Arena* arena, const uint8_t* value, uint64_t size, uint64_t page_count, uint64_t epoch
) noexcept nogil:
    """A copy of a large value, or NULL without memory. With `value` NULL only the bookkeeping. O(size)."""
    cdef DirtyRun* run = <DirtyRun*>malloc(sizeof(DirtyRun))
    if run == NULL:
        return NULL
    run.data = NULL
    if value != NULL:
        run.data = <uint8_t*>malloc(size)
        if run.data == NULL:
            free(run)
            return NULL
        memcpy(run.data, value, size)
        arena.run_bytes += size
    run.value_size = size
    run.page_count = page_count
    run.number = 0
    run.epoch = epoch
    run.newer = NULL
    run.older = arena.newest_run
    if arena.newest_run != NULL:
        arena.newest_run.newer = run
    arena.newest_run = run
    return run


cdef void arena_free_run_data(Arena* arena, DirtyRun* run) noexcept nogil:
    if run.data != NULL:
        arena.run_bytes -= run.value_size
        free(run.data)
        run.data = NULL


cdef void arena_free_run(Arena* arena, DirtyRun* run) noexcept nogil:
    arena_free_run_data(arena, run)
    if run.newer != NULL:
        run.newer.older = run.older
    else:
        arena.newest_run = run.older
    if run.older != NULL:
        run.older.newer = run.newer
    free(run)


cdef void arena_free_since(Arena* arena, uint64_t epoch) noexcept nogil:
    """Free what was made in `epoch` or later."""
    while arena.newest != NULL and arena.newest.epoch >= epoch:
        arena_free_page(arena, <uint8_t*>arena.newest + DIRTY_HEADER_SIZE)
    while arena.newest_run != NULL and arena.newest_run.epoch >= epoch:
        arena_free_run(arena, arena.newest_run)


cdef void arena_sweep(Arena* arena) noexcept nogil:
    """Free the pages, and the data of the runs, that were written. O(dirty pages)."""
    cdef DirtyHeader* header = arena.newest
    cdef DirtyHeader* older
    cdef DirtyRun* run = arena.newest_run
    while header != NULL:
        older = header.older
        if header.written:
            arena_free_page(arena, <uint8_t*>header + DIRTY_HEADER_SIZE)
        header = older
    while run != NULL:
        if run.number:
            arena_free_run_data(arena, run)
        run = run.older


cdef void arena_clear(Arena* arena) noexcept nogil:
    """Give all memory back."""
    cdef Chunk* chunk
    while arena.newest_run != NULL:
        arena_free_run(arena, arena.newest_run)
    while arena.chunks != NULL:
        chunk = arena.chunks
        arena.chunks = chunk.next
        free(chunk)
    arena_init(arena, arena.page_size)
