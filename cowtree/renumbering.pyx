# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Records of a catalogue in another file. See `renumbering.pxd`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cowtree.layout cimport ENTRY_RUN, load64, store64
from cowtree.pages.leaf cimport Entry, entry_count, leaf_entry
from cowtree.tree.cursor cimport entry_key

from cowtree.catalogue import TAG, TREE
from cowtree.errors import CorruptionError

# Offsets in records of the catalogue (FORMAT §3.3).
cdef enum:
    RECORD_LEVEL = 1
    RECORD_ROOT = 8
    RECORD_SIZE = 48
    TAG_PAGE = 24
    TAG_SIZE = 40


cdef class Renumbering:
    """See `renumbering.pxd`."""

    cdef uint64_t new_root(self, uint64_t root, uint32_t level, uint64_t limit) except 0:
        raise NotImplementedError

    cdef int renumber_records(self, uint8_t* image, uint32_t size, uint64_t limit) except -1:
        cdef Entry entry
        cdef bytes key
        cdef uint8_t* record
        cdef uint32_t slot
        cdef uint64_t root
        for slot in range(entry_count(image)):
            leaf_entry(image, size, slot, &entry)
            key = entry_key(image, size, &entry)
            if entry.kind == ENTRY_RUN:
                if key[:1] == TREE or key[:1] == TAG:
                    raise CorruptionError("the record of a tree or tag in a run", path=self.path)
                continue
            record = <uint8_t*>entry.value
            if key[:1] == TREE and entry.value_size >= RECORD_SIZE:
                root = load64(record + RECORD_ROOT)
                if root:
                    store64(record + RECORD_ROOT, self.new_root(root, record[RECORD_LEVEL], limit))
            elif key[:1] == TAG and entry.value_size == TAG_SIZE:
                # 0: a tag of an old state whose commit is not kept.
                store64(record + TAG_PAGE, self.commit_pages.get(load64(record + TAG_PAGE), 0))
        return 0
