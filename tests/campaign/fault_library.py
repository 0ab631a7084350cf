"""A library that makes the n-th call of a kind fail in the thread that asked: memory, writes, syncs, names.

It is loaded before libc's functions are bound (LD_PRELOAD), so it stands under the interpreter, the core and libc's
callers alike; a process that does not have it loaded starts again with it. Needs Linux with glibc and a C compiler.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["KINDS", "SHORT", "FaultLibrary", "build_library", "unavailable"]

KINDS = {
    "memory": 1, "write": 2, "sync": 4, "size": 8, "read": 16, "name": 32, "status": 64, "map": 128, "lock": 256,
}  # fmt: skip
"""What may fail; `size` is ftruncate and fallocate, `name` is open, link, rename and unlink, `lock` is fcntl."""

SHORT = -1
"""In place of an errno: a write that takes half of what it was given."""

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static __thread int kinds, code;
static __thread long number, last, seen, failed;

/* From the `from`-th call of these kinds to the `to`-th: they fail with `error`. */
void fault_arm(int of_kinds, long from, long to, int error) {
    number = from; last = to; seen = failed = 0; code = error; kinds = of_kinds;
}
void fault_disarm(void) { kinds = 0; }
long fault_seen(void) { return seen; }
long fault_failed(void) { return failed; }

static int fails(int kind) {
    if (!(kinds & kind)) return 0;
    ++seen;
    if (seen < number || seen > last) return 0;
    ++failed;
    return 1;
}

void *malloc(size_t size) {
    if (fails(1)) { errno = ENOMEM; return NULL; }
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    if (fails(1)) { errno = ENOMEM; return NULL; }
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    if (fails(1)) { errno = ENOMEM; return NULL; }
    return __libc_realloc(old, size);
}
int posix_memalign(void **into, size_t alignment, size_t size) {
    void *memory = fails(1) ? NULL : __libc_memalign(alignment, size);
    if (!memory) return ENOMEM;
    *into = memory;
    return 0;
}

#define REAL(name) static typeof(name) *real; if (!real) real = (typeof(name) *)dlsym(RTLD_NEXT, #name)
#define CALL(kind, result, name, parameters, arguments) \
    result name parameters; \
    result name parameters { \
        REAL(name); \
        if (fails(kind)) { errno = code; return (result)-1; } \
        return real arguments; \
    }
#define OPEN(name, parameters, ...) \
    int name parameters; \
    int name parameters { \
        REAL(name); \
        va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        if (fails(32)) { errno = code; return -1; } \
        return real(__VA_ARGS__, flags, mode); \
    }
#define WRITE(name, shortened, parameters, arguments) \
    ssize_t name parameters; \
    ssize_t name parameters { \
        REAL(name); \
        if (fails(2)) { \
            if (code != -1) { errno = code; return -1; } \
            shortened; \
            return real arguments; \
        } \
        return real arguments; \
    }
#define HALF size = (size + 1) / 2
#define HALF_OF_PIECES \
    struct iovec half = pieces[0]; \
    if (count > 1) count = (count + 1) / 2; \
    else { half.iov_len = (half.iov_len + 1) / 2; pieces = &half; }

WRITE(write, HALF, (int fd, const void *from, size_t size), (fd, from, size))
WRITE(pwrite, HALF, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
WRITE(pwrite64, HALF, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
WRITE(pwritev, HALF_OF_PIECES, (int fd, const struct iovec *pieces, int count, off_t at), (fd, pieces, count, at))
WRITE(pwritev64, HALF_OF_PIECES, (int fd, const struct iovec *pieces, int count, off_t at), (fd, pieces, count, at))
WRITE(pwritev2, HALF_OF_PIECES,
      (int fd, const struct iovec *pieces, int count, off_t at, int flags), (fd, pieces, count, at, flags))
WRITE(pwritev64v2, HALF_OF_PIECES,
      (int fd, const struct iovec *pieces, int count, off_t at, int flags), (fd, pieces, count, at, flags))
CALL(2, ssize_t, copy_file_range, (int from, off_t *at, int to, off_t *into, size_t size, unsigned flags),
     (from, at, to, into, size, flags))
CALL(4, int, fsync, (int fd), (fd))
CALL(4, int, fdatasync, (int fd), (fd))
CALL(8, int, ftruncate, (int fd, off_t size), (fd, size))
CALL(8, int, ftruncate64, (int fd, off_t size), (fd, size))
CALL(8, int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
CALL(8, int, fallocate64, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
CALL(16, ssize_t, read, (int fd, void *into, size_t size), (fd, into, size))
CALL(16, ssize_t, pread, (int fd, void *into, size_t size, off_t at), (fd, into, size, at))
CALL(16, ssize_t, pread64, (int fd, void *into, size_t size, off_t at), (fd, into, size, at))
CALL(32, int, link, (const char *old, const char *new), (old, new))
CALL(32, int, linkat, (int f, const char *old, int t, const char *new, int flags), (f, old, t, new, flags))
CALL(32, int, rename, (const char *old, const char *new), (old, new))
CALL(32, int, renameat, (int f, const char *old, int t, const char *new), (f, old, t, new))
CALL(32, int, renameat2, (int f, const char *old, int t, const char *new, unsigned flags), (f, old, t, new, flags))
CALL(32, int, unlink, (const char *path), (path))
CALL(32, int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
OPEN(open, (const char *path, int flags, ...), path)
OPEN(open64, (const char *path, int flags, ...), path)
OPEN(openat, (int fd, const char *path, int flags, ...), fd, path)
OPEN(openat64, (int fd, const char *path, int flags, ...), fd, path)
CALL(64, int, stat, (const char *path, void *into), (path, into))
CALL(64, int, stat64, (const char *path, void *into), (path, into))
CALL(64, int, lstat, (const char *path, void *into), (path, into))
CALL(64, int, lstat64, (const char *path, void *into), (path, into))
CALL(64, int, fstat, (int fd, void *into), (fd, into))
CALL(64, int, fstat64, (int fd, void *into), (fd, into))
CALL(64, int, fstatat, (int fd, const char *path, void *into, int flags), (fd, path, into, flags))
CALL(64, int, fstatat64, (int fd, const char *path, void *into, int flags), (fd, path, into, flags))
CALL(64, int, statx, (int fd, const char *path, int flags, unsigned mask, void *into), (fd, path, flags, mask, into))
CALL(64, int, fstatfs, (int fd, void *into), (fd, into))
CALL(64, int, fstatfs64, (int fd, void *into), (fd, into))
CALL(129, void *, mmap, (void *at, size_t size, int may, int flags, int fd, off_t from),
     (at, size, may, flags, fd, from))
CALL(129, void *, mmap64, (void *at, size_t size, int may, int flags, int fd, off_t from),
     (at, size, may, flags, fd, from))

int fcntl(int fd, int command, ...);
int fcntl(int fd, int command, ...) {
    REAL(fcntl);
    va_list more; va_start(more, command); void *argument = va_arg(more, void *); va_end(more);
    if (fails(256)) { errno = code; return -1; }
    return real(fd, command, argument);
}
int fcntl64(int fd, int command, ...);
int fcntl64(int fd, int command, ...) {
    REAL(fcntl64);
    va_list more; va_start(more, command); void *argument = va_arg(more, void *); va_end(more);
    if (fails(256)) { errno = code; return -1; }
    return real(fd, command, argument);
}
"""


def unavailable() -> str | None:
    """Why it cannot be done here, or None."""
    if sys.platform != "linux" or os.confstr("CS_GNU_LIBC_VERSION") is None:
        return "calls can be made to fail only under Linux with glibc"
    return None if _compiler() else "there is no C compiler"


def _compiler() -> str | None:
    named = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return shutil.which(named) or shutil.which("cc") or shutil.which("gcc")


def build_library(folder: str) -> str:
    """Compile the library into `folder`; its path."""
    source = Path(folder, "faults.c")
    source.write_text(SOURCE)
    library = str(Path(folder, "faults.so"))
    command = [
        str(_compiler()),
        "-O1",
        "-w",
        "-shared",
        "-fPIC",
        "-fno-builtin",
        "-o",
        library,
        str(source),
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return library


class FaultLibrary:
    """The library that is loaded into this process."""

    def __init__(self) -> None:
        # Called with the GIL held: nothing else of the interpreter runs while it is armed.
        loaded = ctypes.PyDLL(os.environ["LD_PRELOAD"])
        self._arm = loaded.fault_arm
        self._arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int]
        self._arm.restype = None
        # Takes and returns nothing, so that it needs no memory.
        self.disarm = loaded.fault_disarm
        self.disarm.argtypes = []
        self.disarm.restype = None
        self._seen, self._failed = loaded.fault_seen, loaded.fault_failed
        self._seen.restype = self._failed.restype = ctypes.c_long

    def arm(self, kinds: int, number: int, *, for_ever: bool, code: int) -> None:
        """From now on the `number`-th call of `kinds` fails with `code`; all later ones too if `for_ever`."""
        last = number
        if for_ever:
            # The interpreter unwinds a `with` again and again while it has not the memory for one integer.
            last = number + 200 if kinds == KINDS["memory"] else sys.maxsize
        self._arm(kinds, number, last, code)

    @property
    def seen(self) -> int:
        """Calls of these kinds since `arm`."""
        return int(self._seen())

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return int(self._failed())
