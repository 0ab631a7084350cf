"""The checkpoint page (FORMAT §2.2)."""

from typing import Final, NamedTuple

from .commit_record import CommitRecord
from .devices import Device

CLEAN: Final[int]
SUPERSEDED: Final[int]
VOLATILE: Final[int]
NO_BOOT_ID: Final[bytes]

class Checkpoint(NamedTuple):
    slot: int
    slot_sequence: int
    page: int
    sequence: int
    commit_id: int
    nonce: int
    boot_id: bytes
    flags: int
    volatile_bound: int
    volatile_id_bound: int
    time_ns: int
    @property
    def clean(self) -> bool: ...
    @property
    def superseded(self) -> bool: ...
    @property
    def volatile(self) -> bool: ...

def encode_slot(
    generation: int,
    *,
    slot_sequence: int,
    page: int,
    sequence: int,
    commit_id: int,
    nonce: int,
    boot_id: bytes = ...,
    flags: int = 0,
    volatile_bound: int = 0,
    volatile_id_bound: int = 0,
    time_ns: int = 0,
) -> bytes: ...
def decode_slot(
    data: bytes | bytearray | memoryview, generation: int, slot: int = 0
) -> Checkpoint | None: ...
def read_checkpoint(
    device: Device, page_size: int, generation: int, *, from_medium: bool = False
) -> Checkpoint | None: ...
def write_checkpoint(
    device: Device,
    page_size: int,
    generation: int,
    *,
    record: CommitRecord | None = None,
    like: Checkpoint | CommitRecord | None = None,
    boot_id: bytes = ...,
    flags: int = 0,
    volatile_bound: int = 0,
    volatile_id_bound: int = 0,
    sync: bool = True,
    newest: Checkpoint | None = None,
) -> Checkpoint: ...
def boot_id() -> bytes: ...
