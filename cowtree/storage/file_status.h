/* What a file is and how long, without its times. To ask for times costs the next write dearly: Linux (6.13 on) tells
 * them apart more finely from then on, so that each commit has a new one to write, and to sync, beside its own pages.
 */
#ifndef COWTREE_FILE_STATUS_H
#define COWTREE_FILE_STATUS_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#endif

typedef struct {
    uint64_t dev;
    uint64_t ino;
    uint64_t size;
} cowtree_file_status;

/* Of the file at `path`, or with path NULL of the descriptor. 0, or -1 and errno. */
static inline int cowtree_get_status(int fd, const char *path, cowtree_file_status *status) {
    struct stat found;
#if defined(__linux__) && defined(STATX_INO) && defined(AT_EMPTY_PATH)
    struct statx short_found;
    if (statx(path ? AT_FDCWD : fd, path ? path : "", path ? 0 : AT_EMPTY_PATH, STATX_INO | STATX_SIZE, &short_found) == 0) {
        status->dev = makedev(short_found.stx_dev_major, short_found.stx_dev_minor);
        status->ino = short_found.stx_ino;
        status->size = short_found.stx_size;
        return 0;
    }
    if (errno != ENOSYS && errno != EPERM) return -1;      /* some sandboxes refuse what they do not know */
#endif
    if (path ? stat(path, &found) : fstat(fd, &found)) return -1;
    status->dev = (uint64_t)found.st_dev;
    status->ino = (uint64_t)found.st_ino;
    status->size = (uint64_t)found.st_size;
    return 0;
}

#endif
