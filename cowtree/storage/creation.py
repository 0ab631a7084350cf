"""Makes a new database file: whole at its path, or not there at all.

temporary file ── pages 0..3, sync ──> link without replacing ──> directory sync
"""

from __future__ import annotations

import contextlib
import glob
import os
import time

from .checkpoint import CLEAN, boot_id, encode_slot
from .devices import Device, open_device
from .file_system import FileSystem
from .page_file import check_page_size, identity_page
from .plain_records import first_record_page

__all__ = ["create_file", "remove_temporaries", "write_empty_database"]

FIRST_RECORD_PAGE = 2


def create_file(
    path: str | os.PathLike[str],
    page_size: int = 4096,
    mode: int = 0o666,
    file_system: FileSystem | None = None,
    *,
    trace: object = None,
) -> None:
    """Create an empty database at `path` with `mode & ~umask`, durable when this returns.

    If something has appeared at `path` meanwhile, it stays as it is and nothing is raised: open it. Raises OSError
    (then nothing is left behind), ValueError for a wrong page size. Two syncs.
    """
    check_page_size(page_size)
    system = FileSystem() if file_system is None else file_system
    name = os.fspath(path)
    descriptor, temporary = system.create_temporary(name, mode)
    try:
        device = open_device(descriptor, trace=trace)
        try:
            write_empty_database(device, page_size)
            device.sync_data()
        finally:
            device.close()
        try:
            system.link_without_replacing(temporary, name)
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # taken for debris, see below
                system.unlink(temporary)
            return
        except FileNotFoundError:
            # Who opened the file that has appeared at the path may have taken this one for debris.
            if os.path.lexists(name):
                return
            raise
    except BaseException:
        with contextlib.suppress(OSError):  # the first error tells more
            system.unlink(temporary)
        raise
    system.sync_directory(name)


def write_empty_database(
    device: Device,
    page_size: int,
    *,
    uuid: bytes | None = None,
    nonce: int | None = None,
    time_ns: int | None = None,
) -> None:
    """Write pages 0 to 2 and the hole behind them (FORMAT §2, §3, §6.3); not synced.

    `uuid`, `nonce`, `time_ns`: of the database that the file is to belong to and of its empty state, else new ones.
    The generation is new in any case.
    """
    identity = os.urandom(16) if uuid is None else uuid
    generation, now = _random64(), time.time_ns()
    nonce = _random64() if nonce is None else nonce
    slot = encode_slot(
        generation,
        slot_sequence=1,
        page=FIRST_RECORD_PAGE,
        sequence=1,
        commit_id=0,
        nonce=nonce,
        boot_id=boot_id(),
        flags=CLEAN,
        time_ns=now,
    )
    pages = [
        identity_page(page_size, identity, generation, now),
        slot.ljust(page_size, b"\0"),
        first_record_page(
            page_size, identity, generation, nonce, now if time_ns is None else time_ns
        ),
    ]
    device.write_pieces(0, pages)
    device.set_size((FIRST_RECORD_PAGE + 2) * page_size)


def remove_temporaries(path: str) -> None:
    """Remove what killed processes left beside `path` while they made a file for it.

    There is a file at `path`, and nobody compacts it now. A process that is about to create one, too late, notices.
    """
    directory, name = os.path.split(path)
    for debris in glob.glob(
        os.path.join(glob.escape(directory), f".{glob.escape(name[:200])}.*.tmp")
    ):
        with contextlib.suppress(OSError):
            FileSystem().unlink(debris)


def _random64() -> int:
    return int.from_bytes(os.urandom(8), "little")
