"""Copies records into another file and seals every page anew, for that file's generation."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from ..checksum cimport Xxh64State
from .commit_record cimport CommitRecord
from .devices cimport Device
from .page_file cimport PageFile


cdef struct DigestPair:
    # A range's digest (FORMAT §3.2) on its way: both halves.
    Xxh64State by_generation
    Xxh64State by_nonce


cdef class RangeCopier:
    cdef PageFile source
    cdef Device target
    cdef int fd                            # of the source, of our own: its owner may close the file meanwhile
    cdef uint64_t page_size
    cdef uint8_t uuid[16]
    cdef uint64_t old_generation
    cdef uint64_t generation
    cdef uint64_t tip_page                 # the last record: its commit page, that page's checksum, the page behind it
    cdef uint64_t tip_checksum
    cdef readonly uint64_t end_page
    cdef readonly uint64_t next_page       # pages below are copied, an open record's commit page excepted
    cdef readonly bint unlucky             # a commit page's checksum came out as zero (I6)
    cdef public uint64_t zero_checksums    # tests: treat that many checksums of commit pages as zero

    cdef uint8_t* memory
    cdef uint8_t* window
    cdef uint64_t capacity                 # pages in a window

    # The open record; between two records `record_end` == `next_page`.
    cdef uint64_t record_page
    cdef uint64_t record_end
    cdef uint64_t sequence
    cdef uint64_t nonce
    cdef uint8_t old_digest[16]            # of the newest record that was closed
    cdef uint8_t new_digest[16]
    cdef DigestPair old_pages
    cdef DigestPair new_pages
    cdef uint8_t* commit_page              # not sealed yet: in the window, or `held`
    cdef uint8_t* held                     # the commit page of a record that an earlier window began
    cdef uint8_t* late                     # such a page, sealed, to be written
    cdef uint64_t late_number              # 0: none

    # The open run. `run_left` > 0 between two windows: it is larger than a window.
    cdef uint64_t run_page
    cdef uint64_t run_count
    cdef uint64_t run_left
    cdef uint64_t run_table                # offset of its checksum table in it
    cdef uint8_t run_header[64]
    cdef Xxh64State old_table
    cdef Xxh64State new_table
    cdef uint8_t* old_entries              # a window's piece of the table
    cdef uint8_t* new_entries

    cdef int copy_window(self) except -1 nogil
    cdef int copy_run_window(self) except -1 nogil
    cdef int read(self, uint8_t* into, uint64_t size, uint64_t offset) except -1 nogil
    cdef int write(self, const uint8_t* data, uint64_t size, uint64_t offset) except -1 nogil
    cdef int64_t seal_window(self, uint64_t pages) except -1 nogil
    cdef int begin_record(self, uint8_t* page, uint64_t number) except -1 nogil
    cdef int end_record(self) except -1 nogil
    cdef void add_to_digests(self, uint64_t number, uint64_t old_checksum, uint64_t new_checksum) noexcept nogil
    cdef int seal_page(self, uint8_t* page, uint64_t number) except -1 nogil
    cdef int begin_run(self, const uint8_t* header, uint64_t number) except -1 nogil
    cdef int seal_run_pages(
        self, const uint8_t* data, uint64_t first, uint64_t count, const uint8_t* old, uint8_t* new
    ) except -1 nogil
    cdef int end_run(self, uint8_t* header) except -1 nogil
    cdef int fail(self, const char* problem, uint64_t number) except -1 nogil
