# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""The checker: every page that a commit can reach, from the bytes up, and every count that is kept about them.

It trusts no verified bit: each page's checksum, number and structure is looked at again, separators bound what is
below them (I12), levels and births go down (I4, I5), counts add up (FORMAT §4.2), and so do the totals (I10).
"""

import time

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cowtree.commit_state cimport CommitState
from cowtree.layout cimport (
    BITMAP_SIZE, ENTRY_RUN, FIRST_RECORD_PAGE, KIND_BRANCH, KIND_LEAF, PAGE_BIRTH, PAGE_KIND, PAGE_LEVEL,
    load64, run_page_count,
)
from cowtree.pages.branch cimport (
    Separator, branch_child, branch_children, branch_entries, branch_free, branch_pages, branch_separator, validate_branch,
)
from cowtree.pages.leaf cimport Entry, entry_count, leaf_entry, leaf_free, prefix_size, validate_leaf
from cowtree.storage.commit_record cimport CommitRecord
from cowtree.storage.fault_guard cimport guarded
from cowtree.storage.page_file cimport PageFile, Space, bit_clear, space_check_page, space_check_run, space_error
from cowtree.tree.cursor cimport entry_key
from cowtree.tree.view cimport TreeView

from cowtree.errors import CorruptionError
from cowtree.storage.commit_record import record_follows
from cowtree.stats import Report

PROBLEMS_MAX = 100

cdef struct PageRequest:
    const Space* space
    uint64_t number
    uint64_t limit
    uint64_t value_size
    uint32_t offset
    uint8_t* into


cdef int copy_checked(void* argument) noexcept nogil:
    """Checksum and number again, then a copy of the image."""
    cdef PageRequest* request = <PageRequest*>argument
    cdef const Space* space = request.space
    cdef int status = space_check_page(space, request.number)
    if status < 0:
        return status
    memcpy(request.into, space.base + (request.number << space.shift), space.page_size)
    return 0


cdef int recheck_run(void* argument) noexcept nogil:
    cdef PageRequest* request = <PageRequest*>argument
    bit_clear(request.space.verified, request.number)
    return space_check_run(request.space, request.number, request.limit, request.value_size)


cdef class Checker:
    """One walk over a commit's trees."""

    cdef const Space* space
    cdef object path
    cdef object progress
    cdef list problems
    cdef set reported                      # pages that `problems` name
    cdef str place                         # what is being verified: a tree or a commit
    cdef uint64_t pages                    # verified, runs included
    cdef uint64_t total
    cdef uint64_t pages_max                # a sound tree has each page once: how far `pages` may come in this one
    cdef double next_call
    cdef uint64_t leaf_pages, branch_pages, run_pages
    cdef uint64_t leaf_used, leaf_room, branch_used, branch_room      # bytes

    cdef int report(self, uint64_t page, str text) except -1:
        self.reported.add(page)
        return self.add(f"page {page}: {text}, in {self.place}")

    def report_once(self, error):
        """A CorruptionError as a problem, unless its page was reported before."""
        if error.page not in self.reported:
            self.reported.add(error.page)
            self.add(f"{error}, in {self.place}")

    cdef int refuse(self, uint64_t page, int status) except -1:
        """A page that does not verify, or (OSError: the file was cut, its device fails) cannot be read."""
        error = space_error(None, page, status)
        if isinstance(error, CorruptionError):
            self.report_once(error)
        elif page not in self.reported:
            self.report(page, f"it cannot be read: {error.strerror}")
        return 0

    cdef int add(self, str problem) except -1:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)
        return 0

    cdef int advance(self, uint64_t pages) except -1:
        self.pages += pages
        if self.progress is not None:
            now = time.monotonic()
            if now >= self.next_call and self.pages < self.total:
                self.next_call = now + 0.1
                self.progress(self.pages * self.space.page_size, self.total * self.space.page_size)
        return 0

    cdef tuple walk(
        self, uint64_t number, uint32_t level, uint32_t offset, uint64_t limit, uint64_t birth, bytes low, bytes high
    ):
        """(entries, pages) found below and with a page; `low` <= its keys < `high` (None: unbounded)."""
        cdef bytearray image = bytearray(self.space.page_size)
        cdef uint8_t* page = <uint8_t*><char*>image
        cdef uint8_t bitmap[BITMAP_SIZE]
        cdef PageRequest request
        cdef uint32_t size = self.space.usable_size - offset
        cdef uint64_t own_birth
        cdef int status
        if number <= FIRST_RECORD_PAGE and not offset or number >= limit:
            self.report(number, f"a reference to it breaks the order of pages (I4), below {limit} was expected")
            return 0, 0
        if self.pages >= self.pages_max:
            if self.pages_max:
                self.report(number, "there are more references than pages: some page is referred to twice")
            self.pages_max = 0
            return 0, 0
        request.space = self.space
        request.number = number
        request.into = page
        status = guarded(
            copy_checked, &request, self.space.base, self.space.base + (self.space.page_limit << self.space.shift)
        )
        self.advance(1)
        if status < 0:
            self.refuse(number, status)
            return 0, 0
        own_birth = load64(page + PAGE_BIRTH)
        if own_birth > birth:
            self.report(number, f"it is younger than its parent (I5): {own_birth} > {birth}")
        if not offset:
            limit = number
        page += offset
        if page[PAGE_KIND] != (KIND_BRANCH if level else KIND_LEAF) or page[PAGE_LEVEL] != level:
            self.report(number, f"kind {page[PAGE_KIND]}, level {page[PAGE_LEVEL]} where level {level} was expected")
            return 0, 0
        if level:
            status = validate_branch(page, size, limit, bitmap)
        else:
            status = validate_leaf(page, size, limit, bitmap)
        if status < 0:
            self.report(number, "its structure is damaged (I4, I11, I12)")
            return 0, 0
        self.measure(page, size, level)
        if level:
            return self.walk_branch(page, size, number, level, limit, own_birth, low, high, 0 if offset else 1)
        return self.walk_leaf(page, size, number, limit, low, high, 0 if offset else 1)

    cdef int measure(self, const uint8_t* page, uint32_t size, uint32_t level) except -1:
        if level:
            self.branch_pages += 1
            self.branch_room += size
            self.branch_used += size - branch_free(page)
        else:
            self.leaf_pages += 1
            self.leaf_room += size
            self.leaf_used += size - leaf_free(page)
        return 0

    cdef tuple walk_leaf(
        self, const uint8_t* page, uint32_t size, uint64_t number, uint64_t limit, bytes low, bytes high,
        uint64_t pages,
    ):
        cdef uint32_t count = entry_count(page), slot
        cdef Entry entry
        cdef PageRequest request
        cdef uint64_t run_pages
        cdef int status
        leaf_entry(page, size, 0, &entry)
        if low is not None and entry_key(page, size, &entry) < low:
            self.report(number, "its first key lies below the separator above it")
        leaf_entry(page, size, count - 1, &entry)
        if high is not None and entry_key(page, size, &entry) >= high:
            self.report(number, "its last key lies above the next separator")
        for slot in range(count):
            leaf_entry(page, size, slot, &entry)
            if entry.kind != ENTRY_RUN:
                continue
            request.space = self.space
            request.number = load64(entry.value)
            request.value_size = load64(entry.value + 16)
            request.limit = limit
            status = guarded(
                recheck_run, &request, self.space.base, self.space.base + (self.space.page_limit << self.space.shift)
            )
            if status < 0:
                self.refuse(request.number, status)
                continue
            run_pages = run_page_count(request.value_size, self.space.page_size)
            pages += run_pages
            self.run_pages += run_pages
            self.advance(run_pages)
        return count, pages

    cdef tuple walk_branch(
        self, const uint8_t* page, uint32_t size, uint64_t number, uint32_t level, uint64_t limit, uint64_t birth,
        bytes low, bytes high, uint64_t pages,
    ):
        cdef uint32_t count = branch_children(page, size), slot
        cdef uint64_t entries = 0, child
        cdef bytes first = low, last
        for slot in range(count):
            last = self.separator_key(page, size, slot + 1) if slot + 1 < count else high
            if first is not None and last is not None and first >= last:
                self.report(number, f"separator {slot + 1} is out of its range (I12)")
            child = branch_child(page, slot)
            below, with_it = self.walk(child, level - 1, 0, limit, birth, first, last)
            if with_it and (below != branch_entries(page, count, slot) or with_it != branch_pages(page, count, slot)):
                self.report(
                    number,
                    f"child {slot} holds {below} entries in {with_it} pages, "
                    f"{branch_entries(page, count, slot)} in {branch_pages(page, count, slot)} were counted",
                )
            entries += below
            pages += with_it
            first = last
        return entries, pages

    cdef bytes separator_key(self, const uint8_t* page, uint32_t size, uint32_t slot):
        cdef Separator separator
        cdef uint32_t prefix = prefix_size(page)
        branch_separator(page, size, slot, &separator)
        return (
            (<const char*>page)[size - prefix:size] + (<const char*>separator.suffix)[:separator.suffix_size]
        )

    cdef tuple walk_tree(self, str name, const TreeView* view, uint64_t birth, uint64_t pages):
        """Check a tree against what is recorded about it; what was found."""
        if view.root == 0:
            if view.entries or pages:
                self.problems.append(f"{name}: an empty tree with {view.entries} entries in {pages} pages")
            return 0, 0
        self.pages_max = self.pages + view.limit
        self.place = name
        found = self.walk(view.root, view.level, view.offset, view.limit, birth, None, None)
        if not self.problems and found != (view.entries, pages):
            self.problems.append(f"{name}: {found} entries and pages, ({view.entries}, {pages}) recorded")
        return found


def check_state(CommitState state not None, PageFile file not None, progress):
    """Check a commit: see `Database.check`."""
    cdef Checker checker = Checker()
    entries = checker_walk(checker, state, file, progress, state.end)
    check_records(checker, state, file)
    if progress is not None:
        progress(checker.pages * file.page_size, checker.pages * file.page_size)
    return Report(
        ok=not checker.problems, problems=tuple(checker.problems), commit_id=state.record.fields.commit_id,
        pages=checker.pages, entries=entries,
    )


def page_kinds(CommitState state not None, PageFile file not None):
    """The pages that a commit needs, by kind, and how full they are; CorruptionError where it does not check."""
    cdef Checker checker = Checker()
    checker_walk(checker, state, file, None, 0)
    if checker.problems:
        raise CorruptionError(checker.problems[0], path=file.path)
    return {
        "leaf_pages": checker.leaf_pages,
        "branch_pages": checker.branch_pages,
        "run_pages": checker.run_pages,
        "leaf_fill": <double>checker.leaf_used / checker.leaf_room if checker.leaf_room else 0.0,
        "branch_fill": <double>checker.branch_used / checker.branch_room if checker.branch_room else 0.0,
    }


cdef int check_records(Checker checker, CommitState state, PageFile file) except -1:
    """The past: every record from the first one on, whether it follows its predecessor, and its pages (I9)."""
    cdef CommitRecord record, previous = None
    cdef uint64_t page = FIRST_RECORD_PAGE
    from cowtree.storage.recovery_scan import RangeReader
    reader = RangeReader(file)
    while page < state.end:
        checker.place = "the first record" if previous is None else f"the record after commit {previous.fields.commit_id}"
        try:
            record = reader.read_commit(page, 16)
        except CorruptionError as error:
            # Where the next one begins is not known.
            checker.report_once(error)
            return 0
        reason = record_follows(previous, record)
        if reason is not None:
            checker.report(page, f"the record does not follow the one before: {reason}")
            return 0
        checker.place = f"commit {record.fields.commit_id}"
        problem = reader.range_problem(record, presynced=True)
        if problem is not None:
            checker.report_once(problem)
        checker.advance(record.fields.page_count)
        previous = record
        page += record.fields.page_count
    return 0


cdef object checker_walk(Checker checker, CommitState state, PageFile file, object progress, uint64_t more_pages):
    """Walk all trees of a commit; how many entries there are. `more_pages` are verified afterwards."""
    cdef TreeView view
    cdef uint64_t commit_id = state.record.fields.commit_id
    from cowtree.states import catalogue_records
    from cowtree.storage.recovery_scan import RangeReader
    checker.space = &state.space.space
    checker.path = file.path
    checker.progress = progress
    checker.problems = []
    live = state.record.live_pages
    checker.pages_max = ~<uint64_t>0
    checker.total = live + more_pages
    checker.reported = set()
    checker.place = f"commit {commit_id}"
    checker.advance(3)                     # pages 0, 1 and the commit page
    try:
        RangeReader(file).read_commit(state.record.fields.page)
    except CorruptionError as error:
        checker.report_once(error)
    entries, pages = checker.walk_tree(
        "the default tree", &state.default_tree, commit_id, state.record.fields.default_tree.pages
    )
    _, more = checker.walk_tree("the catalogue", &state.catalogue, commit_id, state.record.fields.catalogue.pages)
    pages += more
    names = []
    if not checker.problems:
        try:
            names = list(catalogue_records(state))
        except CorruptionError as error:
            checker.problems.append(str(error))
    if not checker.problems:
        for name, fields in names:
            view = state.catalogue
            view.offset = 0
            view.level = fields[1]
            view.root = fields[5]
            view.entries = fields[6]
            found, more = checker.walk_tree(f"tree {name!r}", &view, commit_id, fields[7])
            entries += found
            pages += more
    if not checker.problems:
        needed = 3 + state.record.fields.retired_pages + pages
        if needed != live:
            checker.problems.append(f"{needed} pages are needed, {live} accounted for (I10)")
        if entries != state.record.fields.entries:
            checker.problems.append(f"{entries} entries in all trees, {state.record.fields.entries} recorded")
    return entries
