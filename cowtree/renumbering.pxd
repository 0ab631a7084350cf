"""What both ways of compaction do to the records of a catalogue: let them lead to where things are in the new file."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef class Renumbering:
    cdef dict commit_pages                 # old commit page -> new one
    cdef object path                       # of the database, for messages

    # In the image of a catalogue leaf, old page `limit`, of `size` bytes: tree records lead to the new roots, tag records
    # to the new commit pages.
    cdef int renumber_records(self, uint8_t* image, uint32_t size, uint64_t limit) except -1
    # The new page of a root that a record names. CorruptionError.
    cdef uint64_t new_root(self, uint64_t root, uint32_t level, uint64_t limit) except 0
