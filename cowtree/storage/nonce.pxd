"""Random numbers that tell one attempt from another."""

from libc.stdint cimport uint64_t

cdef uint64_t random_nonce() except? 0
