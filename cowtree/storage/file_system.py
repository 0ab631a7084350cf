"""What is done with names: open, create, link, unlink, stat, directory sync. Tests replace it to record or to fail.

Contents go through `devices`; a name and the contents it leads to become durable apart from each other.
"""

from __future__ import annotations

import contextlib
import errno
import os

__all__ = ["FileSystem"]

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
# errnos with which a file system says that it knows no hard links
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)


class FileSystem:
    """The operating system's file names. Every method raises `OSError` as the call below it does."""

    def open(self, path: str, *, readonly: bool = False) -> int:
        """A descriptor of an existing file, closed on exec."""
        return os.open(path, (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC)

    def create_temporary(self, path: str, mode: int) -> tuple[int, str]:
        """A new empty file beside `path` with `mode & ~umask`: its descriptor (read and write) and its path."""
        directory, name = os.path.split(path)
        while True:
            temporary = os.path.join(directory, f".{name[:200]}.{os.urandom(8).hex()}.tmp")
            try:
                descriptor = os.open(
                    temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode
                )
            except FileExistsError:
                continue
            return descriptor, temporary

    def link_without_replacing(self, temporary: str, path: str) -> None:
        """Give the file at `temporary` the name `path` instead. FileExistsError: `path` exists, nothing changed."""
        try:
            os.link(temporary, path, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self.rename_without_replacing(temporary, path)
        else:
            with contextlib.suppress(
                FileNotFoundError
            ):  # who has opened `path` already may have cleaned up
                self.unlink(temporary)

    def rename_without_replacing(self, source: str, target: str) -> None:
        """For file systems without hard links. FileExistsError: `target` exists, nothing changed."""
        import ctypes  # slow to load, seldom needed

        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if rename is None:
            raise OSError(
                errno.EOPNOTSUPP, "neither hard links nor renaming without replacing", target
            )
        if rename(
            _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
        ):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), target)

    def rename(self, source: str, target: str) -> None:
        """Give the file at `source` the name `target`, replacing what had it."""
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)

    def stat(self, path: str | int) -> os.stat_result:
        """Status of a path or a descriptor."""
        return os.stat(path)

    def sync_directory(self, path: str) -> None:
        """Make the names in the directory that holds `path` durable."""
        descriptor = os.open(
            os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        try:
            os.fsync(descriptor)
        except OSError as error:
            if (
                error.errno != errno.EINVAL
            ):  # file systems that cannot sync a directory say so like this
                raise
        finally:
            os.close(descriptor)
