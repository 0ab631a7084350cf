"""Finds the newest commit that counts, and makes the file behind it fit to go on (FORMAT §6.2, §6.3).

    newest valid slot, or page 2 ──hop──> commit pages that follow each other ──verify──> tip
                                                                 └ a proven record that fails: CorruptionError

`find_tip` only reads. `repair_tail` is for a writer that holds the lock; a crash at any of its steps leaves a file
from which the same comes out again. Nothing behind the tip is ever searched.
"""

from __future__ import annotations

from ..errors import CorruptionError, FormatError
from .checkpoint import NO_BOOT_ID, VOLATILE, Checkpoint, boot_id, read_checkpoint, write_checkpoint
from .commit_record import CommitRecord, record_follows
from .page_file import PageFile
from .plain_records import write_gap
from .recovery_scan import RangeReader

__all__ = ["Recovery", "find_tip", "next_commit_id", "repair_tail"]

FIRST_RECORD_PAGE = 2
# Ids go on at a multiple of this after a possible loss (FORMAT §6.2); no more commits may be unsynced at a time.
ID_STEP = 1 << 20
ID_MAX = (1 << 64) - 2 * ID_STEP
# What a process can map.
FILE_SIZE_MAX = 1 << 46
# Proven records are verified too, up to this many bytes: a crash of small commits leaves 1 MiB behind the checkpoint.
PROVEN_BYTES_MAX = 32 << 20
# A record that is not presynced is no larger than 16 MiB (D5): what claims more beyond the file's end is not believed.
ROLLED_BACK_BYTES_MAX = 64 << 20
HOP_BYTES = 64 << 10


class Recovery:
    """What `find_tip` found. Offsets and sizes in bytes, pages by number."""

    tip: CommitRecord
    proven_sequence: int  # records up to this one are known durable
    checkpoint: Checkpoint | None
    file_size: int
    rolled_back: tuple[CommitRecord, ...]  # intact commit pages whose records do not count
    reasons: tuple[str, ...]  # why, the first failure first
    possible_loss: bool  # published commits may be gone: a gap has to follow
    unfinished: bool  # remains of a commit, without an intact commit page, lie behind the tip
    bytes_behind: int  # between the tip's range and the end of the file
    problems: tuple[str, ...]  # odd but harmless

    # By hand: dataclasses and named tuples are made slowly, at each import.
    def __init__(
        self,
        tip: CommitRecord,
        proven_sequence: int,
        checkpoint: Checkpoint | None,
        file_size: int,
        *,
        rolled_back: tuple[CommitRecord, ...] = (),
        reasons: tuple[str, ...] = (),
        possible_loss: bool = False,
        unfinished: bool = False,
        bytes_behind: int = 0,
        problems: tuple[str, ...] = (),
    ) -> None:
        self.tip = tip
        self.proven_sequence = proven_sequence
        self.checkpoint = checkpoint
        self.file_size = file_size
        self.rolled_back = rolled_back
        self.reasons = reasons
        self.possible_loss = possible_loss
        self.unfinished = unfinished
        self.bytes_behind = bytes_behind
        self.problems = problems

    @property
    def told(self) -> str:
        """In a log: what an unclean end has left, and what became of it."""
        texts = [f"opened at commit {self.tip.commit_id} after an unclean end"]
        if self.rolled_back:
            texts.append(f"{len(self.rolled_back)} unfinished commits dropped ({self.reasons[0]})")
        if self.unfinished:
            texts.append("the remains of an unfinished commit cut off")
        if self.possible_loss:
            texts.append("commits that were not synced may be lost")
        return ", ".join(texts)

    @property
    def clean(self) -> bool:
        """Whether nothing has to be repaired: cleanly closed, the tip as it was told, nothing but zeros behind."""
        slot = self.checkpoint
        return (
            slot is not None
            and slot.clean
            and slot.sequence == self.tip.sequence
            and not self.rolled_back
            and not self.unfinished
            and not self.possible_loss
            and self.file_size > self.bytes_behind > 0
        )


def find_tip(
    page_file: PageFile,
    *,
    start: CommitRecord | None = None,
    published_end: int | None = None,
    from_medium: bool = False,
    boot: bytes | None = None,
) -> Recovery:
    """The newest record that counts.

    `start`: a record known to count, to go on from. `published_end`: a live writer vouches for the pages below it, so
    records there need no verification and what lies beyond is not looked at. `from_medium`: read past the page cache,
    as a writer does. `boot`: this system's boot id (default: asked for).

    Raises CorruptionError if a record that is proven durable does not verify; FormatError; OSError. Reads the commit
    pages behind the start and the ranges of unproven records; memory: one record object each.
    """
    reader = RangeReader(page_file, from_medium=from_medium)
    checkpoint = read_checkpoint(
        page_file.device, page_file.page_size, page_file.generation, from_medium=from_medium
    )
    first = _starting_record(page_file, reader, start, checkpoint)
    records, broken, unfinished = _hop(page_file, reader, first, published_end)
    if published_end is not None and published_end > FIRST_RECORD_PAGE:
        return _published(page_file, records, broken, published_end, checkpoint)

    proven = max(record.durable_upto for record in records)
    if first is not start:
        proven = max(proven, first.sequence)
    tip, failed, reasons = _verify(page_file, reader, records, proven)
    rolled_back = tuple(records[failed:])
    size = page_file.device.get_size()
    this_boot = boot_id() if boot is None else boot
    lost = bool(rolled_back) or _volatile_loss(checkpoint, tip, this_boot)
    return Recovery(
        tip=tip,
        proven_sequence=min(proven, tip.sequence),
        checkpoint=checkpoint,
        file_size=size,
        rolled_back=rolled_back,
        reasons=tuple(reasons),
        possible_loss=lost,
        unfinished=unfinished,
        bytes_behind=max(0, size - tip.end_page * page_file.page_size),
        problems=() if checkpoint is not None else ("no valid checkpoint slot",),
    )


def next_commit_id(page_file: PageFile, tip: CommitRecord) -> int:
    """The least id that a commit on top of `tip` may get. Costs a read for each administrative record on top."""
    reader = RangeReader(page_file)
    record = tip
    while not record.gives_id:
        if record.is_gap:
            least = int.from_bytes(record.note, "little")
            return _possible_id(page_file, max(least, tip.commit_id + 1))
        older = reader.read_commit(record.previous_page)
        reason = record_follows(older, record)
        if reason is not None:
            raise CorruptionError(reason, path=page_file.path, page=record.page)
        record = older
    return _possible_id(page_file, tip.commit_id + 1)


def _possible_id(page_file: PageFile, commit_id: int) -> int:
    if commit_id >= ID_MAX:
        raise CorruptionError("no commit id is left", path=page_file.path)
    return commit_id


def repair_tail(page_file: PageFile, recovery: Recovery, boot: bytes | None = None) -> CommitRecord:
    """Cut what lies behind the tip, make the tip durable, and cover what may have been lost with a gap record.

    For a writer that holds the lock and has verified from the medium. Returns the tip to go on from: the gap, if one
    was needed (then `next_commit_id` of it is a multiple of 2^20). Raises OSError, CorruptionError; FormatError: only a
    later release may write behind this tip.
    """
    device, page_size, generation = page_file.device, page_file.page_size, page_file.generation
    tip, slot = recovery.tip, recovery.checkpoint
    if tip.features[1]:
        raise FormatError(
            f"{page_file.path}: its newest commit has features that this release may only read"
            f" ({tip.features[1]:#x})"
        )
    if recovery.clean:
        return tip
    this_boot = boot_id() if boot is None else boot
    end_page, id_bound = tip.end_page + 1, tip.commit_id + 1
    if recovery.possible_loss:
        end_page, id_bound = _lost_bounds(page_file, recovery)
        if (
            slot is None
            or not slot.volatile
            or slot.boot_id != NO_BOOT_ID
            or slot.volatile_bound < end_page
        ):
            # The cut destroys the evidence of what was rolled back: keep it in the checkpoint until the gap is there.
            known = (
                slot if slot is not None else RangeReader(page_file).read_commit(FIRST_RECORD_PAGE)
            )
            write_checkpoint(
                device,
                page_size,
                generation,
                like=known,
                flags=VOLATILE,
                volatile_bound=end_page,
                volatile_id_bound=id_bound,
                newest=slot,
            )
    device.set_size(tip.end_page * page_size)
    device.set_size((tip.end_page + 1) * page_size)
    device.sync_data()
    if recovery.possible_loss:
        device.set_size((end_page + 1) * page_size)
        next_id = -(-id_bound // ID_STEP) * ID_STEP
        tip = write_gap(page_file, tip, end_page, next_id, tip.sequence)
        device.sync_data()
    write_checkpoint(device, page_size, generation, record=tip, boot_id=this_boot)
    return tip


# --------------------------------------------------------------------------------------------------------------- steps


def _starting_record(
    page_file: PageFile,
    reader: RangeReader,
    start: CommitRecord | None,
    checkpoint: Checkpoint | None,
) -> CommitRecord:
    """The newest record known to count. Raises CorruptionError if it is damaged."""
    if start is not None and (checkpoint is None or checkpoint.sequence <= start.sequence):
        return start
    if checkpoint is None:
        first = reader.read_commit(FIRST_RECORD_PAGE)
        reason = record_follows(None, first)
        if reason is not None:
            raise CorruptionError(reason, path=page_file.path, page=FIRST_RECORD_PAGE)
    else:
        first = reader.read_commit(checkpoint.page)
        named = (checkpoint.sequence, checkpoint.commit_id, checkpoint.nonce)
        found = (first.sequence, first.commit_id, first.nonce)
        if named != found:
            raise CorruptionError(
                "the checkpoint names another record than the one there",
                path=page_file.path,
                page=checkpoint.page,
                expected=named,
                found=found,
            )
    _require_inside(page_file, first)
    return first


def _hop(
    page_file: PageFile, reader: RangeReader, first: CommitRecord, published_end: int | None
) -> tuple[list[CommitRecord], CorruptionError | None, bool]:
    """Commit pages that follow each other from `first` on; why the next does not, if something is there."""
    records = [first]
    ahead = HOP_BYTES // page_file.page_size
    while published_end is None or records[-1].end_page < published_end:
        number = records[-1].end_page
        try:
            # Few records are the rule; where they are many, whole windows.
            record = reader.read_commit(number, ahead if len(records) < 8 else 4 * ahead)
        except CorruptionError as error:
            # Its traceback would hold this frame, and with it the file, until a collection.
            return records, error.with_traceback(None), bool(reader.first_word(number))
        reason = record_follows(records[-1], record)
        if reason is not None:
            return records, CorruptionError(reason, path=page_file.path, page=number), True
        records.append(record)
    return records, None, False


def _published(
    page_file: PageFile,
    records: list[CommitRecord],
    broken: CorruptionError | None,
    published_end: int,
    checkpoint: Checkpoint | None,
) -> Recovery:
    """The tip that a live writer vouches for."""
    tip = records[-1]
    if broken is not None:
        raise broken
    if tip.end_page > published_end and len(records) > 1:
        raise CorruptionError(
            "a record reaches beyond what its writer published",
            path=page_file.path,
            page=tip.page,
            expected=published_end,
            found=tip.end_page,
        )
    _require_inside(page_file, tip)
    size = page_file.device.get_size()
    return Recovery(
        tip=tip,
        proven_sequence=max(record.durable_upto for record in records),
        checkpoint=checkpoint,
        file_size=size,
        bytes_behind=max(0, size - tip.end_page * page_file.page_size),
    )


def _verify(
    page_file: PageFile, reader: RangeReader, records: list[CommitRecord], proven: int
) -> tuple[CommitRecord, int, list[str]]:
    """The newest record before the first that fails, the index of that one, and why it failed."""
    budget = PROVEN_BYTES_MAX
    pages = page_file.page_count()
    reader.forget()
    reader.expect(records[-1].end_page)
    for index, record in enumerate(records[1:], start=1):
        is_proven = record.sequence <= proven
        size = record.page_count * page_file.page_size
        problem: CorruptionError | None = None
        if record.end_page > pages:
            problem = CorruptionError(
                "the file is truncated inside a commit", path=page_file.path, page=record.page
            )
        elif not is_proven or budget >= size:
            if is_proven and not record.presynced:
                budget -= size
            problem = reader.range_problem(record)
        if problem is not None:
            if is_proven:  # it was acknowledged: never a silent rollback
                raise problem
            return records[index - 1], index, [str(problem)]
    return records[-1], len(records), []


def _volatile_loss(checkpoint: Checkpoint | None, tip: CommitRecord, this_boot: bytes) -> bool:
    """Whether commits behind `tip` may have been published and then lost with the page cache."""
    if checkpoint is None or not checkpoint.volatile or tip.end_page >= checkpoint.volatile_bound:
        return False
    return checkpoint.boot_id == NO_BOOT_ID or checkpoint.boot_id != this_boot


def _lost_bounds(page_file: PageFile, recovery: Recovery) -> tuple[int, int]:
    """The page and the commit id that everything which may have been published stays below."""
    tip, slot = recovery.tip, recovery.checkpoint
    end_page, id_bound = tip.end_page + 1, tip.commit_id + 1
    believed = max(
        page_file.page_count(), tip.end_page + ROLLED_BACK_BYTES_MAX // page_file.page_size
    )
    for record in recovery.rolled_back:
        end_page = max(end_page, min(record.end_page, believed))
        id_bound = max(id_bound, record.commit_id + 1)
    if slot is not None and slot.volatile:
        end_page = max(end_page, slot.volatile_bound)
        id_bound = max(id_bound, slot.volatile_id_bound)
    if id_bound >= ID_MAX or end_page >= FILE_SIZE_MAX // page_file.page_size:
        raise CorruptionError(
            "the checkpoint's bounds are beyond any file", path=page_file.path, page=1
        )
    return end_page, id_bound


def _require_inside(page_file: PageFile, record: CommitRecord) -> None:
    """Raise CorruptionError unless the file holds the whole range of a record that is known durable."""
    if record.end_page > page_file.page_count():
        raise CorruptionError(
            "the file is truncated inside a commit that was durable",
            path=page_file.path,
            page=record.page,
            expected=record.end_page * page_file.page_size,
            found=page_file.device.get_size(),
        )
