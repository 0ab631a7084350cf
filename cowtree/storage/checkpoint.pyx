# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The checkpoint page (FORMAT §2.2): two slots in page 1, of which the writer overwrites the older.

A slot says which record is known durable (I7) and, if volatile, up to where unsynced records may be published (I8).
"""

import os
import struct
import sys
import time
from collections import namedtuple

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ..checksum cimport xxh64
from ..layout cimport store64
from .devices cimport Device

cdef enum:
    SLOT_SIZE = 128

CLEAN = 1
SUPERSEDED = 2
VOLATILE = 4
NO_BOOT_ID = bytes(16)

# slot sequence, page, sequence, commit id, nonce, boot id, flags, zero, volatile bound, volatile id bound, time, zero
_FIELDS = struct.Struct("<8xQQQQQ16sIIQQQ32x")


class Checkpoint(namedtuple("Checkpoint", (
    "slot", "slot_sequence", "page", "sequence", "commit_id", "nonce", "boot_id", "flags", "volatile_bound",
    "volatile_id_bound", "time_ns",
))):
    """One valid slot. `page` to `nonce` are the durable record's; bounds are 0 unless volatile."""

    __slots__ = ()

    @property
    def clean(self):
        """The file was closed with that record as its tip."""
        return bool(self.flags & CLEAN)

    @property
    def superseded(self):
        """Another file has taken this one's place at its path."""
        return bool(self.flags & SUPERSEDED)

    @property
    def volatile(self):
        """Records behind that one may have been published before they were synced."""
        return bool(self.flags & VOLATILE)


def encode_slot(uint64_t generation, *, slot_sequence, page, sequence, commit_id, nonce, boot_id=NO_BOOT_ID, flags=0,
                volatile_bound=0, volatile_id_bound=0, time_ns=0):
    """The 128 bytes of a slot."""
    cdef bytearray data = bytearray(_FIELDS.pack(slot_sequence, page, sequence, commit_id, nonce, boot_id, flags, 0,
                                                 volatile_bound, volatile_id_bound, time_ns))
    store64(<uint8_t*> <char*> data, xxh64(<uint8_t*> <char*> data + 8, SLOT_SIZE - 8, generation))
    return bytes(data)


def decode_slot(const uint8_t[::1] data not None, uint64_t generation, slot=0):
    """The slot in 128 bytes, or None if they do not verify."""
    if data.shape[0] < SLOT_SIZE:
        return None
    cdef bytes copy = bytes(data[:SLOT_SIZE])
    cdef bytes checksum = int(xxh64(&data[8], SLOT_SIZE - 8, generation)).to_bytes(8, "little")
    if copy[:8] != checksum:
        return None
    number, page, sequence, commit_id, nonce, boot, flags, _, bound, id_bound, time_ns = _FIELDS.unpack(copy)
    if number >> 63:
        return None                                # no writer comes that far, and none could go on from there
    return Checkpoint(slot, number, page, sequence, commit_id, nonce, boot, flags, bound, id_bound, time_ns)


def read_checkpoint(Device device not None, uint32_t page_size, uint64_t generation, *, bint from_medium=False):
    """The newest valid slot, or None if there is none. Raises OSError."""
    newest = None
    for slot in range(2):
        data = device.read_bytes(page_size + slot * (page_size // 2), SLOT_SIZE, from_medium)
        found = decode_slot(data, generation, slot)
        if found is not None and (newest is None or found.slot_sequence > newest.slot_sequence):
            newest = found
    return newest


def write_checkpoint(Device device not None, uint32_t page_size, uint64_t generation, *, record=None, like=None,
                     boot_id=NO_BOOT_ID, flags=0, volatile_bound=0, volatile_id_bound=0, bint sync=True, newest=None):
    """Write the slot that is not the newest, and sync it unless told otherwise. Returns the Checkpoint.

    `record`: a CommitRecord that is durable (I7), or `like`: a Checkpoint whose record is kept. `newest`: what
    `read_checkpoint` gave, if known. Raises OSError; a torn slot is ignored by its checksum, the other one stays.
    """
    if newest is None:
        newest = read_checkpoint(device, page_size, generation)
    base = record if record is not None else like
    slot = 0 if newest is None else 1 - newest.slot
    values = {
        "slot_sequence": 1 if newest is None else newest.slot_sequence + 1,
        "page": base.page,
        "sequence": base.sequence,
        "commit_id": base.commit_id,
        "nonce": base.nonce,
        "boot_id": boot_id,
        "flags": flags,
        "volatile_bound": volatile_bound,
        "volatile_id_bound": volatile_id_bound,
        "time_ns": time.time_ns(),
    }
    device.write_bytes(page_size + slot * (page_size // 2), encode_slot(generation, **values))
    if sync:
        device.sync()
    return Checkpoint(slot, **values)


def boot_id():
    """16 bytes that name this start of the system; zero where there is no such name."""
    try:
        # Not `with`: where memory is short, what Cython makes of that crashes.
        fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 64).decode("ascii")
        finally:
            os.close(fd)
        return bytes.fromhex(text.strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        pass
    if sys.platform == "darwin":
        return _darwin_boot_id()
    return NO_BOOT_ID


def _darwin_boot_id():
    import ctypes

    library = ctypes.CDLL(None)
    size = ctypes.c_size_t(64)
    text = ctypes.create_string_buffer(64)
    if library.sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, 0):
        return NO_BOOT_ID
    try:
        return bytes.fromhex(text.value.decode("ascii").replace("-", ""))[:16].ljust(16, b"\0")
    except ValueError:
        return NO_BOOT_ID
