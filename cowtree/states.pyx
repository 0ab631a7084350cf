# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""What a commit's catalogue says (FORMAT §3.3): its named trees and its tags. See `states.pxd`."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from cowtree.commit_state cimport CommitState
from cowtree.layout cimport PAGE_NUMBER_LIMIT, key_size_max
from cowtree.reader cimport FixedSource
from cowtree.storage.commit_record cimport CommitRecord, TreeReference
from cowtree.storage.record_reader cimport RecordReader
from cowtree.tree.view cimport TreeView
from cowtree.tree_codecs cimport text_of, tree_record_fields

from cowtree.catalogue import (
    AUTO_COMPACT, AUTO_COMPACT_DEFAULT, HISTORY, TAG, TREE, check_auto_compact, check_history, setting_key,
    unpack_setting, unpack_tag,
)
from cowtree.errors import CorruptionError, KeyTooLargeError
from cowtree.storage.chain import giver_of


cdef bytes catalogue_key(str name, uint32_t page_size):
    """FORMAT §3.3."""
    cdef bytes key
    if not name:
        raise ValueError("a tree's name is a str that is not empty")
    key = b"\x01" + name.encode()
    if len(key) > key_size_max(page_size):
        raise KeyTooLargeError(f"a tree's name has at most {key_size_max(page_size) - 1} bytes, not {len(key) - 1}")
    return key


cdef object tree_record_view(bytes record, TreeView* view):
    """Fill the root of `view` from a tree record; the unpacked record."""
    fields = tree_record_fields(record, view.limit)
    view.level = fields[1]
    view.root = fields[5]
    view.entries = fields[6]
    view.offset = 0
    return fields


cdef int tree_record_reference(bytes record, TreeReference* reference) except -1:
    fields = tree_record_fields(record, PAGE_NUMBER_LIMIT)
    memset(reference, 0, sizeof(TreeReference))
    reference.level = fields[1]
    reference.root = fields[5]
    reference.entries = fields[6]
    reference.pages = fields[7]
    return 0


cdef FixedSource catalogue_of(CommitState state, object path):
    cdef FixedSource fixed = FixedSource.__new__(FixedSource)
    fixed.view = state.catalogue
    fixed.pinned = state
    fixed.path = path
    return fixed


cdef int fill_named(CommitState state, str name, TreeView* view, object path) except -1:
    """The view of a named tree in a commit; a missing tree reads as empty. O(log trees) once per commit and name."""
    cdef bytes record
    if name is None:
        view[0] = state.default_tree
        return 0
    view[0] = state.catalogue
    view.offset = 0
    record = named_record(state, name, path)
    if record is None:
        view.root = 0
        view.entries = 0
    else:
        tree_record_view(record, view)
    return 0


cdef bytes named_record(CommitState state, str name, object path):
    """A tree's record in a commit's catalogue, or None; of the default tree (None) the one that holds its codecs."""
    cdef bytes record
    if name in state.named:
        return state.named[name]
    record = catalogue_of(state, path).get(TREE if name is None else TREE + name.encode())
    state.named[name] = record
    return record


cdef list tree_names(CommitState state, object path):
    """Names of all trees of a commit, in byte order."""
    cdef list names = []
    for key in catalogue_of(state, path).keys(TREE, TAG, inclusive=(False, False)):
        names.append(text_of(key[1:]))
    return names


cdef uint64_t tree_count(CommitState state, object path) except? 0:
    """How many named trees a commit has. O(log n)."""
    return catalogue_of(state, path).count(TREE + b"\0", TAG)


def settings_of(CommitState state not None, uint32_t page_size, path):
    """What a commit's file is set to."""
    from cowtree.stats import Settings
    cdef FixedSource catalogue = catalogue_of(state, path)
    ratio = catalogue.get(setting_key(AUTO_COMPACT))
    kept = catalogue.get(setting_key(HISTORY))
    try:
        return Settings(
            page_size,
            AUTO_COMPACT_DEFAULT if ratio is None else check_auto_compact(unpack_setting(ratio, path)),
            None if kept is None else check_history(unpack_setting(kept, path)),
        )
    except (TypeError, ValueError) as error:
        raise CorruptionError(f"not a setting: {error}", path=path) from error


cdef object catalogue_value(CommitState state, bytes key, object path):
    """A record of the catalogue, or None."""
    return catalogue_of(state, path).get(key)


cdef dict tags_of(CommitState state, object path):
    """The tags as a commit's catalogue has them: name -> Tag, by name."""
    return {
        text_of(key[1:]): unpack_tag(record, path) for key, record in catalogue_of(state, path).items(prefix=TAG)
    }


def tags_in(CommitState state not None, path):
    """`tags_of` for Python."""
    return tags_of(state, path)


def record_giving(RecordReader reader not None, CommitRecord record not None):
    """The record that gave the id of `record`."""
    return record if record.gives_id else giver_of(reader, record)


def catalogue_records(CommitState state not None):
    """(name, unpacked tree record) of every named tree of a commit."""
    cdef TreeView view = state.catalogue
    for key, record in catalogue_of(state, None).items(TREE, TAG, inclusive=(False, False)):
        yield text_of(key[1:]), tree_record_view(record, &view)
