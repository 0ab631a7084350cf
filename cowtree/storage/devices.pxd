"""Where bytes go: the one place that reads, writes, syncs and truncates the database file."""

from libc.stdint cimport int32_t, uint8_t, uint64_t


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len


# Bytes read (less than `n`: end of the file), or minus an errno.
cdef ssize_t read_all(int fd, uint8_t* into, size_t n, uint64_t offset) noexcept nogil


cdef class Device:
    cdef readonly int fd                 # -1 once closed and no read is under way
    cdef readonly bint readonly
    cdef object sync_error

    # Gather write at an offset; complete or an OSError (then any part may be in the file). Releases the GIL.
    cdef int write(self, const iovec* pieces, int count, uint64_t offset) except -1
    # The same for who runs without the GIL and has more to do without it.
    cdef int write_without_gil(self, const iovec* pieces, int count, uint64_t offset) except -1 nogil
    # The same for a few pages that only go to the page cache, without releasing the GIL: a thread that gave it up in the
    # middle of its turn as the writer would have to wait for it while all others wait for the turn.
    cdef int write_cached(self, const iovec* pieces, int count, uint64_t offset) except -1
    # The same, durable when it returns. An error leaves the outcome unknown, as a failed `sync` does.
    cdef int write_durable(self, const iovec* pieces, int count, uint64_t offset) except -1
    cdef int sync(self) except -1
    # The same for who has no GIL: 0, or not 0 and `sync_error` is the exception.
    cdef int sync_status(self) noexcept nogil
    # A hint: let the device begin to write what is cached of a range. Promises nothing, and does not wait.
    cdef int begin_writeback(self, uint64_t offset, uint64_t size) except -1
    cdef int truncate(self, uint64_t size) except -1
    cdef uint64_t size(self) except? 0
    # Bytes read: `n`, or less at the end of the file.
    cdef Py_ssize_t read(self, uint8_t* into, size_t n, uint64_t offset) except -1
    cdef Py_ssize_t read_from_medium(self, uint8_t* into, size_t n, uint64_t offset) except -1
    cpdef object close(self)


cdef class FileDevice(Device):
    cdef int direct_fd                   # O_DIRECT descriptor: -1 not tried yet, -2 refused
    cdef uint8_t* bounce                 # aligned memory for O_DIRECT
    cdef int32_t uses                    # reads under way, and whether it was closed: atomic

    cdef int begin_read(self) except -1
    cdef int end_read(self) except -1
    cdef int close_descriptors(self) except -1
    cdef int open_direct(self) except -1


cdef class TracingDevice(FileDevice):
    cdef readonly object trace
