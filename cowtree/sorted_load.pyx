# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Bulk loading: see `sorted_load.pxd`.

A run begins where a put would split the tree's last leaf. Its pairs wait outside the tree until they fill a leaf; a
pair that does not continue the run, the end of the input, or anybody who looks at the session settles them: they are
put one by one, so that no leaf is left badly filled. Two thirds of the time of a put each.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from cowtree.changes cimport Changes
from cowtree.layout cimport LEAF_ENTRY_HEADER, LEAF_SLOT_SIZE, TREE_HEADER_SIZE, key_size_max
from cowtree.pages.builder cimport Item
from cowtree.pages.leaf cimport ABSENT, entry_count, leaf_find, leaf_free
from cowtree.session_trees cimport WriteTree
from cowtree.tree.append cimport append_leaf, run_add, run_init, run_release
from cowtree.tree.editor cimport Editor

from cowtree.options import DEFAULT


cdef SortedLoad load_into(Changes session, WriteTree tree):
    """What takes the pairs of one call that stores many."""
    cdef SortedLoad load = SortedLoad.__new__(SortedLoad)
    load.session = session
    load.tree = tree
    load.pairs = []
    run_init(&load.run, session.work.editor.space.page_size)
    return load


cdef class SortedLoad(Unsettled):
    """See `sorted_load.pxd`."""

    def __dealloc__(self):
        run_release(&self.run)

    cdef bint take(self, object pair) except -1:
        """Let a pair of bytes wait for its leaf; False: it is to be put as usual, which settles those before it."""
        cdef Editor* editor = &self.session.work.editor
        cdef uint32_t size
        cdef const uint8_t* key_data
        cdef const uint8_t* value_data
        cdef uint64_t key_size, value_size
        cdef const Item* last
        self.session.check_usable()                # the input may have ended it
        size = editor.space.usable_size
        if not PyTuple_CheckExact(pair) or PyTuple_GET_SIZE(pair) != 2:
            return False
        key = <object>PyTuple_GET_ITEM(pair, 0)
        value = <object>PyTuple_GET_ITEM(pair, 1)
        if not PyBytes_CheckExact(key) or not PyBytes_CheckExact(value):
            return False
        key_data = <const uint8_t*>PyBytes_AS_STRING(key)
        value_data = <const uint8_t*>PyBytes_AS_STRING(value)
        key_size = <uint64_t>PyBytes_GET_SIZE(key)
        value_size = <uint64_t>PyBytes_GET_SIZE(value)
        if (
            key_size > key_size_max(editor.space.page_size)
            or LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER + key_size + value_size > (size - TREE_HEADER_SIZE) // 2
        ):
            return False
        if self.session.unsettled is self:
            last = &self.run.items.items[self.run.items.count - 1]
            if not follows(last, key_data, <uint32_t>key_size):
                return False
        elif not self.begins(key_data, <uint32_t>key_size, <uint32_t>value_size):
            return False
        if not run_add(&self.run, size, key_data, <uint32_t>key_size, value_data, <uint32_t>value_size):
            self.append()
            run_add(&self.run, size, key_data, <uint32_t>key_size, value_data, <uint32_t>value_size)
        self.pairs.append(pair)
        self.session.unsettled = self
        return True

    cdef bint begins(self, const uint8_t* key, uint32_t key_size, uint32_t value_size) except -1:
        """Would a put of the key, behind all others, find no room in the tree's last leaf?"""
        cdef Changes session = self.session
        cdef uint32_t slot = 0
        if (
            session.near.leaf == NULL or not session.near.at_end or session.near.tree != <void*>self.tree
            or session.near.version != session.work.editor.version or session.unsettled is not None
            or LEAF_SLOT_SIZE + LEAF_ENTRY_HEADER + key_size + value_size <= leaf_free(session.near.leaf)
        ):
            return False
        if leaf_find(session.near.leaf, session.work.editor.space.usable_size, key, key_size, &slot) != ABSENT:
            return False
        if slot < entry_count(session.near.leaf):
            return False
        self.clear()
        return True

    cdef int clear(self) except -1:
        self.run.items.count = 0
        self.run.bytes = 0
        self.pairs.clear()
        return 0

    cdef int append(self) except -1:
        """The run fills a leaf: hang it into the tree."""
        cdef Changes session = self.session
        cdef int status
        session.unsettled = None
        status = append_leaf(&session.work.editor, &self.tree.tree, &self.run)
        self.clear()
        session.after_change(self.tree, status)
        return 0

    cdef int settle(self) except -1:
        """Put the pairs that wait."""
        cdef list pairs = self.pairs
        self.session.unsettled = None
        self.pairs = []
        self.clear()
        for key, value in pairs:
            self.session.put(self.tree, key, value, True, DEFAULT)
        return 0


cdef inline bint follows(const Item* before, const uint8_t* key, uint32_t key_size) noexcept nogil:
    """Is the key above the one before?"""
    cdef uint32_t common = before.rest_size if before.rest_size < key_size else key_size
    cdef int order = memcmp(before.rest, key, common)
    return order < 0 or (order == 0 and before.rest_size < key_size)
