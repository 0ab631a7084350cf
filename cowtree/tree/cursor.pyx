# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Iterators over ranges, and the cursor. See `cursor.pxd`."""

import types

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cowtree.layout cimport ENTRY_INLINE, ENTRY_RUN, KIND_RUN, PAGE_KIND, RUN_HEADER_SIZE, load64
from cowtree.pages.leaf cimport (
    ABSENT, DAMAGED, FOUND, Entry, entry_count, leaf_entry, leaf_find, prefix_size,
)
from cowtree.storage.fault_guard cimport guarded, guarded_copy
from cowtree.storage.page_file cimport SPACE_BAD_SIZE, SPACE_OUT_OF_RANGE, Space, space_check_run
from cowtree.tree.dirty_pages cimport DirtyRun
from cowtree.tree.editor cimport NO_MEMORY, NO_SPLIT
from cowtree.tree.search cimport Path, end_path, find_path, nth_path, step_leaf
from cowtree.tree.view cimport DIRTY, PageView, TreeView, dirty_page

from cowtree.errors import CorruptionError
from cowtree.storage.page_file import space_error

cdef struct RunRequest:
    const Space* space
    uint64_t page
    uint64_t limit
    uint64_t size


cdef class TreeSource:
    """See `cursor.pxd`."""

    cdef object pin(self, TreeView* view):
        raise TypeError("a source of trees must say how to pin them")

    cdef uint64_t version(self) noexcept:
        return 0

    cdef int check_open(self) except -1:
        return 0

    cdef object source_path(self):
        return None


cdef int raise_status(object path, uint64_t page, int status) except -1:
    """Turn a negative status of a descent or an edit into its exception."""
    if status == NO_MEMORY:
        raise MemoryError
    if status == NO_SPLIT:
        raise CorruptionError("the entries of a page cannot be divided", path=path)
    if page & DIRTY:
        raise CorruptionError("a reference leaves the tree", path=path)
    if status == SPACE_OUT_OF_RANGE:
        raise CorruptionError("the page is not a sound page of its tree, or a reference to it is wrong", path=path, page=page)
    raise space_error(path, page, status)


cdef int check_run(void* argument) noexcept nogil:
    cdef RunRequest* request = <RunRequest*>argument
    cdef int status = space_check_run(request.space, request.page, request.limit, request.size)
    if status < 0:
        return status
    cdef const uint8_t* header = request.space.base + (request.page << request.space.shift)
    # The verified bit may belong to a page of another kind, or a reference may give another size.
    if header[PAGE_KIND] != KIND_RUN or load64(header + 40) != request.size:
        return SPACE_BAD_SIZE
    return 0


cdef const uint8_t* run_value(
    const TreeView* view, const Entry* entry, bint trusted, uint64_t* size, object path
) except NULL:
    """Where the value of a run entry lies, verified. Borrowed from the view's pin.

    `trusted`: the entry was in a private page, so that a reference to memory is one of ours.
    """
    cdef uint64_t page = load64(entry.value)
    cdef DirtyRun* run
    cdef RunRequest request
    cdef int status
    cdef const uint8_t* high
    size[0] = load64(entry.value + 16)
    if page & DIRTY and trusted:
        run = <DirtyRun*>dirty_page(page)
        if run.number == 0:
            return run.data
        page = run.number
    request.space = view.space
    request.page = page
    request.limit = view.limit
    request.size = size[0]
    if page >= view.limit:
        raise_status(path, page, SPACE_OUT_OF_RANGE)
    high = view.space.base + (view.space.page_limit << view.space.shift)
    status = guarded(check_run, &request, view.space.base, high)
    if status < 0:
        raise space_error(path, page, status)
    return view.space.base + (page << view.space.shift) + RUN_HEADER_SIZE


cdef bytes value_bytes(const TreeView* view, const Entry* entry, bint trusted, object path):
    """A copy of an entry's value. The entry lies in private memory; a run's bytes are copied under the guard."""
    cdef uint64_t size = entry.value_size
    cdef const uint8_t* data
    cdef bytes value
    cdef int status
    if entry.kind == ENTRY_INLINE:
        return PyBytes_FromStringAndSize(<const char*>entry.value, <Py_ssize_t>size)
    if entry.kind != ENTRY_RUN or size != 24:
        raise CorruptionError("an entry of unknown kind", path=path)
    data = run_value(view, entry, trusted, &size, path)
    value = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    status = guarded_copy(
        PyBytes_AS_STRING(value), data, size,
        view.space.base, view.space.base + (view.space.page_limit << view.space.shift),
    )
    if status < 0:
        raise space_error(path, load64(entry.value), status)
    return value


cdef bytes guarded_value(const TreeView* view, const Entry* entry, object path):
    """A copy of an inline value that still lies in the mapping."""
    cdef bytes value = PyBytes_FromStringAndSize(NULL, entry.value_size)
    cdef int status = guarded_copy(
        PyBytes_AS_STRING(value), entry.value, entry.value_size,
        view.space.base, view.space.base + (view.space.page_limit << view.space.shift),
    )
    if status < 0:
        raise space_error(path, 0, status)
    return value


@cython.final
cdef class ValueBuffer:
    """See `cursor.pxd`."""

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, <void*>self.data, self.size, 1, flags)

    def __releasebuffer__(self, Py_buffer* buffer):
        pass


cdef object run_buffer(object pinned, const TreeView* view, const Entry* entry, object path):
    """The value of a run as an exporter of its mapped bytes; `pinned` keeps them mapped."""
    cdef ValueBuffer exporter = ValueBuffer.__new__(ValueBuffer)
    cdef uint64_t size = 0
    exporter.data = run_value(view, entry, False, &size, path)
    exporter.size = <Py_ssize_t>size
    exporter.pinned = pinned
    return exporter


cdef bytes entry_key(const uint8_t* page, uint32_t size, const Entry* entry):
    """The whole key of an entry: the page's prefix and its suffix. The image is private memory."""
    cdef uint32_t prefix = prefix_size(page)
    cdef bytes key
    cdef char* data
    if prefix > size:
        prefix = 0
    key = PyBytes_FromStringAndSize(NULL, prefix + entry.suffix_size)
    data = PyBytes_AS_STRING(key)
    memcpy(data, page + size - prefix, prefix)
    memcpy(data + prefix, entry.suffix, entry.suffix_size)
    return key


cdef int walk(void* argument) noexcept nogil:
    """Move a path and copy the leaf it ends in: FOUND, ABSENT (nothing there), or a negative status."""
    cdef WalkRequest* request = <WalkRequest*>argument
    cdef const TreeView* view = request.view
    cdef Path* path = request.path
    cdef PageView* at = &request.at
    cdef int how = request.how
    cdef int status
    if how == TO_FIRST or how == TO_LAST:
        status = end_path(view, how == TO_LAST, path, at)
    elif how == TO_INDEX:
        status = nth_path(view, request.index, path, at)
    elif how == FORWARD or how == BACKWARD:
        status = step_leaf(view, how == FORWARD, path, at)
        if status == ABSENT:
            return ABSENT
    else:
        status = find_path(view, request.key, request.key_size, path, at)
        if status < 0:
            return status
        if how == BELOW_KEY or (how == UPTO_KEY and status == ABSENT):
            if path.slots[0] == 0:
                status = step_leaf(view, False, path, at)
                if status <= 0:
                    return status
            else:
                path.slots[0] -= 1
        else:
            if how == ABOVE_KEY and status == FOUND:
                path.slots[0] += 1
            if path.slots[0] >= entry_count(at.page):
                status = step_leaf(view, True, path, at)
                if status <= 0:
                    return status
    if status < 0:
        return status
    memcpy(request.into, at.page, at.size)
    request.size = at.size
    return FOUND


cdef class LeafWalk:
    """A position in a tree: path, private copy of the leaf, slot."""

    def __cinit__(self):
        self.slot = -1
        self.leaf = NULL

    def __dealloc__(self):
        free(self.leaf)

    def __reduce__(self):
        raise TypeError(f"a {type(self).__name__} cannot be pickled")

    cdef int repin(self) except -1:
        self.pinned = self.source.pin(&self.view)
        self.version = self.source.version()
        if self.leaf_capacity < self.view.space.page_size:
            free(self.leaf)
            self.leaf_capacity = 0
            self.leaf = <uint8_t*>malloc(self.view.space.page_size)
            if self.leaf == NULL:
                raise MemoryError
            self.leaf_capacity = self.view.space.page_size
        return 0

    cdef int move(self, int how, const uint8_t* key, uint32_t key_size, uint64_t index) except -1:
        """Move and copy the leaf: FOUND with `slot` set, or ABSENT. O(log n), O(1) on average for FORWARD, BACKWARD."""
        cdef WalkRequest request
        cdef const Space* space = self.view.space
        cdef int status
        self.slot = -1
        if self.view.root == 0:
            return ABSENT
        request.view = &self.view
        request.path = &self.path
        request.key = key
        request.key_size = key_size
        request.index = index
        request.into = self.leaf
        request.how = how
        status = guarded(walk, &request, space.base, space.base + (space.page_limit << space.shift))
        if status < 0:
            raise_status(self.source.source_path(), request.at.number, status)
        if status == FOUND:
            self.size = request.size
            self.count = entry_count(self.leaf)
            self.trusted = request.at.dirty
            self.slot = self.path.slots[0]
            if self.slot >= self.count:
                raise_status(self.source.source_path(), request.at.number, DAMAGED)
        return status

    cdef bytes key_at(self, uint32_t slot):
        cdef Entry entry
        if leaf_entry(self.leaf, self.size, slot, &entry) < 0:
            raise_status(self.source.source_path(), self.path.pages[0], DAMAGED)
        return entry_key(self.leaf, self.size, &entry)

    cdef bytes value_at(self, uint32_t slot):
        cdef Entry entry
        if leaf_entry(self.leaf, self.size, slot, &entry) < 0:
            raise_status(self.source.source_path(), self.path.pages[0], DAMAGED)
        return value_bytes(&self.view, &entry, self.trusted, self.source.source_path())


cdef RangeIterator range_iterator(
    TreeSource source, int mode, bytes start, bytes stop, bint include_start, bint include_stop, bint reverse
):
    """An iterator over start..stop (None: no bound); it pins the view when it is made."""
    cdef RangeIterator iterator = RangeIterator.__new__(RangeIterator)
    iterator.source = source
    iterator.mode = mode
    iterator.start = start
    iterator.stop = stop
    iterator.include_start = include_start
    iterator.include_stop = include_stop
    iterator.reverse = reverse
    iterator.repin()
    return iterator


@cython.final
cdef class RangeIterator(LeafWalk):
    """Yields keys, values or items of a range, forwards or backwards. A leaf is decoded from a private copy.

    Over a transaction it notices changes and goes on at the next key.
    """

    def __iter__(self):
        return self

    def __next__(self):
        self.source.check_open()
        if self.finished:
            if self.error is not None:
                raise self.error               # a walk that met damage never ends as if all had been seen
            raise StopIteration
        try:
            if not self.advance():
                self.finished = True
                self.pinned = None
                raise StopIteration
            return self.present()
        except StopIteration:
            raise
        except BaseException as error:
            if isinstance(error, Exception):
                self.finished = True
                self.error = error
            raise

    cdef bint advance(self) except -1:
        """Come to stand on the next entry of the range; False at its end."""
        if not self.started:
            self.load_first()
        elif self.source.changing and self.version != self.source.version():
            self.load_next()
        while True:
            if self.slot < 0:
                return False
            if (self.slot >= self.end) if self.reverse else (self.slot < self.end):
                return True
            if self.last_leaf:
                self.slot = -1
            else:
                edge = self.key_at(0 if self.reverse else self.count - 1)
                self.move(BACKWARD if self.reverse else FORWARD, NULL, 0, 0)
                if self.slot >= 0:
                    # Leaves follow each other (I12, which no page shows alone): so a walk ends, and never goes back.
                    near = self.key_at(self.count - 1 if self.reverse else 0)
                    if (near >= edge) if self.reverse else (near <= edge):
                        raise_status(self.source.source_path(), self.path.pages[0], DAMAGED)
                    self.bound()

    cdef object present(self):
        """What the iterator yields for the entry it stands on; steps past it."""
        cdef Entry entry
        cdef bytes key
        cdef uint32_t slot = <uint32_t>self.slot
        self.slot += -1 if self.reverse else 1
        if self.slot < 0:                          # the first entry of a leaf, backwards
            self.slot = 0
            self.end = 1
        if leaf_entry(self.leaf, self.size, slot, &entry) < 0:
            raise_status(self.source.source_path(), self.path.pages[0], DAMAGED)
        if self.source.changing:
            key = self.last_key = entry_key(self.leaf, self.size, &entry)
            if self.mode == MODE_KEYS:
                return key
            if self.mode == MODE_VALUES:
                return value_bytes(&self.view, &entry, self.trusted, self.source.source_path())
            return key, value_bytes(&self.view, &entry, self.trusted, self.source.source_path())
        if self.mode == MODE_KEYS:
            return entry_key(self.leaf, self.size, &entry)
        if self.mode == MODE_VALUES:
            return value_bytes(&self.view, &entry, self.trusted, None)
        return entry_key(self.leaf, self.size, &entry), value_bytes(&self.view, &entry, self.trusted, None)

    cdef int load_first(self) except -1:
        """Position on the first entry of the range."""
        cdef bytes key = self.stop if self.reverse else self.start
        self.started = True
        if self.source.changing:
            self.repin()
        if key is None:
            self.move(TO_LAST if self.reverse else TO_FIRST, NULL, 0, 0)
        elif self.reverse:
            self.move(
                UPTO_KEY if self.include_stop else BELOW_KEY,
                <const uint8_t*>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), 0,
            )
        else:
            self.move(
                TO_KEY if self.include_start else ABOVE_KEY,
                <const uint8_t*>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), 0,
            )
        if self.slot >= 0:
            self.bound()
        return 0

    cdef int load_next(self) except -1:
        """The tree has changed: position behind the key that was given last."""
        self.repin()
        if self.last_key is None:
            return self.load_first()
        self.move(
            BELOW_KEY if self.reverse else ABOVE_KEY,
            <const uint8_t*>PyBytes_AS_STRING(self.last_key), <uint32_t>PyBytes_GET_SIZE(self.last_key), 0,
        )
        if self.slot >= 0:
            self.bound()
        return 0

    cdef int bound(self) except -1:
        """Find where the range ends in the present leaf, once per leaf, so that no key is compared per entry."""
        cdef bytes key = self.start if self.reverse else self.stop
        cdef uint32_t slot = 0
        cdef int status
        self.last_leaf = False
        self.end = 0 if self.reverse else self.count
        if key is None:
            return 0
        status = leaf_find(
            self.leaf, self.size, <const uint8_t*>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), &slot
        )
        if status < 0:
            raise_status(self.source.source_path(), self.path.pages[0], status)
        if self.reverse:
            if status == FOUND and not self.include_start:
                slot += 1
            self.last_leaf = slot > 0
        else:
            if status == FOUND and self.include_stop:
                slot += 1
            self.last_leaf = slot < self.count
        self.end = slot
        return 0


cdef class Cursor(LeafWalk):
    """A position that moves both ways.

    Over a database it sees the commit that was newest when it was made; over a transaction it follows changes and
    keeps its key: after that entry is deleted, `next` and `prev` go on from where it was.

    Moves return True if they landed on an entry, else the cursor is unpositioned. O(log n); next and prev O(1) mostly.
    """

    def __init__(self, TreeSource source not None):
        source.check_open()
        self.source = source
        self.repin()

    __class_getitem__ = classmethod(types.GenericAlias)

    def __repr__(self):
        if self.current is None:
            return "<cowtree.Cursor, unpositioned>"
        return f"<cowtree.Cursor at {self.current[:40]!r}>"

    cdef bint land(self, int status) except -1:
        if self.slot >= 0:
            self.current = self.key_at(<uint32_t>self.slot)
        else:
            self.current = None
        return self.current is not None

    def seek(self, key) -> bool:
        """Move to the first entry whose key is not below `key`."""
        cdef bytes target = key_bytes(key)
        self.source.check_open()
        if self.source.changing:
            self.repin()
        return self.land(
            self.move(TO_KEY, <const uint8_t*>PyBytes_AS_STRING(target), <uint32_t>PyBytes_GET_SIZE(target), 0)
        )

    def first(self) -> bool:
        """Move to the first entry."""
        self.source.check_open()
        if self.source.changing:
            self.repin()
        return self.land(self.move(TO_FIRST, NULL, 0, 0))

    def last(self) -> bool:
        """Move to the last entry."""
        self.source.check_open()
        if self.source.changing:
            self.repin()
        return self.land(self.move(TO_LAST, NULL, 0, 0))

    def next(self) -> bool:
        """Move to the next entry; LookupError when unpositioned."""
        return self.step(True)

    def prev(self) -> bool:
        """Move to the previous entry; LookupError when unpositioned."""
        return self.step(False)

    cdef bint step(self, bint forward) except -1:
        self.require()
        if self.source.changing and self.version != self.source.version():
            self.repin()
            return self.land(self.move(
                ABOVE_KEY if forward else BELOW_KEY,
                <const uint8_t*>PyBytes_AS_STRING(self.current), <uint32_t>PyBytes_GET_SIZE(self.current), 0,
            ))
        self.slot += 1 if forward else -1
        if self.slot < 0 or self.slot >= self.count:
            self.move(FORWARD if forward else BACKWARD, NULL, 0, 0)
        return self.land(0)

    cdef int require(self) except -1:
        self.source.check_open()
        if self.current is None:
            raise LookupError("the cursor is not positioned on an entry")
        return 0

    @property
    def key(self):
        """The key it stands on."""
        self.require()
        return self.current

    @property
    def value(self):
        """The value it stands on; KeyError if that entry was deleted meanwhile."""
        return self.value_bytes()

    cdef bytes value_bytes(self):
        self.require()
        if self.source.changing and self.version != self.source.version():
            self.repin()
            if self.move(
                TO_KEY, <const uint8_t*>PyBytes_AS_STRING(self.current), <uint32_t>PyBytes_GET_SIZE(self.current), 0
            ) != FOUND or self.key_at(<uint32_t>self.slot) != self.current:
                self.version = 0
                raise KeyError(self.current)
        return self.value_at(<uint32_t>self.slot)

    @property
    def item(self):
        """(key, value)."""
        return self.key, self.value


cdef bytes key_bytes(object key):
    if type(key) is bytes:
        return key
    from cowtree.options import as_bytes
    return as_bytes(key, "key")
