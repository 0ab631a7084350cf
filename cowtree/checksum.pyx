# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""XXH64 for Python callers: tests and the checker."""

from libc.stdint cimport uint64_t

from cowtree.checksum cimport Xxh64State, xxh64, xxh64_finish, xxh64_start, xxh64_update


def checksum(const unsigned char[::1] data not None, uint64_t seed=0):
    """XXH64 of a buffer. O(size), without the GIL."""
    cdef uint64_t result
    cdef const unsigned char* start = &data[0] if data.shape[0] else NULL
    with nogil:
        result = xxh64(start, data.shape[0], seed)
    return result


def checksum_of_pieces(pieces, uint64_t seed=0):
    """XXH64 of the pieces joined, computed as a stream."""
    cdef Xxh64State state
    cdef const unsigned char[::1] piece
    xxh64_start(&state, seed)
    for item in pieces:
        piece = item
        if piece.shape[0]:
            xxh64_update(&state, &piece[0], piece.shape[0])
    return xxh64_finish(&state)
