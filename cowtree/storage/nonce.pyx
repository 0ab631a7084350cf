# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Nonces (FORMAT §3.1). See `nonce.pxd`."""

import os

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from .file_lock cimport fork_generation


cdef bytes nonce_pool = b""
cdef size_t nonce_at = 0
cdef unsigned long nonce_fork = 0


cdef uint64_t random_nonce() except? 0:
    """64 random bits, drawn 64 at a time; a forked child draws its own."""
    global nonce_pool, nonce_at, nonce_fork
    cdef uint64_t nonce
    if nonce_at + 8 > <size_t>len(nonce_pool) or nonce_fork != fork_generation():
        nonce_pool = os.urandom(512)
        nonce_at = 0
        nonce_fork = fork_generation()
    memcpy(&nonce, PyBytes_AS_STRING(nonce_pool) + nonce_at, 8)
    nonce_at += 8
    return nonce
