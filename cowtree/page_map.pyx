# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""What each page of a file is: kind, fill, which tree and which commits need it. For pictures and statistics.

    PageMap(newest) ── mark(state) ──> pages that the state's trees reach      one or two states
                    └─ scan()      ──> the others, by their headers, record by record

Pages that a state reaches are verified as every reader verifies them; of the others the header alone is looked at, and
taken for what it says.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.commit_state cimport CommitState
from cowtree.database cimport Database
from cowtree.engine cimport Engine
from cowtree.layout cimport (
    ENTRY_RUN, FIRST_RECORD_PAGE, KIND_BRANCH, KIND_COMMIT, KIND_IDENTITY, KIND_LEAF, KIND_RETIRED, KIND_RUN,
    PAGE_KIND, RUN_PAGES, load64, run_page_count,
)
from cowtree.pages.branch cimport branch_child, branch_children, branch_free
from cowtree.pages.leaf cimport DAMAGED, Entry, entry_count, leaf_entry, leaf_free
from cowtree.snapshot cimport state_at
from cowtree.storage.commit_record cimport RECORD_GAP, CommitRecord
from cowtree.storage.fault_guard cimport guarded
from cowtree.storage.page_file cimport PageFile, Space
from cowtree.tree.cursor cimport raise_status
from cowtree.tree.view cimport PageView, TreeView, view_page, view_root

from cowtree.errors import CorruptionError
from cowtree.states import catalogue_records
from cowtree.storage.record_reader import RecordReader

cdef enum:
    KIND_GAP = 7                           # behind the first page of a gap record: never read
    OWNER_MAX = 255                        # trees beyond it are counted as the last one


cdef struct Walk:
    const TreeView* view
    uint8_t* kinds
    uint8_t* fills
    uint8_t* owners
    uint8_t* marks
    uint8_t mark
    uint8_t owner
    uint64_t leaves, branches, run_pages, runs
    uint64_t used, room                    # bytes of leaves
    uint64_t children                      # of branches
    uint64_t failed_page


cdef struct Scan:
    const Space* space
    uint8_t* kinds
    uint8_t* fills
    uint64_t first, end


cdef uint8_t fill_of(uint32_t free, uint32_t size) noexcept nogil:
    """Of 255; what a damaged header says is cut to size."""
    return <uint8_t>((size - free) * 255 // size) if free <= size else 0


cdef int mark_run(Walk* walk, uint64_t number, uint64_t value_size, uint64_t limit) noexcept nogil:
    cdef uint64_t count, i
    if number <= FIRST_RECORD_PAGE or number >= limit or value_size >> 50:
        return DAMAGED
    count = run_page_count(value_size, walk.view.space.page_size)
    if count > limit - number:
        return DAMAGED
    if walk.marks[number] & walk.mark:
        return 0
    for i in range(number, number + count):
        walk.kinds[i] = KIND_RUN
        walk.fills[i] = 255
        if walk.owner:
            walk.owners[i] = walk.owner
        walk.marks[i] |= walk.mark
    walk.runs += 1
    walk.run_pages += count
    return 0


cdef int mark_page(Walk* walk, const PageView* at, uint32_t level, bint embedded) noexcept nogil:
    """A page that was stepped onto, and what is below it. Each page once: at most O(pages) steps, 63 levels deep."""
    cdef PageView child
    cdef Entry entry
    cdef uint32_t slot, count
    cdef uint64_t number
    cdef int status
    if not embedded:
        if walk.marks[at.number] & walk.mark:
            return 0
        walk.marks[at.number] |= walk.mark
        if walk.owner:
            walk.owners[at.number] = walk.owner
        walk.kinds[at.number] = KIND_BRANCH if level else KIND_LEAF
    if level:
        if not embedded:
            walk.fills[at.number] = fill_of(branch_free(at.page), at.size)
        walk.branches += 1
        count = branch_children(at.page, at.size)
        walk.children += count
        for slot in range(count):
            number = branch_child(at.page, slot)
            status = view_page(walk.view, number, level - 1, at.limit, False, &child)
            if status < 0:
                walk.failed_page = number
                return status
            status = mark_page(walk, &child, level - 1, False)
            if status < 0:
                return status
        return 0
    if not embedded:
        walk.fills[at.number] = fill_of(leaf_free(at.page), at.size)
    walk.leaves += 1
    walk.room += at.size
    walk.used += at.size - leaf_free(at.page)
    count = entry_count(at.page)
    for slot in range(count):
        status = leaf_entry(at.page, at.size, slot, &entry)
        if status >= 0 and entry.kind == ENTRY_RUN:
            status = mark_run(walk, load64(entry.value), load64(entry.value + 16), at.limit)
        if status < 0:
            walk.failed_page = at.number
            return status
    return 0


cdef int mark_tree(void* argument) noexcept nogil:
    cdef Walk* walk = <Walk*>argument
    cdef PageView root
    cdef int status = view_root(walk.view, &root)
    if status < 0:
        walk.failed_page = walk.view.root
        return status
    return mark_page(walk, &root, walk.view.level, walk.view.offset != 0)


cdef int scan_range(void* argument) noexcept nogil:
    """The pages of a record that are not marked, by their headers."""
    cdef Scan* scan = <Scan*>argument
    cdef const Space* space = scan.space
    cdef const uint8_t* page
    cdef uint64_t number = scan.first, count, i
    cdef uint32_t kind
    while number < scan.end:
        page = space.base + (number << space.shift)
        kind = page[PAGE_KIND]
        count = 1
        if kind == KIND_RUN:
            count = load64(page + RUN_PAGES)
            if count == 0 or count > scan.end - number:
                count = 1
        for i in range(number, number + count):
            if scan.kinds[i] == 0 and KIND_LEAF <= kind <= KIND_RETIRED:
                scan.kinds[i] = <uint8_t>kind
                if kind == KIND_LEAF:
                    scan.fills[i] = fill_of(leaf_free(page), space.usable_size)
                elif kind == KIND_BRANCH:
                    scan.fills[i] = fill_of(branch_free(page), space.usable_size)
                else:
                    scan.fills[i] = 255
        number += count
    return 0


@cython.final
cdef class PageMap:
    """Four bytes for each page of a file up to the end of its newest commit.

    `kinds`: FORMAT §2.0, 7 = hole of a gap record, 0 = unknown; `fills`: 0 to 255; `owners`: index into `trees` plus one,
    0 = of no tree; `marks`: bit i = the i-th marked state needs it. `trees`: of the first marked state.
    """

    cdef readonly bytearray kinds, fills, owners, marks
    cdef readonly list trees               # of TreeShape fields, as dicts
    cdef readonly list records             # (page, page count, commit id, time in ns, kind), the oldest first
    cdef PageFile file
    cdef CommitState newest
    cdef int states
    cdef dict marked                       # commit page of a marked state -> its bits

    def __cinit__(self, PageFile file not None, CommitState newest not None):
        self.file = file
        self.newest = newest
        self.kinds = bytearray(newest.end)
        self.fills = bytearray(newest.end)
        self.owners = bytearray(newest.end)
        self.marks = bytearray(newest.end)
        self.trees = []
        self.records = []
        self.marked = {}
        self.kinds[0] = KIND_IDENTITY
        self.kinds[1] = KIND_IDENTITY

    cdef int mark(self, CommitState state) except -1:
        """Mark what a state needs; CorruptionError where it cannot be followed. O(its pages), at most two states."""
        cdef TreeView view = state.catalogue
        cdef uint8_t mark = <uint8_t>(1 << self.states)
        cdef bint first = self.states == 0
        cdef uint64_t page
        self.states += 1
        self.marked[state.record.fields.page] = self.marked.get(state.record.fields.page, 0) | mark
        for page in (0, 1, state.record.fields.page):
            self.marks[page] = self.marks[page] | mark
        self.mark_one("the catalogue", &state.catalogue, mark, first, state.record.fields.catalogue.pages)
        self.mark_one(None, &state.default_tree, mark, first, state.record.fields.default_tree.pages)
        for name, fields in list(catalogue_records(state)):
            view.level = fields[1]
            view.root = fields[5]
            view.entries = fields[6]
            view.offset = 0
            self.mark_one(name, &view, mark, first, fields[7])
        return 0

    cdef int mark_one(self, object name, const TreeView* view, uint8_t mark, bint first, uint64_t pages) except -1:
        cdef Walk walk
        cdef int status = 0
        cdef const Space* space = view.space
        walk.view = view
        walk.kinds = <uint8_t*><char*>self.kinds
        walk.fills = <uint8_t*><char*>self.fills
        walk.owners = <uint8_t*><char*>self.owners
        walk.marks = <uint8_t*><char*>self.marks
        walk.mark = mark
        walk.owner = <uint8_t>min(<int>len(self.trees) + 1, <int>OWNER_MAX) if first else 0
        walk.leaves = walk.branches = walk.run_pages = walk.runs = walk.used = walk.room = walk.children = 0
        walk.failed_page = 0
        if view.root:
            with nogil:
                status = guarded(mark_tree, &walk, space.base, space.base + (space.page_limit << space.shift))
            if status < 0:
                raise_status(self.file.path, walk.failed_page, status)
        if first:
            self.trees.append({
                "name": name, "entries": view.entries, "pages": pages, "depth": view.level + 1 if view.root else 0,
                "leaves": walk.leaves, "branches": walk.branches, "run_pages": walk.run_pages, "runs": walk.runs,
                "leaf_fill": <double>walk.used / walk.room if walk.room else 0.0,
                "fan_out": <double>walk.children / walk.branches if walk.branches else 0.0,
            })
        return 0

    cdef int scan(self) except -1:
        """Go through all records up to the newest; CorruptionError. O(pages): a header of each page is read."""
        cdef CommitRecord record
        cdef Scan scan
        cdef uint64_t number = FIRST_RECORD_PAGE, inner
        cdef int status
        reader = RecordReader(self.file, self.newest.space)
        scan.space = &self.newest.space.space
        scan.kinds = <uint8_t*><char*>self.kinds
        scan.fills = <uint8_t*><char*>self.fills
        while number < self.newest.end:
            record = reader.read_commit(number)
            scan.first = number + 1
            scan.end = number + record.fields.page_count
            if scan.end > self.newest.end:
                raise CorruptionError("a record that ends behind the newest one", path=self.file.path, page=number)
            self.kinds[number] = KIND_COMMIT
            self.fills[number] = 255
            if record.fields.kind == RECORD_GAP:
                for inner in range(scan.first, scan.end):
                    self.kinds[inner] = KIND_GAP
            else:
                with nogil:
                    status = guarded(
                        scan_range, &scan, scan.space.base, scan.space.base + (scan.space.page_limit << scan.space.shift)
                    )
                if status < 0:
                    raise_status(self.file.path, number, status)
            if number in self.marked:      # a state needs the list of what it retired (FORMAT I10)
                for inner in range(scan.first, scan.end):
                    if self.kinds[inner] == KIND_RETIRED:
                        self.marks[inner] = self.marks[inner] | self.marked[number]
            self.records.append((
                number, record.fields.page_count, record.fields.commit_id, record.fields.time_ns, record.fields.kind,
            ))
            number = scan.end
        return 0


def page_map(Database database not None, at=None, other=None):
    """A `PageMap` of a database's file: what the commit `at` (None: the newest) needs, and `other`, if it is given.

    `at`, `other` as for `Database.snapshot`. Raises what that does, and CorruptionError. O(pages), four bytes for each.
    """
    cdef CommitState newest = database.current()
    cdef Engine engine = database.engine
    cdef PageMap made = PageMap(engine.file, newest)
    made.mark(state_at(engine, newest, at))
    if other is not None:
        made.mark(state_at(engine, newest, other))
    made.scan()
    return made
