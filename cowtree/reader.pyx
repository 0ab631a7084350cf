# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Reading: see `reader.pxd` and the contract of `Reader` in the stub."""

import operator
import types

cimport cython

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cowtree.layout cimport ENTRY_INLINE
from cowtree.pages.leaf cimport ABSENT, DAMAGED, FOUND, Entry, leaf_entry
from cowtree.storage.fault_guard cimport guarded
from cowtree.tree.batch cimport find_column, find_values
from cowtree.tree.columns cimport Column, ColumnReader
from cowtree.tree.cursor cimport (
    MODE_ITEMS, MODE_KEYS, MODE_VALUES, Cursor, RangeIterator, TreeSource, raise_status, range_iterator, guarded_value,
    run_buffer, value_bytes,
)
from cowtree.tree.search cimport rank_of, tree_find
from cowtree.tree.view cimport TreeView
from cowtree.tree_codecs cimport TreeCodecs

from cowtree.options import as_bytes, wrong_type
from cowtree.views import ItemsView, KeysView, ValuesView, prefix_end

cdef int run_rank(void* argument) noexcept nogil:
    cdef RankRequest* request = <RankRequest*>argument
    return rank_of(request.view, request.key, request.key_size, &request.rank, &request.at)


cdef int run_lookup(void* argument) noexcept nogil:
    """Find the key and copy its value (or run reference) out, all under the guard."""
    cdef Lookup* request = <Lookup*>argument
    cdef Entry entry
    cdef uint32_t slot = 0
    cdef int status = tree_find(request.view, request.key, request.key_size, &request.at, &slot)
    if status <= 0:
        return status
    if leaf_entry(request.at.page, request.at.size, slot, &entry) < 0:
        return DAMAGED
    request.kind = entry.kind
    request.value_size = entry.value_size
    request.value = entry.value
    if entry.value_size <= COPIED_SIZE_MAX:
        memcpy(request.copied, entry.value, entry.value_size)
        request.value = request.copied
    return FOUND


cdef class Reader(TreeSource):
    """Read methods; see the contract in the stub. All are O(log n) unless they say otherwise."""

    cdef object lookup(self, object key, object default, bint required):
        cdef TreeView view
        cdef Lookup request
        cdef Entry entry
        cdef Py_buffer buffer
        cdef bint exact = PyBytes_CheckExact(key)
        cdef int status
        if exact:
            request.key = <const uint8_t*>PyBytes_AS_STRING(key)
            request.key_size = <uint32_t>PyBytes_GET_SIZE(key)
            if PyBytes_GET_SIZE(key) > 65536:
                request.key_size = 65537
        else:
            try:
                PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
            except TypeError:
                raise wrong_type(key, "key") from None
            except BufferError:
                raise TypeError("a key must be a C-contiguous buffer") from None
            request.key = <const uint8_t*>buffer.buf
            request.key_size = <uint32_t>min(buffer.len, 65537)
        try:
            _pinned = self.pin(&view)
            if view.root == 0:
                status = ABSENT
            else:
                request.view = &view
                status = guarded(
                    run_lookup, &request, view.space.base, view.space.base + (view.space.page_limit << view.space.shift)
                )
        finally:
            if not exact:
                PyBuffer_Release(&buffer)
        if status == FOUND:
            if request.kind == ENTRY_INLINE and request.value == request.copied:
                return PyBytes_FromStringAndSize(<const char*>request.copied, request.value_size)
            entry.kind = request.kind
            entry.value_size = request.value_size
            entry.value = request.value
            if request.kind == ENTRY_INLINE:
                return guarded_value(&view, &entry, self.source_path())
            return value_bytes(&view, &entry, request.at.dirty, self.source_path())
        if status == ABSENT:
            if required:
                raise KeyError(key)
            return default
        raise_status(self.source_path(), request.at.number, status)

    cdef object typed_lookup(self, object key, object default, bint required):
        cdef bytes raw = self.codecs.encode_key(key)
        found = self.lookup(raw, MISSING, False)
        if found is not MISSING:
            return self.codecs.decode_value(found, raw)
        if required:
            raise KeyError(key)
        return default

    cdef bytes key_bytes(self, object key):
        if self.codecs is not None:
            return self.codecs.encode_key(key)
        return <bytes>key if PyBytes_CheckExact(key) else as_bytes(key, "key")

    cdef object given(self, object item):
        """A raw (key, value) or None as the caller gets it."""
        return item if item is None or self.codecs is None else self.codecs.decode_item(item)

    cdef object given_value(self, bytes value, bytes key):
        return value if self.codecs is None else self.codecs.decode_value(value, key)

    def __getitem__(self, key):
        if self.codecs is not None:
            return self.typed_lookup(key, None, True)
        return self.lookup(key, None, True)

    def get(self, key, default=None):
        """The value of `key`, copied out as bytes, or `default`."""
        if self.codecs is not None:
            return self.typed_lookup(key, default, False)
        return self.lookup(key, default, False)

    def __contains__(self, key):
        if self.codecs is not None:
            return self.lookup(self.codecs.encode_key(key), MISSING, False) is not MISSING
        return self.lookup(key, MISSING, False) is not MISSING

    def get_many(self, keys, default=None):
        """The values of many keys, in their order, all from one commit."""
        cdef TreeView view
        cdef list raw, values
        cdef Py_ssize_t i
        if self.changing:
            values = []
            for key in keys:
                values.append(self.get(key, default))
            return values
        raw = self.raw_keys(keys)
        _pinned = self.pin(&view)
        if self.codecs is None:
            return find_values(self, &view, raw, default)
        values = find_values(self, &view, raw, MISSING)
        for i in range(len(values)):
            values[i] = default if values[i] is MISSING else self.codecs.decode_value(values[i], raw[i])
        return values

    def get_column(self, keys):
        """The values of many keys, in their order, as one `pyarrow.BinaryArray`; null where a key is missing.

        All from one commit; the bytes as they are stored, whatever the tree's value codec, without an object for each.
        OverflowError above 2 GiB; ImportError without pyarrow.
        """
        cdef TreeView view
        cdef Column column
        cdef list raw
        from cowtree.arrow import array_of
        raw = self.raw_keys(keys)
        if self.changing:
            column = Column()
            for key in raw:
                column.add_value(self.lookup_bytes(key))
            return array_of(column)
        _pinned = self.pin(&view)
        return array_of(find_column(self, &view, raw))

    cdef list raw_keys(self, object keys):
        """The bytes of many keys. Not a comprehension: Cython releases an item twice where the list cannot grow."""
        cdef list raw = []
        for key in keys:
            raw.append(self.key_bytes(key))
        return raw

    cdef bytes lookup_bytes(self, bytes key):
        """The stored bytes of a key, or None."""
        return next(range_iterator(self, MODE_VALUES, key, key, True, True, False), None)

    def __len__(self):
        cdef TreeView view
        _pinned = self.pin(&view)
        return view.entries if view.root else 0

    def __bool__(self):
        return len(self) > 0

    def __iter__(self):
        return self._iterate(MODE_KEYS, None, None, True, False, False)

    def __reversed__(self):
        return self._iterate(MODE_KEYS, None, None, True, False, True)

    def __eq__(self, other):
        """Lengths first, then entry by entry. O(n)."""
        if self is other:
            return True
        if isinstance(other, Reader):
            if len(self) != len(other):
                return False
            # Two trees with other key codecs have no key in common but by chance of equality: objects are compared.
            ours = self._iterate(MODE_ITEMS, None, None, True, False, False)
            theirs = other._iterate(MODE_ITEMS, None, None, True, False, False)
            return all(map(operator.eq, ours, theirs))
        if not hasattr(other, "keys") or not hasattr(other, "__getitem__"):
            return NotImplemented
        if len(self) != len(other):
            return False
        for key, value in self._iterate(MODE_ITEMS, None, None, True, False, False):
            if key not in other or other[key] != value:
                return False
        return True

    __hash__ = None
    __class_getitem__ = classmethod(types.GenericAlias)

    cdef tuple bounds(self, object start, object stop, object prefix):
        """(start, stop) as bytes or None, cut to the prefix."""
        cdef bytes low = None if start is None else self.key_bytes(start)
        cdef bytes high = None if stop is None else self.key_bytes(stop)
        if prefix is not None:
            begin, end = self.prefix_bounds(prefix)
            if low is None or low < begin:
                low = begin
            if end is not None and (high is None or high > end):
                high = end
        return low, high

    cdef tuple prefix_bounds(self, object prefix):
        """(first key, key behind the last or None) of what begins with a prefix."""
        if self.codecs is not None:
            return self.codecs.prefix(prefix)
        raw = as_bytes(prefix, "key")
        return raw, prefix_end(raw)

    cdef tuple span(self, object start, object stop, object prefix, bint include_start, bint include_stop):
        """(start, stop, include start, include stop) of an iteration; a bound that the prefix sets is its own."""
        cdef bytes low, high
        low, high = self.bounds(start, stop, prefix)
        if prefix is not None:
            if start is None or self.key_bytes(start) < low:
                include_start = True
            if stop is None or high != self.key_bytes(stop):
                include_stop = False
        return low, high, include_start, include_stop

    def keys(self, start=None, stop=None, *, prefix=None, reverse=False, inclusive=(True, False)):
        """A view of the keys with start <= key < stop; `inclusive` says which bounds belong to it."""
        return KeysView(self, *view_span(self, start, stop, prefix, inclusive), bool(reverse))

    def values(self, start=None, stop=None, *, prefix=None, reverse=False, inclusive=(True, False)):
        """A view of the values in a range of keys."""
        return ValuesView(self, *view_span(self, start, stop, prefix, inclusive), bool(reverse))

    def items(self, start=None, stop=None, *, prefix=None, reverse=False, inclusive=(True, False)):
        """A view of the (key, value) pairs in a range of keys."""
        return ItemsView(self, *view_span(self, start, stop, prefix, inclusive), bool(reverse))

    def _iterate(self, int mode, bytes start, bytes stop, bint include_start, bint include_stop, bint reverse):
        """What views are made of: mode 0 keys, 1 values, 2 items."""
        if self.codecs is None:
            return range_iterator(self, mode, start, stop, include_start, include_stop, reverse)
        if mode == MODE_KEYS:
            return self.codecs.given_keys(range_iterator(self, mode, start, stop, include_start, include_stop, reverse))
        raw = range_iterator(self, MODE_ITEMS, start, stop, include_start, include_stop, reverse)
        return self.codecs.given_items(raw) if mode == MODE_ITEMS else self.codecs.given_values(raw)

    def _columns(self, int mode, bytes start, bytes stop, bint include_start, bint include_stop, bint reverse, uint64_t rows):
        """A reader of the range as columns of stored bytes, `rows` at a time at most."""
        return ColumnReader(
            range_iterator(self, mode, start, stop, include_start, include_stop, reverse),
            mode != MODE_VALUES, mode != MODE_KEYS, rows,
        )

    def _key_bytes(self, key):
        """The bytes of a key, which order as keys do."""
        return self.key_bytes(key)

    def _positions(self, bytes start, bytes stop, bint include_start, bint include_stop):
        """(first index, index behind the last) of a range. O(log n)."""
        cdef TreeView view
        cdef bint found = False
        cdef uint64_t low, high
        _pinned = self.pin(&view)
        if view.root == 0:
            return 0, 0
        low = 0
        high = view.entries
        if start is not None:
            low = self.rank_in(&view, start, &found)
            if found and not include_start:
                low += 1
        if stop is not None:
            high = self.rank_in(&view, stop, &found)
            if found and include_stop:
                high += 1
        return low, max(low, high)

    def _pin(self):
        """A reader of this very state: what a view evaluates several steps on."""
        cdef FixedSource fixed
        if self.changing:
            return self
        fixed = FixedSource.__new__(FixedSource)
        fixed.pinned = self.pin(&fixed.view)
        fixed.path = self.source_path()
        fixed.owner = self
        fixed.codecs = self.codecs
        return fixed

    def _slice(self, int mode, uint64_t index, uint64_t count, bint reverse):
        """`count` keys, values or items from position `index` on, backwards if `reverse`. O(log n + count)."""
        cdef bint typed_values = self.codecs is not None and mode != MODE_KEYS
        cdef RangeIterator iterator = range_iterator(
            self, MODE_ITEMS if typed_values else mode, None, None, True, False, reverse
        )
        cdef list result = []
        if count == 0:
            return result
        iterator.started = True
        iterator.move(3, NULL, 0, index)
        iterator.bound()
        for entry in iterator:
            result.append(entry)
            if <uint64_t>len(result) == count:
                break
        if self.codecs is None:
            return result
        if mode == MODE_KEYS:
            return list(self.codecs.given_keys(result))
        return list(self.codecs.given_items(result) if mode == MODE_ITEMS else self.codecs.given_values(result))

    cdef uint64_t rank_in(self, const TreeView* view, bytes key, bint* found) except? 0xFFFFFFFFFFFFFFFF:
        cdef RankRequest request
        cdef int status
        request.view = view
        request.key = <const uint8_t*>PyBytes_AS_STRING(key)
        request.key_size = <uint32_t>min(PyBytes_GET_SIZE(key), 65537)
        status = guarded(
            run_rank, &request, view.space.base, view.space.base + (view.space.page_limit << view.space.shift)
        )
        if status < 0:
            raise_status(self.source_path(), request.at.number, status)
        found[0] = status == FOUND
        return request.rank

    def rank(self, key):
        """Number of keys below `key`. O(log n)."""
        cdef TreeView view
        cdef bint found
        cdef bytes target = self.key_bytes(key)
        _pinned = self.pin(&view)
        return self.rank_in(&view, target, &found) if view.root else 0

    def count(self, start=None, stop=None, *, prefix=None):
        """Number of keys with start <= key < stop. O(log n)."""
        low, high = self.bounds(start, stop, prefix)
        low, high = self._positions(low, high, True, False)
        return high - low

    def nth(self, index):
        """The (key, value) at position `index` in key order, negative from the end; IndexError. O(log n)."""
        fixed = self._pin()
        size = len(fixed)
        index = operator.index(index)
        if not -size <= index < size:
            raise IndexError(f"position {index} of {size} entries")
        return fixed._slice(MODE_ITEMS, index % size, 1, False)[0]

    def nth_many(self, indices):
        """`nth` of many positions, all from one commit."""
        cdef list found = []
        fixed = self._pin()
        for index in indices:
            found.append(fixed.nth(index))
        return found

    def first(self, start=None, stop=None, *, prefix=None):
        """The first (key, value) of a range, or None."""
        cdef bytes low, high
        low, high = self.bounds(start, stop, prefix)
        return self.given(next(range_iterator(self, MODE_ITEMS, low, high, True, False, False), None))

    def last(self, start=None, stop=None, *, prefix=None):
        """The last (key, value) of a range, or None."""
        cdef bytes low, high
        low, high = self.bounds(start, stop, prefix)
        return self.given(next(range_iterator(self, MODE_ITEMS, low, high, True, False, True), None))

    def floor(self, key):
        """The last (key, value) not above `key`, or None."""
        return self.given(next(range_iterator(self, MODE_ITEMS, None, self.key_bytes(key), True, True, True), None))

    def ceiling(self, key):
        """The first (key, value) not below `key`, or None."""
        return self.given(next(range_iterator(self, MODE_ITEMS, self.key_bytes(key), None, True, False, False), None))

    def lower(self, key):
        """The last (key, value) below `key`, or None."""
        return self.given(next(range_iterator(self, MODE_ITEMS, None, self.key_bytes(key), True, False, True), None))

    def higher(self, key):
        """The first (key, value) above `key`, or None."""
        return self.given(next(range_iterator(self, MODE_ITEMS, self.key_bytes(key), None, False, False, False), None))

    def split(self, n, start=None, stop=None, *, prefix=None):
        """At most n - 1 existing keys that cut a range into nearly equal parts. O(n log entries)."""
        n = operator.index(n)
        if n < 1:
            raise ValueError("a range is split into at least one part")
        low, high = self.bounds(start, stop, prefix)
        fixed = self._pin()
        first, last = fixed._positions(low, high, True, False)
        size = last - first
        n = min(n, size + 1)
        cuts = []
        previous = first
        for i in range(1, n):
            position = first + size * i // n
            if position > previous and position < last:
                cuts.append(fixed._slice(MODE_KEYS, position, 1, False)[0])
                previous = position
        return cuts

    def buffer(self, key):
        """The value as a read-only memoryview without a copy; it stays valid until its last view is gone.

        KeyError if the key is missing; TransactionError on a transaction, whose pages move. With `mmap=False` a copy.
        """
        cdef TreeView view
        cdef Lookup request
        cdef bytes target = self.key_bytes(key)
        cdef int status = ABSENT
        cdef Entry entry
        if self.changing:
            from cowtree.errors import TransactionError
            raise TransactionError("buffer() needs a snapshot or a database: pages of a transaction move")
        pinned = self.pin(&view)
        if view.root:
            request.view = &view
            request.key = <const uint8_t*>PyBytes_AS_STRING(target)
            request.key_size = <uint32_t>min(PyBytes_GET_SIZE(target), 65537)
            status = guarded(
                run_lookup, &request, view.space.base, view.space.base + (view.space.page_limit << view.space.shift)
            )
        if status < 0:
            raise_status(self.source_path(), request.at.number, status)
        if status == ABSENT:
            raise KeyError(key)
        if view.space.mirrored or request.kind == ENTRY_INLINE:
            # Small values share their page with others: a copy of so few bytes costs less than the pin.
            return memoryview(self.lookup(target, None, True))
        entry.kind = request.kind
        entry.value_size = request.value_size
        entry.value = request.value
        return memoryview(run_buffer(pinned, &view, &entry, self.source_path()))

    def diff(self, older, **options):
        """What changed since another commit: see the handles."""
        raise TypeError(f"a {type(self).__name__} has no history")

    def cursor(self):
        """A `Cursor`, not positioned yet."""
        source = self if self.changing else self._pin()
        return Cursor(source) if self.codecs is None else TypedCursor(source, self.codecs)

    def __reduce__(self):
        raise TypeError(f"a {type(self).__name__} cannot be pickled")


@cython.final
cdef class TypedCursor(Cursor):
    """A cursor over a typed tree."""

    cdef TreeCodecs codecs

    def __init__(self, TreeSource source not None, TreeCodecs codecs not None):
        Cursor.__init__(self, source)
        self.codecs = codecs

    def seek(self, key) -> bool:
        """Move to the first entry whose key is not below `key`."""
        return Cursor.seek(self, self.codecs.encode_key(key))

    @property
    def key(self):
        """The key it stands on."""
        self.require()
        return self.codecs.decode_key(self.current)

    @property
    def value(self):
        """The value it stands on; KeyError if that entry was deleted meanwhile."""
        return self.codecs.decode_value(self.value_bytes(), self.current)


MISSING = object()


cdef tuple view_span(Reader reader, object start, object stop, object prefix, object inclusive):
    include_start, include_stop = inclusive
    return reader.span(start, stop, prefix, bool(include_start), bool(include_stop))


cdef class FixedSource(Reader):
    """See `reader.pxd`."""

    cdef int check_open(self) except -1:
        return 0 if self.owner is None else self.owner.check_open()

    cdef object pin(self, TreeView* view):
        view[0] = self.view
        return self.pinned

    cdef object source_path(self):
        return self.path
