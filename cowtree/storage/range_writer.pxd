"""Writes the range of one record: pages in the order of their numbers, its commit page last or all at once."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ..checksum cimport Xxh64State
from .devices cimport iovec
from .page_file cimport PageFile, Space


cdef class RangeWriter:
    cdef PageFile file
    cdef readonly uint64_t first_page      # of the range: the commit page
    cdef readonly uint64_t next_page       # number that the next page gets
    cdef readonly uint64_t birth
    cdef readonly uint64_t nonce
    cdef readonly uint64_t pages_written   # in the file so far
    cdef readonly uint64_t queued_bytes
    cdef public bint durable               # set before `finish`: its last write is one `Device.write_durable`
    cdef bint withhold                     # set before `finish`: its commit page is written without its first word
    cdef public uint32_t zero_checksums    # tests: treat that many commit page checksums as zero (I6)
    cdef bint active
    cdef uint64_t flushed_upto             # pages below are in the file, but the commit page
    cdef iovec* pieces                     # [0] is the commit page's place
    cdef int piece_count
    cdef int piece_capacity
    cdef void** blocks                     # own memory of queued runs
    cdef int block_count
    cdef int block_capacity
    cdef uint64_t* inner                   # (first, end) of pages inside runs: never looked up, never marked
    cdef size_t inner_count
    cdef size_t inner_capacity
    cdef Xxh64State by_generation
    cdef Xxh64State by_nonce
    cdef uint64_t* entries                 # of the digest: number and checksum in turn, where they are kept
    cdef size_t entry_count
    cdef size_t entry_capacity
    cdef bint keeping
    cdef bint rewritten
    cdef iovec* again                      # pages to be written over others, from `again_first` on
    cdef int again_count
    cdef uint64_t again_first

    cdef int begin(self, PageFile file, uint64_t first_page, uint64_t birth, uint64_t nonce) except -1
    # A whole leaf, branch or list page image of page_size bytes, its kind, level and counts set, that stays alive and
    # unchanged until `flush` or `finish`. Stores number, birth and checksum in it.
    cdef int add_page(self, uint8_t* page, uint64_t* number) except -1
    # After `begin`: pages of this range may be written again. 16 bytes a page.
    cdef int keep_entries(self) except -1
    # As `add_page`, over a page of this range that nothing refers to any more.
    cdef int rewrite_page(self, uint8_t* page, uint64_t number) except -1
    # A value as a run. It stays alive and unchanged until `flush` or `finish`; one above 1 MiB is written at once.
    cdef int add_run(self, const uint8_t* value, uint64_t value_size, uint64_t* number) except -1
    # Pages that somebody else has written at `next_page`: a page, or a run with its header's checksum. Nothing is queued.
    cdef void note_written(self, uint64_t checksum, uint64_t count) noexcept nogil
    cdef int flush(self) except -1
    # Puts page count, digest and checksum into the commit page (encode_commit made the rest) and writes what is left.
    cdef int finish(self, uint8_t* commit_page) except -1
    # The pages that this record wrote need no verification in this process. After `finish`.
    cdef void mark_written_verified(self, const Space* space) noexcept
    cpdef object abort(self)               # forgets the queue

    cdef int note(self, uint64_t number, uint64_t checksum) except -1
    cdef int write_again(self) except -1
    cdef void digest_entries(self) noexcept
    cdef int queue(self, const void* data, size_t size) except -1
    cdef int reserve_piece(self, int index) except -1
    cdef void* own_block(self, size_t size) except NULL
    cdef int add_inner(self, uint64_t first, uint64_t end) except -1
    cdef void drop_queue(self) noexcept
