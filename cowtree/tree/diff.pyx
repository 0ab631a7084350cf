# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Structural differences. See `diff.pxd`."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from cowtree.layout cimport ENTRY_INLINE, LEVEL_MAX, RUN_REFERENCE_SIZE, load64
from cowtree.pages.branch cimport branch_child, branch_children, branch_find
from cowtree.pages.keys cimport compare_keys
from cowtree.pages.leaf cimport DAMAGED, FOUND, Entry, entry_count, leaf_entry, leaf_find, prefix_size
from cowtree.storage.fault_guard cimport guarded
from cowtree.tree.cursor cimport TreeSource, entry_key, raise_status, value_bytes
from cowtree.tree.view cimport DIRTY, PageView, TreeView, view_page, view_root

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

cdef enum Step:
    OPEN = 0              # the reference is a branch: stand at its first child
    NEXT = 1              # stand behind the reference
    SEEK = 2              # open branches down to the leaf that would hold the key
    COPY = 3              # the reference is a leaf: copy it

cdef struct Request:
    const TreeView* view
    uint64_t* pages
    uint32_t* slots
    uint32_t level
    const uint8_t* key
    uint32_t key_size
    uint8_t* into
    uint32_t size
    int how
    bint ended
    PageView at


cdef int view_at(const TreeView* view, uint64_t number, uint32_t level, PageView* at) noexcept nogil:
    """Step onto a page whose reference was checked when it was read."""
    if level == view.level:
        return view_root(view, at)
    return view_page(view, number, level, view.limit, True, at)


cdef int refer(Request* request, const PageView* at, uint32_t level, uint32_t slot) noexcept nogil:
    """Stand at child `slot` of the branch `at`, which is at `level`."""
    cdef uint64_t child
    if level == 0 or slot >= branch_children(at.page, at.size):
        return DAMAGED
    child = branch_child(at.page, slot)
    # References into private memory are followed only from private memory; others lead to smaller numbers (I4).
    if child & DIRTY:
        if not at.dirty:
            return DAMAGED
    elif child >= at.limit:
        return DAMAGED
    request.slots[level] = slot
    request.pages[level - 1] = child
    request.level = level - 1
    return 0


cdef int run_step(void* argument) noexcept nogil:
    cdef Request* request = <Request*>argument
    cdef const TreeView* view = request.view
    cdef PageView* at = &request.at
    cdef uint32_t level = request.level
    cdef uint32_t slot = 0
    cdef int status
    at.number = request.pages[level]
    if request.how == NEXT:
        while level < view.level:
            level += 1
            status = view_at(view, request.pages[level], level, at)
            if status < 0:
                return status
            if request.slots[level] + 1 < branch_children(at.page, at.size):
                return refer(request, at, level, request.slots[level] + 1)
        request.ended = True
        return 0
    status = view_at(view, request.pages[level], level, at)
    if status < 0:
        return status
    if request.how == OPEN:
        return refer(request, at, level, 0)
    while request.how == SEEK and level:
        status = branch_find(at.page, at.size, request.key, request.key_size, &slot)
        if status >= 0:
            status = refer(request, at, level, slot)
        if status < 0:
            return status
        level -= 1
        status = view_at(view, request.pages[level], level, at)
        if status < 0:
            return status
    if level:
        return DAMAGED
    memcpy(request.into, at.page, at.size)
    request.size = at.size
    return 0


@cython.final
cdef class DiffSide:
    """See `diff.pxd`."""

    def __dealloc__(self):
        free(self.leaf)

    cdef int begin(self, bytes key, bint beyond) except -1:
        """Pin the tree and stand at its start, or at `key` (`beyond`: behind it) in a leaf."""
        self.pinned = self.source.pin(&self.view)
        self.loaded = False
        self.fresh = True
        self.ended = self.view.root == 0
        self.steps = 0
        self.edge = None
        if self.ended:
            return 0
        if self.view.level > LEVEL_MAX:
            raise_status(self.source.source_path(), self.view.root, DAMAGED)
        if self.capacity < self.view.space.page_size:
            free(self.leaf)
            self.capacity = 0
            self.leaf = <uint8_t*>malloc(self.view.space.page_size)
            if self.leaf == NULL:
                raise MemoryError
            self.capacity = self.view.space.page_size
        self.level = self.view.level
        self.pages[self.level] = self.view.root
        if key is not None:
            self.seek(key, beyond)
        return 0

    cdef int seek(self, bytes key, bint beyond) except -1:
        cdef uint32_t slot = 0
        cdef int found
        self.run(SEEK, key)
        found = leaf_find(
            self.leaf, self.size, <const uint8_t*>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), &slot
        )
        if found < 0:
            raise_status(self.source.source_path(), self.pages[0], found)
        self.enter(slot + 1 if found == FOUND and beyond else slot)
        self.fresh = True                          # both sides seek the same key: a leaf that they share can be skipped
        return 0

    cdef int run(self, int how, bytes key) except -1:
        """One step under the guard of this side's mapping."""
        cdef Request request
        cdef int status
        request.view = &self.view
        request.pages = self.pages
        request.slots = self.slots
        request.level = self.level
        request.how = how
        request.into = self.leaf
        request.ended = False
        if key is not None:
            request.key = <const uint8_t*>PyBytes_AS_STRING(key)
            request.key_size = <uint32_t>min(PyBytes_GET_SIZE(key), 65537)
        status = guarded(
            run_step, &request, self.view.space.base,
            self.view.space.base + (self.view.space.page_limit << self.view.space.shift),
        )
        self.steps += 1
        if status >= 0 and self.steps > 2 * self.view.limit and not self.source.changing:
            status = DAMAGED                       # each page is opened and left at most once
        if status < 0:
            raise_status(self.source.source_path(), request.at.number, status)
        self.level = request.level
        self.ended = request.ended
        if how == SEEK or how == COPY:
            self.size = request.size
            self.count = entry_count(self.leaf)
            self.trusted = request.at.dirty
            self.loaded = True
        return 0

    cdef int open_branch(self) except -1:
        return self.run(OPEN, None)

    cdef int load(self) except -1:
        """Copy the leaf that it stands at; it stands on its first entry."""
        self.run(COPY, None)
        self.follow_edge()
        self.enter(0)
        self.fresh = True
        return 0

    cdef int follow_edge(self) except -1:
        """The keys of the copied leaf lie behind those of the last one (I12, which no page shows alone)."""
        cdef Entry first, last
        if self.count == 0 or leaf_entry(self.leaf, self.size, 0, &first) < 0 or leaf_entry(
            self.leaf, self.size, self.count - 1, &last
        ) < 0:
            raise_status(self.source.source_path(), self.pages[0], DAMAGED)
        if self.edge is not None and entry_key(self.leaf, self.size, &first) <= self.edge:
            raise_status(self.source.source_path(), self.pages[0], DAMAGED)
        self.edge = entry_key(self.leaf, self.size, &last)
        return 0

    cdef int skip(self, uint32_t level) except -1:
        """Stand behind the subtree at `level` at whose start it stands."""
        self.level = level
        self.loaded = False
        self.fresh = True
        return self.run(NEXT, None)

    cdef int step(self) except -1:
        """Pass the entry it stands on."""
        self.fresh = False
        return self.enter(self.slot + 1)

    cdef int enter(self, uint32_t slot) except -1:
        """Stand on entry `slot` of the copied leaf, or behind the leaf."""
        self.slot = slot
        if slot >= self.count:
            return self.skip(0)
        if leaf_entry(self.leaf, self.size, slot, &self.entry) < 0:
            raise_status(self.source.source_path(), self.pages[0], DAMAGED)
        return 0

    cdef bytes key(self):
        return entry_key(self.leaf, self.size, &self.entry)

    cdef bytes value(self):
        return value_bytes(&self.view, &self.entry, self.trusted, self.source.source_path())


cdef DiffIterator diff_iterator(
    TreeSource old, TreeSource new, bytes start, bytes stop, bint values, bint shared
):
    """The differences of two trees with start <= key < stop (None: no bound).

    `shared`: both are states of one file. With `values` False both values are None.
    """
    cdef DiffIterator iterator = DiffIterator.__new__(DiffIterator)
    iterator.old = DiffSide.__new__(DiffSide)
    iterator.new = DiffSide.__new__(DiffSide)
    iterator.old.source = old
    iterator.new.source = new
    iterator.start = start
    iterator.stop = stop
    iterator.values = values
    iterator.shared = shared
    return iterator


cdef int compare_sides(DiffSide a, DiffSide b) noexcept:
    """Order of the keys that two loaded sides stand on: prefix and suffix, each where it lies."""
    cdef uint32_t a_prefix = prefix_size(a.leaf), b_prefix = prefix_size(b.leaf)
    if a_prefix > a.size or b_prefix > b.size:
        a_prefix = b_prefix = 0
    if a_prefix <= b_prefix:
        return compare_joined(
            a.leaf + a.size - a_prefix, a_prefix, a.entry.suffix, a.entry.suffix_size,
            b.leaf + b.size - b_prefix, b_prefix, b.entry.suffix, b.entry.suffix_size,
        )
    return -compare_joined(
        b.leaf + b.size - b_prefix, b_prefix, b.entry.suffix, b.entry.suffix_size,
        a.leaf + a.size - a_prefix, a_prefix, a.entry.suffix, a.entry.suffix_size,
    )


cdef int compare_joined(
    const uint8_t* short_prefix, uint32_t short_size, const uint8_t* suffix, uint32_t suffix_size,
    const uint8_t* long_prefix, uint32_t long_size, const uint8_t* other, uint32_t other_size,
) noexcept nogil:
    """Order of short_prefix + suffix and long_prefix + other, where the first prefix is not the longer one."""
    cdef uint32_t rest = long_size - short_size
    cdef uint32_t common = rest if rest < suffix_size else suffix_size
    cdef int order = memcmp(short_prefix, long_prefix, short_size) if short_size else 0
    if order == 0 and common:
        order = memcmp(suffix, long_prefix + short_size, common)
    if order:
        return order
    if suffix_size < rest:
        return -1
    return compare_keys(suffix + rest, suffix_size - rest, other, other_size)


@cython.final
cdef class DiffIterator:
    """See `diff.pxd`."""

    def __iter__(self):
        return self

    def __reduce__(self):
        raise TypeError(f"a {type(self).__name__} cannot be pickled")

    def __next__(self):
        self.old.source.check_open()
        self.new.source.check_open()
        if self.error is not None:
            raise self.error
        if self.finished:
            raise StopIteration
        try:
            change = None
            if not self.started or (self.new.source.changing and self.version != self.new.source.version()):
                self.begin()
            while change is None and not self.finished:
                self.align()
                if not self.finished:
                    change = self.compare()
        except Exception as error:
            self.error = error
            raise
        if change is None:
            raise StopIteration
        return change

    cdef int begin(self) except -1:
        """Pin both trees and stand at the start of the range, or behind the key that was given last."""
        cdef bytes key = self.start if self.last_key is None else self.last_key
        self.started = True
        self.old.begin(key, self.last_key is not None)
        self.new.begin(key, self.last_key is not None)
        self.version = self.new.source.version()
        return 0

    cdef int align(self) except -1:
        """Skip what is shared and open what is not, until both stand on an entry or at their end."""
        cdef DiffSide old = self.old
        cdef DiffSide new = self.new
        while True:
            if old.ended and new.ended:
                self.finished = True
                return 0
            if self.skip_shared():
                continue
            if old.loaded and new.loaded:
                return 0
            if not old.ended and not old.loaded and (new.ended or new.loaded or old.level >= new.level):
                if old.level:
                    # Two branches of one level are opened one after the other: then the new one is the higher.
                    old.open_branch()
                else:
                    old.load()
            elif not new.ended and not new.loaded:
                if new.level:
                    new.open_branch()
                else:
                    new.load()
            else:
                return 0

    cdef bint skip_shared(self) except -1:
        """Do both stand at the start of one page? Then stand behind the highest such page."""
        cdef DiffSide old = self.old
        cdef DiffSide new = self.new
        cdef uint32_t level, low, high, old_top, new_top
        if not self.shared or old.ended or new.ended:
            return False
        if (old.loaded and not old.fresh) or (new.loaded and not new.fresh):
            return False
        # A place at the start of a page is at the start of each ancestor whose first child leads to it.
        old_top = old.level
        while old_top < old.view.level and old.slots[old_top + 1] == 0:
            old_top += 1
        new_top = new.level
        while new_top < new.view.level and new.slots[new_top + 1] == 0:
            new_top += 1
        low = max(old.level, new.level)
        high = min(old_top, new_top)
        level = high + 1
        while level > low:
            level -= 1
            if old.pages[level] == new.pages[level] and level <= high:
                old.skip(level)
                new.skip(level)
                return True
        return False

    cdef object compare(self):
        """The difference at the lower of the two entries they stand on; None if there is none. Passes it."""
        cdef DiffSide old = self.old
        cdef DiffSide new = self.new
        cdef int order
        if old.ended:
            return self.one_sided(new, ADDED)
        if new.ended:
            return self.one_sided(old, REMOVED)
        while True:
            order = compare_sides(old, new)
            if order < 0:
                return self.one_sided(old, REMOVED)
            if order > 0:
                return self.one_sided(new, ADDED)
            if not self.same_value():
                break
            old.step()
            new.step()
            if not old.loaded or not new.loaded:
                return None
        cdef bytes key = new.key()
        if self.stop is not None and key >= self.stop:
            self.finished = True
            return None
        change = (key, CHANGED, old.value() if self.values else None, new.value() if self.values else None)
        self.last_key = key
        old.step()
        new.step()
        return change

    cdef object one_sided(self, DiffSide side, str kind):
        cdef bytes key = side.key()
        if self.stop is not None and key >= self.stop:
            self.finished = True
            return None
        value = side.value() if self.values else None
        change = (key, kind, None, value) if kind is ADDED else (key, kind, value, None)
        self.last_key = key
        side.step()
        return change

    cdef bint same_value(self) except -1:
        """Do the entries of one key have equal values? Values of one run are not read."""
        cdef const Entry* a = &self.old.entry
        cdef const Entry* b = &self.new.entry
        if a.kind == ENTRY_INLINE and b.kind == ENTRY_INLINE:
            return a.value_size == b.value_size and memcmp(a.value, b.value, a.value_size) == 0
        if a.kind == b.kind and a.value_size == RUN_REFERENCE_SIZE and b.value_size == RUN_REFERENCE_SIZE:
            if load64(a.value + 16) != load64(b.value + 16):
                return False
            if self.shared and load64(a.value) == load64(b.value):
                return True
        return self.old.value() == self.new.value()
