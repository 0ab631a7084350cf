# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Commit pages (FORMAT §3.1): encode, decode, what follows what (I9).

    0 header | 32 fixed part | 352 skip pointers | note | inline retired list | embedded root ... page end

Encoding touches no Python object: it is on the path of a commit of one key. Decoding checks every offset, size and
reference before anyone uses it, and raises `CorruptionError` with what it found.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ..checksum cimport xxh64
from ..layout cimport (
    FIRST_RECORD_PAGE, FORMAT_VERSION, KIND_COMMIT, LEVEL_MAX, PAGE_BIRTH, PAGE_ENTRIES_LOG2, PAGE_KIND, PAGE_NUMBER,
    PAGE_NUMBER_LIMIT, TREE_HEADER_SIZE, load16, load32, load64, store16, store32, store64,
)

from ..errors import CorruptionError, FormatError

cdef const uint8_t* MAGIC = b"cow-cmt1"


# ------------------------------------------------------------------------------------------------------------ encode

cdef inline void _store_tree(uint8_t* into, const TreeReference* tree) noexcept nogil:
    store64(into + TREE_ROOT, tree.root)
    store64(into + TREE_ENTRIES, tree.entries)
    store64(into + TREE_PAGES, tree.pages)
    into[TREE_LEVEL] = tree.level


cdef int encode_commit(uint8_t* page, uint32_t usable_size, const CommitFields* fields, const uint64_t* skip,
                       uint32_t skip_count, const uint8_t* note, uint32_t note_size, const uint8_t* retired,
                       uint32_t retired_size) noexcept nogil:
    cdef uint32_t skip_offset = COMMIT_VARIABLE_PART
    cdef uint32_t note_offset, retired_offset, end, i
    if skip_count > SKIP_POINTERS_MAX or note_size > usable_size or retired_size > usable_size:
        return -1
    note_offset = skip_offset + 8 * skip_count
    retired_offset = align8(note_offset + note_size)
    end = align8(retired_offset + retired_size)
    if retired_offset + retired_size > usable_size:
        return -1
    store64(page + PAGE_NUMBER, fields.page)
    store64(page + PAGE_BIRTH, fields.commit_id)
    page[PAGE_KIND] = KIND_COMMIT
    memcpy(page + COMMIT_MAGIC, MAGIC, 8)
    store32(page + COMMIT_VERSION, FORMAT_VERSION)
    page[COMMIT_KIND] = fields.kind
    store16(page + COMMIT_FLAGS, fields.flags)
    store64(page + COMMIT_COMPATIBLE, fields.compatible_features)
    store64(page + COMMIT_READ_COMPATIBLE, fields.read_compatible_features)
    store64(page + COMMIT_INCOMPATIBLE, fields.incompatible_features)
    memcpy(page + COMMIT_UUID, fields.uuid, 16)
    store64(page + COMMIT_GENERATION, fields.generation)
    store64(page + COMMIT_SEQUENCE, fields.sequence)
    store64(page + COMMIT_ID, fields.commit_id)
    store64(page + COMMIT_NONCE, fields.nonce)
    store64(page + COMMIT_ID_NONCE, fields.commit_nonce)
    store64(page + COMMIT_TIME, fields.time_ns)
    store64(page + COMMIT_PAGE_COUNT, fields.page_count)
    store64(page + COMMIT_PREVIOUS_PAGE, fields.previous_page)
    store64(page + COMMIT_PREVIOUS_NONCE, fields.previous_nonce)
    memcpy(page + COMMIT_PREVIOUS_DIGEST, fields.previous_digest, 16)
    memcpy(page + COMMIT_DIGEST, fields.digest, 16)
    store64(page + COMMIT_DURABLE_UPTO, fields.durable_upto)
    store64(page + COMMIT_APPENDED, fields.pages_appended)
    store64(page + COMMIT_RETIRED, fields.pages_retired)
    store64(page + COMMIT_ENTRIES, fields.entries)
    _store_tree(page + COMMIT_DEFAULT_TREE, &fields.default_tree)
    _store_tree(page + COMMIT_CATALOGUE, &fields.catalogue)
    store16(page + COMMIT_EMBEDDED_OFFSET, <uint16_t> fields.embedded_offset)
    store64(page + COMMIT_RETIRED_PAGE, fields.retired_page)
    store64(page + COMMIT_RETIRED_COUNT, fields.retired_count)
    store64(page + COMMIT_RETIRED_PAGES, fields.retired_pages)
    if skip_count:
        store16(page + COMMIT_SKIP_OFFSET, <uint16_t> skip_offset)
        store16(page + COMMIT_SKIP_COUNT, <uint16_t> skip_count)
        for i in range(skip_count):
            store64(page + skip_offset + 8 * i, skip[i])
    if note_size:
        store16(page + COMMIT_NOTE_OFFSET, <uint16_t> note_offset)
        store16(page + COMMIT_NOTE_SIZE, <uint16_t> note_size)
        memcpy(page + note_offset, note, note_size)
    if retired_size:
        store16(page + COMMIT_RETIRED_OFFSET, <uint16_t> retired_offset)
        store16(page + COMMIT_RETIRED_SIZE, <uint16_t> retired_size)
        memcpy(page + retired_offset, retired, retired_size)
    return <int> end


cdef void commit_set_embedded(uint8_t* page, uint32_t offset, const TreeReference* tree) noexcept nogil:
    store16(page + COMMIT_EMBEDDED_OFFSET, <uint16_t> offset)
    store16(page + COMMIT_FLAGS, load16(page + COMMIT_FLAGS) | FLAG_EMBEDDED)
    _store_tree(page + COMMIT_DEFAULT_TREE, tree)
    store64(page + COMMIT_DEFAULT_TREE + TREE_ROOT, load64(page + PAGE_NUMBER))


cdef void commit_set_trees(uint8_t* page, const TreeReference* default_tree,
                           const TreeReference* catalogue) noexcept nogil:
    _store_tree(page + COMMIT_DEFAULT_TREE, default_tree)
    _store_tree(page + COMMIT_CATALOGUE, catalogue)


# ------------------------------------------------------------------------------------------------------------ decode

cdef void _load_tree(const uint8_t* data, TreeReference* tree) noexcept nogil:
    tree.root = load64(data + TREE_ROOT)
    tree.entries = load64(data + TREE_ENTRIES)
    tree.pages = load64(data + TREE_PAGES)
    tree.level = data[TREE_LEVEL]


cdef void _load_fields(const uint8_t* page, CommitFields* fields) noexcept nogil:
    memset(fields, 0, sizeof(CommitFields))
    fields.page = load64(page + PAGE_NUMBER)
    fields.kind = page[COMMIT_KIND]
    fields.flags = load16(page + COMMIT_FLAGS)
    fields.compatible_features = load64(page + COMMIT_COMPATIBLE)
    fields.read_compatible_features = load64(page + COMMIT_READ_COMPATIBLE)
    fields.incompatible_features = load64(page + COMMIT_INCOMPATIBLE)
    memcpy(fields.uuid, page + COMMIT_UUID, 16)
    fields.generation = load64(page + COMMIT_GENERATION)
    fields.sequence = load64(page + COMMIT_SEQUENCE)
    fields.commit_id = load64(page + COMMIT_ID)
    fields.nonce = load64(page + COMMIT_NONCE)
    fields.commit_nonce = load64(page + COMMIT_ID_NONCE)
    fields.time_ns = load64(page + COMMIT_TIME)
    fields.page_count = load64(page + COMMIT_PAGE_COUNT)
    fields.previous_page = load64(page + COMMIT_PREVIOUS_PAGE)
    fields.previous_nonce = load64(page + COMMIT_PREVIOUS_NONCE)
    memcpy(fields.previous_digest, page + COMMIT_PREVIOUS_DIGEST, 16)
    memcpy(fields.digest, page + COMMIT_DIGEST, 16)
    fields.durable_upto = load64(page + COMMIT_DURABLE_UPTO)
    fields.pages_appended = load64(page + COMMIT_APPENDED)
    fields.pages_retired = load64(page + COMMIT_RETIRED)
    fields.entries = load64(page + COMMIT_ENTRIES)
    _load_tree(page + COMMIT_DEFAULT_TREE, &fields.default_tree)
    _load_tree(page + COMMIT_CATALOGUE, &fields.catalogue)
    fields.embedded_offset = load16(page + COMMIT_EMBEDDED_OFFSET)
    fields.retired_page = load64(page + COMMIT_RETIRED_PAGE)
    fields.retired_count = load64(page + COMMIT_RETIRED_COUNT)
    fields.retired_pages = load64(page + COMMIT_RETIRED_PAGES)


cdef const char* _tree_problem(const TreeReference* tree, uint64_t own_page, uint64_t end,
                               bint embedded) noexcept nogil:
    if tree.level > LEVEL_MAX:
        return "a tree is too deep"
    if tree.root == 0:
        if tree.entries or tree.pages or tree.level:
            return "an empty tree that counts something"
        return NULL
    if embedded != (tree.root == own_page):
        return "the embedded root is not where the flag says"
    if tree.root < FIRST_RECORD_PAGE or tree.root >= end:
        return "a root lies beyond the record"
    if tree.entries == 0 or tree.entries >> PAGE_ENTRIES_LOG2 > end or tree.pages > end:
        return "a tree's counts are impossible"
    return NULL


cdef const char* _fields_problem(const CommitFields* fields) noexcept nogil:
    """Why these fields cannot be those of one record, or NULL."""
    cdef uint64_t end
    cdef const char* problem
    if fields.page >= PAGE_NUMBER_LIMIT or fields.page_count == 0 or fields.page_count >= PAGE_NUMBER_LIMIT:
        return "impossible range"
    end = fields.page + fields.page_count
    if fields.kind < RECORD_FULL or fields.kind > RECORD_BASE:
        return "unknown kind of record"
    if fields.sequence == 0 or fields.durable_upto >= fields.sequence:
        return "impossible sequence"
    # Modulo 2^64: where trees share pages, more are in use than were appended (FORMAT §3.4).
    if fields.pages_appended >= PAGE_NUMBER_LIMIT or fields.pages_appended - fields.pages_retired >= PAGE_NUMBER_LIMIT:
        return "more pages retired than appended"
    problem = _tree_problem(&fields.default_tree, fields.page, end, (fields.flags & FLAG_EMBEDDED) != 0)
    if problem == NULL:
        problem = _tree_problem(&fields.catalogue, fields.page, end, False)
    if problem != NULL:
        return problem
    if fields.flags & FLAG_EMBEDDED and fields.default_tree.root == 0:
        return "the embedded root is not where the flag says"
    if fields.retired_page == 0:
        if fields.retired_pages:
            return "list pages without a first"
        return NULL
    if fields.retired_page <= fields.page or fields.retired_page >= end or fields.retired_pages == 0 \
            or fields.retired_pages > end - fields.retired_page:
        return "the retired list lies outside the range"
    return NULL


cdef const char* _parts_problem(const uint8_t* page, uint32_t usable_size, const CommitFields* fields) noexcept nogil:
    """Why the variable parts cannot lie where the page says, or NULL."""
    cdef uint32_t low = COMMIT_VARIABLE_PART
    cdef uint32_t offset, size
    cdef int part
    for part in range(3):
        if part == 0:
            offset = load16(page + COMMIT_SKIP_OFFSET)
            size = load16(page + COMMIT_SKIP_COUNT)
            if size > SKIP_POINTERS_MAX:
                return "too many skip pointers"
            size *= 8
        elif part == 1:
            offset, size = load16(page + COMMIT_NOTE_OFFSET), load16(page + COMMIT_NOTE_SIZE)
        else:
            offset, size = load16(page + COMMIT_RETIRED_OFFSET), load16(page + COMMIT_RETIRED_SIZE)
        if size == 0:
            if offset:
                return "an empty part that has a place"
            continue
        if offset < low or offset & 7 or offset + size > usable_size:
            return "a part lies outside its place in the page"
        low = offset + size
    if (fields.embedded_offset != 0) != ((fields.flags & FLAG_EMBEDDED) != 0):
        return "the embedded root is not where the flag says"
    if fields.embedded_offset and (fields.embedded_offset < low or fields.embedded_offset & 7
                                   or fields.embedded_offset + TREE_HEADER_SIZE > usable_size):
        return "a part lies outside its place in the page"
    if fields.retired_page and load16(page + COMMIT_RETIRED_SIZE):
        return "two retired lists"
    return NULL


cdef const char* commit_page_problem(const uint8_t* page, uint32_t page_size, uint64_t number, const uint8_t* uuid,
                                     uint64_t generation) noexcept nogil:
    if load64(page) == 0:
        return "no commit page: nothing was written here"      # I6
    if memcmp(page + COMMIT_MAGIC, MAGIC, 8) or page[PAGE_KIND] != KIND_COMMIT:
        return "not a commit page"
    if load64(page) != xxh64(page + 8, page_size - 8, generation):
        return "wrong checksum of a commit page"
    if load64(page + PAGE_NUMBER) != number:
        return "the page carries another page's number"
    if load64(page + COMMIT_GENERATION) != generation or memcmp(page + COMMIT_UUID, uuid, 16):
        return "a commit page of another database"
    return NULL


cdef CommitRecord decode_commit(const uint8_t* page, uint32_t page_size, uint64_t number, const uint8_t* uuid,
                                uint64_t generation, object path):
    cdef const char* problem = commit_page_problem(page, page_size, number, uuid, generation)
    if problem != NULL:
        raise CorruptionError((<bytes> problem).decode(), path=path, page=number)
    if load32(page + COMMIT_VERSION) != FORMAT_VERSION or load64(page + COMMIT_INCOMPATIBLE):
        raise FormatError(f"{path}: page {number}: a commit of format version {load32(page + COMMIT_VERSION)} with"
                          f" incompatible features {load64(page + COMMIT_INCOMPATIBLE):#x}, unknown to this release")
    return parse_commit(page, page_size, number, path)


cdef CommitRecord parse_commit(const uint8_t* page, uint32_t page_size, uint64_t number, object path):
    cdef CommitRecord record
    cdef const char* problem = NULL
    cdef uint32_t i, offset
    record = CommitRecord.__new__(CommitRecord)
    record.checksum = load64(page)
    _load_fields(page, &record.fields)
    problem = _fields_problem(&record.fields)
    if problem == NULL:
        problem = _parts_problem(page, page_size, &record.fields)
    if problem == NULL and load64(page + PAGE_BIRTH) != record.fields.commit_id:
        problem = "birth and commit id differ"
    if problem != NULL:
        raise CorruptionError((<bytes> problem).decode(), path=path, page=number)
    record.skip_count = load16(page + COMMIT_SKIP_COUNT)
    offset = load16(page + COMMIT_SKIP_OFFSET)
    for i in range(record.skip_count):
        record.skip[i] = load64(page + offset + 8 * i)
        if record.skip[i] and (record.skip[i] < FIRST_RECORD_PAGE or record.skip[i] >= number):
            raise CorruptionError("a skip pointer that does not point back", path=path, page=number)
    offset = load16(page + COMMIT_NOTE_OFFSET)
    record.note = page[offset:offset + load16(page + COMMIT_NOTE_SIZE)]
    offset = load16(page + COMMIT_RETIRED_OFFSET)
    record.retired = page[offset:offset + load16(page + COMMIT_RETIRED_SIZE)]
    return record


# ------------------------------------------------------------------------------------------------------------- chain

cdef uint32_t next_skip_pointers(CommitRecord previous, uint64_t commit_id, uint64_t* skip) noexcept:
    cdef uint32_t count = skip_pointer_count(commit_id), i
    cdef uint64_t id = previous.fields.commit_id
    cdef bint gives_id = previous.fields.kind != RECORD_GAP and not previous.fields.flags & FLAG_ADMINISTRATIVE
    for i in range(count):
        if gives_id and id and id & ((<uint64_t> 2 << i) - 1) == 0:
            skip[i] = previous.fields.page
        else:
            skip[i] = previous.skip[i] if i < previous.skip_count else 0
    return count


cdef void next_fields(CommitRecord previous, CommitFields* fields) noexcept:
    memcpy(fields, &previous.fields, sizeof(CommitFields))
    fields.kind = RECORD_FULL
    fields.flags = 0
    fields.page = previous.fields.page + previous.fields.page_count
    fields.page_count = 1
    fields.sequence = previous.fields.sequence + 1
    fields.previous_page = previous.fields.page
    fields.previous_nonce = previous.fields.nonce
    memcpy(fields.previous_digest, previous.fields.digest, 16)
    memset(fields.digest, 0, 16)
    fields.retired_page = 0
    fields.retired_count = 0
    fields.retired_pages = 0
    fields.embedded_offset = 0


def record_follows(CommitRecord previous, CommitRecord record not None):
    """Why `record` is not the one after `previous` (I9), as text; None: it is.

    `previous` None: why `record` cannot be the first of a file.
    """
    cdef const CommitFields* new = &record.fields
    cdef const CommitFields* old
    cdef bint keeps_id = new.kind == RECORD_GAP or new.flags & FLAG_ADMINISTRATIVE
    cdef uint64_t skip[SKIP_POINTERS_MAX]
    cdef uint32_t skip_count
    if previous is None:
        if new.page != FIRST_RECORD_PAGE or new.previous_page or keeps_id:
            return "not the first record of a file"
        if new.kind == RECORD_FULL and (new.sequence != 1 or new.commit_id or new.commit_nonce != new.nonce):
            return "not the first record of a file"
        if new.kind == RECORD_FULL and new.pages_appended != FIRST_RECORD_PAGE + new.page_count:
            return "the count of appended pages is wrong"
        return None
    old = &previous.fields
    if new.page != old.page + old.page_count or new.previous_page != old.page:
        return "it names another predecessor"
    if new.previous_nonce != old.nonce:
        return "it names its predecessor with another nonce"
    if memcmp(new.previous_digest, old.digest, 16):
        return "it names its predecessor with another digest"
    if new.sequence != old.sequence + 1:
        return "its sequence is not the next"
    if new.kind == RECORD_BASE:
        return "a base record that is not the first"
    if new.time_ns < old.time_ns:
        return "it is older than its predecessor"
    if keeps_id and (new.commit_id != old.commit_id or new.commit_nonce != old.commit_nonce):
        return "it changes the commit id, which its kind does not"
    if not keeps_id and (new.commit_id <= old.commit_id or new.commit_nonce != new.nonce):
        return "its commit id is not a new one"
    skip_count = next_skip_pointers(previous, new.commit_id, skip)
    if record.skip_count != skip_count or memcmp(record.skip, skip, 8 * skip_count):
        return "its skip pointers lead elsewhere"
    if new.durable_upto < old.durable_upto:
        return "it knows less to be durable than its predecessor"
    if new.pages_appended != old.pages_appended + new.page_count or (
        <int64_t>(new.pages_retired - old.pages_retired) < 0 and not new.flags & (FLAG_RESTORED | FLAG_COMPACTED)
    ):
        return "its count of pages is wrong"
    if new.kind == RECORD_GAP and (new.entries != old.entries or len(record.note) != 8
                                   or new.default_tree.entries != old.default_tree.entries
                                   or new.catalogue.root != old.catalogue.root):
        return "a gap that restates another state"
    return None


# ------------------------------------------------------------------------------------------------------------ record

cdef class CommitRecord:
    """A commit page that verified. Immutable.

    Page numbers and counts are in pages, `time_ns` is ns since 1970 UTC, trees are `(root, entries, pages, level)`.
    """

    @property
    def page(self):
        return self.fields.page

    @property
    def end_page(self):
        """The page after its range."""
        return self.fields.page + self.fields.page_count

    @property
    def kind(self):
        return self.fields.kind

    @property
    def flags(self):
        return self.fields.flags

    @property
    def presynced(self):
        return bool(self.fields.flags & FLAG_PRESYNCED)

    @property
    def administrative(self):
        return bool(self.fields.flags & FLAG_ADMINISTRATIVE)

    @property
    def embedded(self):
        return bool(self.fields.flags & FLAG_EMBEDDED)

    @property
    def sparse(self):
        """Commits between its predecessor and it were dropped by a compaction."""
        return bool(self.fields.flags & FLAG_SPARSE)

    @property
    def unsynced(self):
        return bool(self.fields.flags & FLAG_UNSYNCED)

    @property
    def is_gap(self):
        return self.fields.kind == RECORD_GAP

    @property
    def gives_id(self):
        """Whether this record made the commit that it states."""
        return self.fields.kind != RECORD_GAP and not self.fields.flags & FLAG_ADMINISTRATIVE

    @property
    def sequence(self):
        return self.fields.sequence

    @property
    def commit_id(self):
        return self.fields.commit_id

    @property
    def nonce(self):
        return self.fields.nonce

    @property
    def commit_nonce(self):
        return self.fields.commit_nonce

    @property
    def time_ns(self):
        return self.fields.time_ns

    @property
    def page_count(self):
        return self.fields.page_count

    @property
    def previous_page(self):
        return self.fields.previous_page

    @property
    def previous_nonce(self):
        return self.fields.previous_nonce

    @property
    def previous_digest(self):
        return self.fields.previous_digest[:16]

    @property
    def digest(self):
        return self.fields.digest[:16]

    @property
    def durable_upto(self):
        return self.fields.durable_upto

    @property
    def pages_appended(self):
        return self.fields.pages_appended

    @property
    def pages_retired(self):
        return self.fields.pages_retired

    @property
    def live_pages(self):
        """Pages that its state needs (I10); those that several trees share count in each."""
        return self.fields.pages_appended - self.fields.pages_retired

    @property
    def entries(self):
        return self.fields.entries

    @property
    def default_tree(self):
        return _tree_tuple(&self.fields.default_tree)

    @property
    def catalogue(self):
        return _tree_tuple(&self.fields.catalogue)

    @property
    def embedded_offset(self):
        return self.fields.embedded_offset

    @property
    def skip_pointers(self):
        return tuple([self.skip[i] for i in range(self.skip_count)])

    @property
    def retired_page(self):
        return self.fields.retired_page

    @property
    def retired_pages(self):
        return self.fields.retired_pages

    @property
    def retired_count(self):
        return self.fields.retired_count

    @property
    def features(self):
        """`(compatible, read-compatible, incompatible)` feature words."""
        return self.fields.compatible_features, self.fields.read_compatible_features, self.fields.incompatible_features

    @property
    def uuid(self):
        return self.fields.uuid[:16]

    @property
    def generation(self):
        return self.fields.generation

    def __repr__(self):
        return (f"<CommitRecord {self.sequence} id {self.commit_id} pages {self.page}..{self.end_page}"
                f" kind {self.kind} flags {self.flags:#x}>")


cdef tuple _tree_tuple(const TreeReference* tree):
    return tree.root, tree.entries, tree.pages, tree.level


def decode_commit_page(const uint8_t[::1] page not None, uint64_t number, bytes uuid not None, uint64_t generation,
                       path=None):
    """The record in a commit page's bytes. Raises CorruptionError, FormatError."""
    if page.shape[0] < 4096 or len(uuid) != 16:
        raise ValueError("a page has at least 4096 bytes, a UUID 16")
    return decode_commit(&page[0], <uint32_t> page.shape[0], number, <const uint8_t*> <const char*> uuid, generation,
                         path)
