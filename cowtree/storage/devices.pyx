# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Where bytes go: the one place that reads, writes, syncs and truncates the database file.

    Device ── FileDevice            a file descriptor
                  └── TracingDevice tells a Python object first, which may fail the operation: crash tests plug in here

Every operation retries what a signal interrupted and raises `OSError` with its errno. `write` and `sync` never run
Python signal handlers: between the write that completes a commit and the end of its sync nothing may be raised (D5).
"""

import errno as error_numbers
import os

from libc.errno cimport EINTR, EINVAL, EIO, ENOSPC, ENOSYS, errno
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy
from posix.types cimport off_t

from cowtree.errors import ClosedError

cdef extern from *:
    """
    /* A descriptor is closed when it is not read any more: its number may be another file's at once. */
    #include <stdint.h>
    #define COWTREE_CLOSING ((int32_t)1 << 30)
    #define COWTREE_CLOSED ((int32_t)1 << 29)
    /* 1: nobody reads, and the caller is the one to close. */
    static int cowtree_last_use(int32_t *uses) {
        int32_t none = COWTREE_CLOSING;
        return __atomic_compare_exchange_n(uses, &none, COWTREE_CLOSING | COWTREE_CLOSED, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static int cowtree_use(int32_t *uses) { return !(__atomic_fetch_add(uses, 1, __ATOMIC_ACQ_REL) & COWTREE_CLOSING); }
    static int cowtree_end_use(int32_t *uses) {
        return __atomic_sub_fetch(uses, 1, __ATOMIC_ACQ_REL) == COWTREE_CLOSING && cowtree_last_use(uses);
    }
    static int cowtree_close_use(int32_t *uses) {
        __atomic_fetch_or(uses, COWTREE_CLOSING, __ATOMIC_ACQ_REL);
        return cowtree_last_use(uses);
    }
    """
    bint use "cowtree_use"(int32_t* uses) noexcept nogil
    bint end_use "cowtree_end_use"(int32_t* uses) noexcept nogil
    bint close_use "cowtree_close_use"(int32_t* uses) noexcept nogil

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <stdlib.h>
    #include <sys/uio.h>
    #include <unistd.h>
    #include "file_status.h"

    static ssize_t cowtree_write_at(int fd, const struct iovec *pieces, int count, off_t offset) {
    #if defined(__APPLE__)
        return pwrite(fd, pieces[0].iov_base, pieces[0].iov_len, offset);  /* pwritev needs macOS 11 */
    #else
        return pwritev(fd, pieces, count, offset);
    #endif
    }

    /* Durable when it returns; -1 and ENOSYS where the system cannot. */
    static ssize_t cowtree_write_durable_at(int fd, const struct iovec *pieces, int count, off_t offset) {
    #if defined(__linux__) && defined(RWF_DSYNC)
        return pwritev2(fd, pieces, count, offset, RWF_DSYNC);
    #else
        (void)fd; (void)pieces; (void)count; (void)offset;
        errno = ENOSYS;
        return -1;
    #endif
    }

    static int cowtree_sync(int fd) {
    #if defined(__APPLE__)
        int result = fcntl(fd, F_FULLFSYNC);
        if (result == -1 && (errno == ENOTSUP || errno == EINVAL)) result = fsync(fd);
        return result;
    #else
        return fdatasync(fd);
    #endif
    }

    static int cowtree_size(int fd, uint64_t *size) {
        cowtree_file_status status;
        if (cowtree_get_status(fd, NULL, &status)) return -1;
        *size = status.size;
        return 0;
    }

    static void cowtree_forget_cached(int fd, off_t offset, off_t size) {
    #if defined(POSIX_FADV_DONTNEED)
        (void)posix_fadvise(fd, offset, size, POSIX_FADV_DONTNEED);
    #else
        (void)fd; (void)offset; (void)size;
    #endif
    }

    static void cowtree_begin_writeback(int fd, off_t offset, off_t size) {
    #if defined(__linux__) && defined(SYNC_FILE_RANGE_WRITE)
        (void)sync_file_range(fd, offset, size, SYNC_FILE_RANGE_WRITE);
    #else
        (void)fd; (void)offset; (void)size;
    #endif
    }

    static void *cowtree_aligned(size_t alignment, size_t size) {
        void *memory = NULL;
        return posix_memalign(&memory, alignment, size) ? NULL : memory;
    }
    """
    ssize_t write_at "cowtree_write_at"(int fd, const iovec* pieces, int count, off_t offset) nogil
    ssize_t write_durable_at "cowtree_write_durable_at"(int fd, const iovec* pieces, int count, off_t offset) nogil
    int sync_file "cowtree_sync"(int fd) nogil
    int file_size "cowtree_size"(int fd, uint64_t* size) nogil
    void forget_cached "cowtree_forget_cached"(int fd, off_t offset, off_t size) nogil
    void begin_writeback_at "cowtree_begin_writeback"(int fd, off_t offset, off_t size) nogil
    void* aligned_memory "cowtree_aligned"(size_t alignment, size_t size) nogil
    ssize_t pread(int fd, void* into, size_t size, off_t offset) nogil
    int ftruncate(int fd, off_t size) nogil

cdef enum:
    # Below IOV_MAX: a megabyte a call. Larger ones made a file system allocate memory in larger pieces, and slower.
    PIECES_MAX = 256
    BOUNCE_ALIGNMENT = 4096
    BOUNCE_SIZE = 1 << 20
    NOT_TRIED = -1
    REFUSED = -2

cdef uint64_t WRITE_SIZE_MAX = 1 << 30   # Linux writes at most 2 GiB - 4 KiB in one call


cdef object _os_error(int code):
    return OSError(code, os.strerror(code))


cdef int _write_all(int fd, const iovec* pieces, int count, uint64_t offset, bint durable) noexcept nogil:
    """Write every piece. Returns 0 or an errno; ENOSYS: `durable` is not possible here and nothing was written."""
    cdef iovec batch[PIECES_MAX]
    cdef int index = 0, used
    cdef size_t inner = 0, size
    cdef uint64_t total
    cdef ssize_t written
    while True:
        used = 0
        total = 0
        while index + used < count and used < PIECES_MAX and total < WRITE_SIZE_MAX:
            size = pieces[index + used].iov_len
            batch[used].iov_base = pieces[index + used].iov_base
            if used == 0:
                batch[0].iov_base = <uint8_t*> batch[0].iov_base + inner
                size -= inner
            if size > WRITE_SIZE_MAX - total:
                size = WRITE_SIZE_MAX - total
            batch[used].iov_len = size
            total += size
            used += 1
        if total == 0:
            return 0
        if durable:
            written = write_durable_at(fd, batch, used, <off_t> offset)
        else:
            written = write_at(fd, batch, used, <off_t> offset)
        if written < 0:
            if errno == EINTR:
                continue
            return errno
        if written == 0:
            return EIO
        offset += <uint64_t> written
        while written > 0:                # skip what is in the file
            size = pieces[index].iov_len - inner
            if <size_t> written < size:
                inner += <size_t> written
                written = 0
            else:
                written -= <ssize_t> size
                index += 1
                inner = 0
        while index < count and pieces[index].iov_len == inner:    # empty pieces
            index += 1
            inner = 0


cdef int _sync(int fd) noexcept nogil:
    while sync_file(fd):
        if errno != EINTR:
            return errno
    return 0


cdef ssize_t read_all(int fd, uint8_t* into, size_t n, uint64_t offset) noexcept nogil:
    cdef size_t done = 0, size
    cdef ssize_t got
    while done < n:
        size = n - done
        if size > WRITE_SIZE_MAX:
            size = WRITE_SIZE_MAX
        got = pread(fd, into + done, size, <off_t> (offset + done))
        if got < 0:
            if errno == EINTR:
                continue
            return -errno
        if got == 0:
            break
        done += <size_t> got
    return <ssize_t> done


cdef class Device:
    """What a database file can be asked. Offsets and sizes are in bytes; all calls are thread-safe but `close`."""

    cdef int write(self, const iovec* pieces, int count, uint64_t offset) except -1:
        raise NotImplementedError

    cdef int write_without_gil(self, const iovec* pieces, int count, uint64_t offset) except -1 nogil:
        with gil:
            return self.write(pieces, count, offset)

    cdef int write_cached(self, const iovec* pieces, int count, uint64_t offset) except -1:
        return self.write(pieces, count, offset)

    cdef int write_durable(self, const iovec* pieces, int count, uint64_t offset) except -1:
        raise NotImplementedError

    cdef int sync(self) except -1:
        raise NotImplementedError

    cdef int sync_status(self) noexcept nogil:
        with gil:
            try:
                self.sync()
            except BaseException as error:
                self.sync_error = error
                return EIO
        return 0

    cdef int begin_writeback(self, uint64_t offset, uint64_t size) except -1:
        return 0

    cdef int truncate(self, uint64_t size) except -1:
        raise NotImplementedError

    cdef uint64_t size(self) except? 0:
        raise NotImplementedError

    cdef Py_ssize_t read(self, uint8_t* into, size_t n, uint64_t offset) except -1:
        raise NotImplementedError

    cdef Py_ssize_t read_from_medium(self, uint8_t* into, size_t n, uint64_t offset) except -1:
        raise NotImplementedError

    cpdef object close(self):
        """Idempotent."""

    def write_bytes(self, uint64_t offset, const uint8_t[::1] data not None, bint durable=False):
        """Write `data` at `offset`; `durable`: as `write_durable`."""
        cdef iovec piece
        piece.iov_base = <void*> &data[0] if data.shape[0] else NULL
        piece.iov_len = <size_t> data.shape[0]
        if durable:
            self.write_durable(&piece, 1, offset)
        else:
            self.write(&piece, 1, offset)

    def write_pieces(self, uint64_t offset, list pieces not None):
        """Write a list of bytes objects, one behind the other, as one gather write."""
        cdef iovec batch[4096]
        cdef int count = 0
        cdef bytes piece
        if len(pieces) > 4096:
            raise ValueError("at most 4096 pieces")
        for piece in pieces:
            batch[count].iov_base = <void*> <const char*> piece
            batch[count].iov_len = <size_t> len(piece)
            count += 1
        self.write(batch, count, offset)

    def read_bytes(self, uint64_t offset, size_t n, bint from_medium=False):
        """Up to `n` bytes at `offset`; fewer at the end of the file. At most 1 GiB."""
        cdef bytearray into
        cdef Py_ssize_t got
        if n > WRITE_SIZE_MAX:
            raise ValueError("at most 1 GiB")
        into = bytearray(n)
        if from_medium:
            got = self.read_from_medium(<uint8_t*> <char*> into, n, offset)
        else:
            got = self.read(<uint8_t*> <char*> into, n, offset)
        return bytes(into[:got])

    def sync_data(self):
        """Make what was written durable."""
        self.sync()

    def set_size(self, uint64_t size):
        """Cut the file, or extend it with zeros, to `size` bytes."""
        self.truncate(size)

    def get_size(self):
        """Size of the file in bytes."""
        return self.size()


cdef class FileDevice(Device):
    """A file by its descriptor, which it owns and closes."""

    def __cinit__(self, int fd, bint readonly=False, *args, **kwargs):
        self.fd = fd
        self.readonly = readonly
        self.direct_fd = NOT_TRIED
        self.bounce = NULL

    def __dealloc__(self):
        if self.direct_fd >= 0:
            _close(self.direct_fd)
        if self.fd >= 0:
            _close(self.fd)
        free(self.bounce)

    cdef int write(self, const iovec* pieces, int count, uint64_t offset) except -1:
        cdef int code
        with nogil:
            code = _write_all(self.fd, pieces, count, offset, False)
        if code:
            raise _os_error(code)
        return 0

    cdef int write_without_gil(self, const iovec* pieces, int count, uint64_t offset) except -1 nogil:
        cdef int code = _write_all(self.fd, pieces, count, offset, False)
        if code:
            with gil:
                raise _os_error(code)
        return 0

    cdef int write_cached(self, const iovec* pieces, int count, uint64_t offset) except -1:
        cdef int code = _write_all(self.fd, pieces, count, offset, False)
        if code:
            raise _os_error(code)
        return 0

    cdef int write_durable(self, const iovec* pieces, int count, uint64_t offset) except -1:
        cdef int code = ENOSYS
        cdef int i
        cdef uint64_t total = 0
        for i in range(count):
            total += pieces[i].iov_len
        with nogil:
            if count <= PIECES_MAX and total <= WRITE_SIZE_MAX:
                code = _write_all(self.fd, pieces, count, offset, True)
            if code in (ENOSYS, EINVAL, error_not_supported):
                code = _write_all(self.fd, pieces, count, offset, False)
                if code == 0:
                    code = _sync(self.fd)
        if code:
            raise _os_error(code)
        return 0

    cdef int sync(self) except -1:
        cdef int code
        with nogil:
            code = _sync(self.fd)
        if code:
            raise _os_error(code)
        return 0

    cdef int sync_status(self) noexcept nogil:
        cdef int code = _sync(self.fd)
        if code:
            with gil:
                self.sync_error = _os_error(code)
        return code

    cdef int begin_writeback(self, uint64_t offset, uint64_t size) except -1:
        with nogil:
            begin_writeback_at(self.fd, <off_t> offset, <off_t> size)
        return 0

    cdef int truncate(self, uint64_t size) except -1:
        cdef int code = 0
        if <int64_t> size < 0:
            raise _os_error(error_numbers.EFBIG)
        with nogil:
            while ftruncate(self.fd, <off_t> size):
                if errno != EINTR:
                    code = errno
                    break
        if code:
            raise _os_error(code)
        return 0

    cdef uint64_t size(self) except? 0:
        cdef uint64_t size = 0
        if file_size(self.fd, &size):
            raise _os_error(errno)
        return size

    cdef Py_ssize_t read(self, uint8_t* into, size_t n, uint64_t offset) except -1:
        cdef ssize_t got
        self.begin_read()
        with nogil:
            got = read_all(self.fd, into, n, offset)
        self.end_read()
        if got < 0:
            raise _os_error(<int> -got)
        return got

    cdef Py_ssize_t read_from_medium(self, uint8_t* into, size_t n, uint64_t offset) except -1:
        """Read past the page cache, which after a failed sync shows what the medium does not have (D5)."""
        cdef size_t done = 0, skip, size
        cdef uint64_t start
        cdef ssize_t got
        cdef int code
        if self.readonly:
            return self.read(into, n, offset)
        if self.direct_fd == NOT_TRIED:
            self.open_direct()
        while self.direct_fd >= 0 and done < n:
            start = (offset + done) & ~<uint64_t> (BOUNCE_ALIGNMENT - 1)
            skip = offset + done - start
            size = n - done + skip
            size = (size + BOUNCE_ALIGNMENT - 1) & ~<size_t> (BOUNCE_ALIGNMENT - 1)
            if size > BOUNCE_SIZE:
                size = BOUNCE_SIZE
            with nogil:
                got = pread(self.direct_fd, self.bounce, size, <off_t> start)
                code = errno
            if got < 0 and code == EINTR:
                continue
            # Some file systems say only now that they cannot. And ext4 says EIO for good where a process was killed in
            # the middle of a write that had no blocks yet ("Direct I/O collision with buffered writes"): if the medium
            # is at fault, the read below says so too.
            if got < 0 and (code == EINVAL or code == EIO):
                _close(self.direct_fd)
                self.direct_fd = REFUSED
                break
            if got < 0:
                raise _os_error(code)
            if <size_t> got <= skip:                # end of file
                return <Py_ssize_t> done
            got -= <ssize_t> skip
            if <size_t> got > n - done:
                got = <ssize_t> (n - done)
            memcpy(into + done, self.bounce + skip, <size_t> got)
            done += <size_t> got
        if done == n:
            return <Py_ssize_t> done
        self.sync()
        forget_cached(self.fd, <off_t> (offset + done), <off_t> (n - done))
        return done + self.read(into + done, n - done, offset + done)

    cdef int open_direct(self) except -1:
        self.direct_fd = REFUSED
        if not hasattr(os, "O_DIRECT"):
            return 0
        try:
            # Opens the same inode whatever has become of its path.
            fd = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError:
            return 0
        self.bounce = <uint8_t*> aligned_memory(BOUNCE_ALIGNMENT, BOUNCE_SIZE)
        if self.bounce == NULL:
            os.close(fd)
            raise MemoryError
        self.direct_fd = fd
        return 0

    cdef int begin_read(self) except -1:
        """Keep the descriptor open until `end_read`. Raises ClosedError."""
        if use(&self.uses):
            return 0
        self.end_read()
        raise ClosedError("the database is closed")

    cdef int end_read(self) except -1:
        if end_use(&self.uses):
            self.close_descriptors()
        return 0

    cpdef object close(self):
        """Close the descriptors, or let the last read that is under way do so. Idempotent."""
        if close_use(&self.uses):
            self.close_descriptors()

    cdef int close_descriptors(self) except -1:
        cdef int fd = self.fd, direct_fd = self.direct_fd
        self.fd = -1
        self.direct_fd = REFUSED
        if direct_fd >= 0:
            _close(direct_fd)
        if fd >= 0:
            os.close(fd)
        return 0


cdef class TracingDevice(FileDevice):
    """A `FileDevice` that first tells `trace`: `write(offset, data)`, `sync()`, `sync_range(offset, size)` after the write
    that it makes durable, `truncate(size)`.

    What `trace` raises is raised instead of the operation. `trace.write` may return an int n: then only n bytes are
    written before OSError(ENOSPC).
    """

    def __cinit__(self, int fd, bint readonly=False, object trace=None):
        self.trace = trace

    cdef int write(self, const iovec* pieces, int count, uint64_t offset) except -1:
        cdef int i
        cdef bytes data = b"".join([(<uint8_t*> pieces[i].iov_base)[:pieces[i].iov_len] for i in range(count)])
        cdef iovec piece
        limit = self.trace.write(offset, data)
        if limit is None:
            return FileDevice.write(self, pieces, count, offset)
        piece.iov_base = <void*> <const char*> data
        piece.iov_len = min(<size_t> limit, <size_t> len(data))
        FileDevice.write(self, &piece, 1, offset)
        raise _os_error(ENOSPC)

    cdef int write_without_gil(self, const iovec* pieces, int count, uint64_t offset) except -1 nogil:
        with gil:
            return self.write(pieces, count, offset)

    cdef int write_cached(self, const iovec* pieces, int count, uint64_t offset) except -1:
        return self.write(pieces, count, offset)

    cdef int write_durable(self, const iovec* pieces, int count, uint64_t offset) except -1:
        cdef uint64_t size = 0
        for i in range(count):
            size += pieces[i].iov_len
        self.write(pieces, count, offset)
        self.trace.sync_range(offset, size)
        return FileDevice.sync(self)

    cdef int sync(self) except -1:
        self.trace.sync()
        return FileDevice.sync(self)

    cdef int sync_status(self) noexcept nogil:
        return Device.sync_status(self)

    cdef int truncate(self, uint64_t size) except -1:
        self.trace.truncate(size)
        return FileDevice.truncate(self, size)


def open_device(path, *, bint readonly=False, trace=None):
    """Open the file at `path` (or an int descriptor, which is taken over) as a device."""
    cdef int fd
    if isinstance(path, int):
        fd = path
    else:
        fd = os.open(path, (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC)
    try:
        if trace is not None:
            return TracingDevice(fd, readonly, trace)
        return FileDevice(fd, readonly)
    except BaseException:                          # no memory: nobody has it
        os.close(fd)
        raise


cdef extern from "<unistd.h>":
    int _close "close"(int fd) nogil

cdef extern from "<errno.h>":
    int error_not_supported "EOPNOTSUPP"
