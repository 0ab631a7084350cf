"""Commit pages (FORMAT §3.1): encode, decode, what follows what (I9).

    0 header | 32 fixed part | 352 skip pointers | note | inline retired list | embedded root ... page end
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    RECORD_FULL = 1
    RECORD_GAP = 2
    RECORD_BASE = 3

cdef enum:
    FLAG_PRESYNCED = 1
    FLAG_ADMINISTRATIVE = 2
    FLAG_EMBEDDED = 4
    FLAG_UNSYNCED = 8
    FLAG_RESTORED = 16
    FLAG_COMPACTED = 32
    FLAG_SPARSE = 64

# Offsets in a commit page, FORMAT §3.1.
cdef enum:
    COMMIT_MAGIC = 32
    COMMIT_VERSION = 40
    COMMIT_KIND = 44
    COMMIT_FLAGS = 46
    COMMIT_COMPATIBLE = 48
    COMMIT_READ_COMPATIBLE = 56
    COMMIT_INCOMPATIBLE = 64
    COMMIT_UUID = 72
    COMMIT_GENERATION = 88
    COMMIT_SEQUENCE = 96
    COMMIT_ID = 104
    COMMIT_NONCE = 112
    COMMIT_ID_NONCE = 120
    COMMIT_TIME = 128
    COMMIT_PAGE_COUNT = 136
    COMMIT_PREVIOUS_PAGE = 144
    COMMIT_PREVIOUS_NONCE = 152
    COMMIT_PREVIOUS_DIGEST = 160
    COMMIT_DIGEST = 176
    COMMIT_DURABLE_UPTO = 192
    COMMIT_APPENDED = 200
    COMMIT_RETIRED = 208
    COMMIT_ENTRIES = 216
    COMMIT_DEFAULT_TREE = 224
    COMMIT_CATALOGUE = 256
    COMMIT_EMBEDDED_OFFSET = 288
    COMMIT_NOTE_OFFSET = 290
    COMMIT_NOTE_SIZE = 292
    COMMIT_SKIP_OFFSET = 294
    COMMIT_SKIP_COUNT = 296
    COMMIT_RETIRED_OFFSET = 298
    COMMIT_RETIRED_SIZE = 300
    COMMIT_RETIRED_PAGE = 304
    COMMIT_RETIRED_COUNT = 312
    COMMIT_RETIRED_PAGES = 320
    COMMIT_VARIABLE_PART = 352
    # in a tree reference
    TREE_ROOT = 0
    TREE_ENTRIES = 8
    TREE_PAGES = 16
    TREE_LEVEL = 24

cdef enum:
    SKIP_POINTERS_MAX = 63


cdef struct TreeReference:
    uint64_t root                # 0: empty; the commit page's own number: embedded
    uint64_t entries
    uint64_t pages
    uint8_t level


cdef struct CommitFields:
    uint64_t page                # of the commit page itself
    uint64_t generation
    uint64_t sequence
    uint64_t commit_id
    uint64_t nonce
    uint64_t commit_nonce
    uint64_t time_ns
    uint64_t page_count          # of the range; RangeWriter.finish stores it
    uint64_t previous_page
    uint64_t previous_nonce
    uint64_t durable_upto
    uint64_t pages_appended
    uint64_t pages_retired
    uint64_t entries
    uint64_t compatible_features
    uint64_t read_compatible_features
    uint64_t incompatible_features
    uint64_t retired_page        # 0: inline
    uint64_t retired_count
    uint64_t retired_pages       # list pages
    TreeReference default_tree
    TreeReference catalogue
    uint8_t uuid[16]
    uint8_t previous_digest[16]
    uint8_t digest[16]           # RangeWriter.finish stores it
    uint32_t embedded_offset     # 0: none
    uint16_t flags
    uint8_t kind


cdef class CommitRecord:
    """A commit page that verified. Immutable once made."""

    cdef CommitFields fields
    cdef uint64_t skip[SKIP_POINTERS_MAX]
    cdef uint32_t skip_count
    cdef readonly bytes note
    cdef readonly bytes retired              # inline retired list, encoded
    cdef readonly uint64_t checksum          # of its commit page


cdef inline uint32_t align8(uint32_t offset) noexcept nogil:
    return (offset + 7) & ~<uint32_t> 7


cdef inline uint32_t commit_embedded_offset(uint32_t skip_count, uint32_t note_size, uint32_t retired_size) noexcept nogil:
    """Where an embedded root may begin when the page holds these; the caller checks it against the usable size."""
    return align8(align8(COMMIT_VARIABLE_PART + 8 * skip_count + note_size) + retired_size)


# Fill a zeroed page. Checksum, digest and page count are RangeWriter.finish's. An embedded root goes to
# fields.embedded_offset (not below the offset returned) with FLAG_EMBEDDED and default_tree.root = page: set all
# three beforehand or by commit_set_embedded. Returns the offset where an embedded root may begin; -1: does not fit.
cdef int encode_commit(uint8_t* page, uint32_t usable_size, const CommitFields* fields, const uint64_t* skip,
                       uint32_t skip_count, const uint8_t* note, uint32_t note_size, const uint8_t* retired,
                       uint32_t retired_size) noexcept nogil

# Say after encode_commit that the default tree's root image begins at `offset` of this page.
cdef void commit_set_embedded(uint8_t* page, uint32_t offset, const TreeReference* tree) noexcept nogil

# Store the tree references after encode_commit.
cdef void commit_set_trees(uint8_t* page, const TreeReference* default_tree, const TreeReference* catalogue) noexcept nogil

# Why the page is not an intact commit page of this file at `number`; NULL: it is. Its fields are still to be checked.
cdef const char* commit_page_problem(const uint8_t* page, uint32_t page_size, uint64_t number, const uint8_t* uuid,
                                     uint64_t generation) noexcept nogil

# The record in `page` (private memory, not a mapping), verified but for its range and its place in the chain.
# CorruptionError: not a commit page of this file at `number`. FormatError: intact, of a newer format.
cdef CommitRecord decode_commit(const uint8_t* page, uint32_t page_size, uint64_t number, const uint8_t* uuid,
                                uint64_t generation, object path)
# The same of a page that `commit_page_problem` has passed, or that this process has just made.
cdef CommitRecord parse_commit(const uint8_t* page, uint32_t page_size, uint64_t number, object path)

# How many skip pointers a record with this id has: floor(log2(id)) (FORMAT §3.1).
cdef inline uint32_t skip_pointer_count(uint64_t commit_id) noexcept nogil:
    cdef uint32_t count = 0
    commit_id >>= 1
    while commit_id:
        count += 1
        commit_id >>= 1
    return count if count < SKIP_POINTERS_MAX else SKIP_POINTERS_MAX

# Skip pointers of the record after `previous` that has this id, into `skip` (room for 63). Returns their number.
cdef uint32_t next_skip_pointers(CommitRecord previous, uint64_t commit_id, uint64_t* skip) noexcept

# Fields of the record after `previous`, what follows from it filled in: page, generation, uuid, sequence, previous_*,
# pages_appended and pages_retired of the predecessor (not yet increased), both trees, entries, feature words, kind full,
# commit id and commit nonce of the predecessor (as an administrative record keeps them).
cdef void next_fields(CommitRecord previous, CommitFields* fields) noexcept
