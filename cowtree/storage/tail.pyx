# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The file behind its newest record. See `tail.pxd`.

A sync need not grow the file, and costs half as much, where zeros were written ahead (D5). They need no sync of their
own: what a crash leaves of them is behind the tip, and the next durable commit syncs what it needs of their
allocation. Their write-back is only begun at once, so that it is over by then. A commit that is not synced gains too:
to overwrite pages that are in memory takes the system a third of what new ones take.
"""

from libc.stdint cimport uint8_t, uint64_t

from .checkpoint import VOLATILE, write_checkpoint
from .devices cimport iovec
from .page_file cimport PageFile

cdef enum:
    ZEROS_SIZE = 1 << 16
    PREFILL_FIRST = 1 << 16
    PREFILL_MAX = 1 << 20
    PIECES_MAX = 16                        # PREFILL_MAX in pieces of ZEROS_SIZE
    LOW_PAGES = 16                         # prefill when fewer zeros are left

cdef uint8_t ZEROS[ZEROS_SIZE]
cdef uint64_t UNSYNCED_IDS = 1 << 20
cdef uint64_t UNSYNCED_BYTES = 64 << 20
cdef uint64_t UNSYNCED_BYTES_MAX = 256 << 20


cdef class Tail:
    """What one engine knows of the pages behind its tip. Used with the writer mutex held."""

    def __init__(self, PageFile file not None, bytes boot not None, bint prefilled):
        self.file = file
        self.boot = boot
        self.wanted = prefilled
        self.step = PREFILL_FIRST >> file.shift

    cdef bint covers(self, uint64_t end, uint64_t commit_id) noexcept:
        """Does a durable slot allow for an unsynced record that ends at page `end`?"""
        return end <= self.volatile_bound and commit_id < self.volatile_id_bound

    cdef int cover(self, record, uint64_t end, uint64_t commit_id) except -1:
        """I8: before an unsynced record that ends at page `end` is written, a durable slot says how far such records may
        reach. `record`, which the slot names, is durable. Seldom, as the slot costs a sync of all that was written since: once per
        session and as much as the file has, but 64 to 256 MiB. A crash of the system leaves a hole of that size at
        most: were it not bounded, a file would double with each, and in twenty crashes be too large for its file system.
        """
        cdef uint64_t bound = end + min(max(UNSYNCED_BYTES >> self.file.shift, end), UNSYNCED_BYTES_MAX >> self.file.shift)
        cdef uint64_t id_bound = commit_id + UNSYNCED_IDS
        write_checkpoint(
            self.file.device, self.file.page_size, self.file.generation, record=record, boot_id=self.boot,
            flags=VOLATILE, volatile_bound=bound, volatile_id_bound=id_bound,
        )
        self.volatile_bound = bound
        self.volatile_id_bound = id_bound

    cdef bint low(self, uint64_t end) noexcept:
        """Are too few zeros left behind page `end`?"""
        return self.wanted and self.zero_upto <= end + LOW_PAGES

    cdef int prefill(self, record, uint64_t end) except -1:
        """Write zeros behind page `end`, and a slot that names `record`, which is durable (None: no slot).

        A failure here is no commit's: it ends the prefilling.
        """
        cdef iovec pieces[PIECES_MAX]
        cdef uint64_t start = max(end, self.zero_upto)
        cdef uint64_t pages = self.step
        cdef int count = <int>((pages << self.file.shift) // ZEROS_SIZE)
        for i in range(count):
            pieces[i].iov_base = ZEROS
            pieces[i].iov_len = ZEROS_SIZE
        self.step = min(pages * 2, PREFILL_MAX >> self.file.shift)
        try:
            self.file.device.write(pieces, count, start << self.file.shift)
            if record is not None:
                write_checkpoint(
                    self.file.device, self.file.page_size, self.file.generation, record=record, boot_id=self.boot,
                    sync=False,
                )
                self.volatile_bound = 0
                self.file.device.begin_writeback(start << self.file.shift, pages << self.file.shift)
            self.zero_upto = start + pages
        except OSError:
            self.wanted = False                    # no room for zeros: no more of them
