# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Records that need no tree: the first of a file, gaps, and those of tests."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ..checksum cimport xxh64
from ..layout cimport FIRST_RECORD_PAGE, store64
from .commit_record cimport (
    COMMIT_PAGE_COUNT, FLAG_ADMINISTRATIVE, FLAG_PRESYNCED, FLAG_UNSYNCED, RECORD_FULL, RECORD_GAP, SKIP_POINTERS_MAX,
    CommitFields, CommitRecord, TreeReference, commit_set_embedded, decode_commit, encode_commit, next_fields,
    next_skip_pointers,
)
from .page_file cimport PageFile
from .range_writer cimport RangeWriter
from .retired_list cimport RetiredEncoder, RetiredItem

import os

from ..errors import CorruptionError


def first_record_page(uint32_t page_size, bytes uuid not None, uint64_t generation, uint64_t nonce, uint64_t time_ns):
    """The commit page of a new file's first record: commit id 0, the empty state (FORMAT §3)."""
    cdef CommitFields fields
    cdef bytearray page = bytearray(page_size)
    cdef uint8_t* data = <uint8_t*> <char*> page
    memset(&fields, 0, sizeof(fields))
    fields.page = FIRST_RECORD_PAGE
    fields.kind = RECORD_FULL
    fields.generation = generation
    memcpy(fields.uuid, <const char*> uuid, 16)
    fields.sequence = 1
    fields.nonce = fields.commit_nonce = nonce
    fields.time_ns = time_ns
    fields.page_count = 1
    fields.pages_appended = FIRST_RECORD_PAGE + 1
    store64(fields.digest, xxh64(data, 0, generation))
    store64(fields.digest + 8, xxh64(data, 0, nonce))
    encode_commit(data, page_size, &fields, NULL, 0, NULL, 0, NULL, 0)
    store64(data, xxh64(data + 8, page_size - 8, generation))
    return bytes(page)


def write_gap(PageFile file not None, CommitRecord previous not None, uint64_t end_page, uint64_t next_commit_id,
              uint64_t durable_upto):
    """Write a gap record behind `previous` whose range ends at `end_page`; not synced. Returns the record.

    The file has to reach `end_page` before it counts (I9): extend it first.
    """
    cdef CommitFields fields
    cdef uint64_t skip[SKIP_POINTERS_MAX]
    cdef uint32_t skip_count, offset = previous.fields.embedded_offset
    cdef uint8_t note[8]
    cdef bytearray image = bytearray(file.page_size), source
    cdef uint8_t* page = <uint8_t*> <char*> image
    cdef const uint8_t* old
    cdef TreeReference tree
    cdef uint64_t first = previous.fields.page + previous.fields.page_count
    if end_page <= first:
        raise ValueError("a gap has at least one page")
    next_fields(previous, &fields)
    fields.kind = RECORD_GAP
    fields.flags = FLAG_PRESYNCED
    fields.page_count = end_page - first
    fields.nonce = <uint64_t> int.from_bytes(os.urandom(8), "little")
    fields.durable_upto = durable_upto
    fields.pages_appended += fields.page_count
    # The predecessor's commit page and list pages, and its own pages but the first (FORMAT §3.4, §3.5).
    fields.pages_retired += 1 + previous.fields.retired_pages + fields.page_count - 1
    skip_count = next_skip_pointers(previous, fields.commit_id, skip)
    store64(note, next_commit_id)
    store64(fields.digest, xxh64(page, 0, file.generation))
    store64(fields.digest + 8, xxh64(page, 0, fields.nonce))
    if encode_commit(page, file.usable_size, &fields, skip, skip_count, note, 8, NULL, 0) > <int> (
            offset if offset else file.usable_size):
        raise CorruptionError("the root embedded before a gap leaves no room to repeat it", path=file.path,
                              page=previous.fields.page)
    store64(page + COMMIT_PAGE_COUNT, fields.page_count)
    if offset:
        source = bytearray(file.page_size)
        old = <const uint8_t*> <char*> source
        if file.device.read(<uint8_t*> old, file.page_size, previous.fields.page * file.page_size) < file.page_size:
            raise CorruptionError("the file was cut short", path=file.path, page=previous.fields.page)
        memcpy(page + offset, old + offset, file.usable_size - offset)
        store64(page + offset + 8, first)                # the image's number
        tree = previous.fields.default_tree
        commit_set_embedded(page, offset, &tree)
    store64(page, xxh64(page + 8, file.page_size - 8, file.generation))
    file.device.write_bytes(first * file.page_size, image)
    return decode_commit(page, file.page_size, first, file.uuid_bytes, file.generation, file.path)


def write_record(PageFile file not None, CommitRecord previous not None, pages, *, commit_id=None, nonce=None,
                 bytes note=b"", durable_upto=None, bint administrative=False, bint presynced=False,
                 bint unsynced=False, retired=(), bint flush_first=False, bint sync=True, uint32_t retired_room=0xFFFF,
                 RangeWriter writer=None, bytes embedded=None, uint32_t zero_checksums=0):
    """Write a record behind `previous`, for tests: what the engine does, without a tree.

    `pages` holds bytearrays (page images with their kind set, changed in place) and bytes (values that become runs);
    `retired` holds (page, count, birth, subtree). The default tree's root is the last leaf or branch, or `embedded`.
    Returns the record.
    """
    cdef CommitFields fields
    cdef uint64_t skip[SKIP_POINTERS_MAX]
    cdef uint32_t skip_count
    cdef bytearray image = bytearray(file.page_size)
    cdef uint8_t* page = <uint8_t*> <char*> image
    cdef uint64_t number = 0, list_pages = 0
    cdef int offset
    cdef RetiredEncoder encoder = RetiredEncoder()
    cdef RetiredItem item
    cdef bytes value
    if writer is None:
        writer = RangeWriter()
    next_fields(previous, &fields)
    fields.nonce = <uint64_t> (int.from_bytes(os.urandom(8), "little") if nonce is None else nonce)
    if administrative:
        fields.flags |= FLAG_ADMINISTRATIVE
    else:
        fields.commit_id = <uint64_t> (previous.fields.commit_id + 1 if commit_id is None else commit_id)
        fields.commit_nonce = fields.nonce
    fields.flags |= (FLAG_PRESYNCED if presynced else 0) | (FLAG_UNSYNCED if unsynced else 0)
    fields.time_ns += 1
    fields.durable_upto = <uint64_t> (previous.fields.sequence if durable_upto is None else durable_upto)
    writer.begin(file, fields.page, fields.commit_id, fields.nonce)
    writer.zero_checksums = zero_checksums
    try:
        for part in pages:
            if isinstance(part, bytearray):
                if len(part) != file.page_size:
                    raise ValueError("a page has page_size bytes")
                writer.add_page(<uint8_t*> <char*> part, &number)
                fields.default_tree.root = number
                fields.default_tree.level = part[25]
            else:
                value = part
                writer.add_run(<const uint8_t*> <const char*> value, <uint64_t> len(value), &number)
        encoder.begin(fields.commit_id)
        for item.page, item.count, item.birth, subtree in retired:
            item.subtree = bool(subtree)
            encoder.add(&item)
        fields.retired_page = <uint64_t> encoder.store(writer, retired_room, &list_pages)
        fields.retired_pages = list_pages
        fields.retired_count = encoder.count
        fields.pages_appended += writer.next_page - writer.first_page
        fields.pages_retired += 1 + previous.fields.retired_pages
        if fields.default_tree.root:
            fields.default_tree.entries = fields.default_tree.pages = 1
        if flush_first or presynced:
            writer.flush()
        if presynced:
            file.device.sync()
        skip_count = next_skip_pointers(previous, fields.commit_id, skip)
        offset = encode_commit(page, file.usable_size, &fields, skip, skip_count, note, <uint32_t> len(note),
                               encoder.data, 0 if list_pages else <uint32_t> encoder.size)
        if offset < 0:
            raise ValueError("does not fit")
        if embedded is not None:
            fields.default_tree.entries, fields.default_tree.pages, fields.default_tree.level = 1, 0, embedded[25]
            memcpy(page + file.usable_size - len(embedded), <const char*> embedded, <size_t> len(embedded))
            commit_set_embedded(page, file.usable_size - <uint32_t> len(embedded), &fields.default_tree)
        writer.finish(page)
    except BaseException:
        writer.abort()
        raise
    if sync:
        file.device.sync()
    return decode_commit(page, file.page_size, fields.page, file.uuid_bytes, file.generation, file.path)


def mark_verified(RangeWriter writer not None, PageFile file not None):
    """`RangeWriter.mark_written_verified` on the file's current space."""
    writer.mark_written_verified(&file.space_for(writer.next_page).space)
