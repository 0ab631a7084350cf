# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Typed handles: objects on the outside, bytes inside. See `tree_codecs.pxd`.

A handle without codecs has no `TreeCodecs`; its reads and writes never come here.
"""

import struct

from cowtree.layout cimport LEVEL_MAX, PAGE_ENTRIES_LOG2, PAGE_NUMBER_LIMIT

from cowtree.errors import CodecError, CorruptionError, DecodeError
from cowtree.options import as_bytes
from cowtree.views import prefix_end

# FORMAT §3.3: version, level, flags, codec name sizes, root, entries, pages, creation id, zero; then the names.
TREE_RECORD = struct.Struct("<BBHHHQQQQ8x")
CODEC_NAME_MAX = 255


cdef tuple tree_record_fields(bytes record, uint64_t limit):
    """The fields of a tree record, whose pages lie below `limit`; CorruptionError unless a tree can be like that.

    Whoever follows the root relies on it: it carries no mark of a page in memory, and its level is one.
    """
    if len(record) < TREE_RECORD.size:
        raise CorruptionError(f"the record of a tree has {len(record)} bytes")
    fields = TREE_RECORD.unpack_from(record)
    version, level, flags, key_size, value_size, root, entries, pages, _ = fields
    if version != 1 or flags or level > LEVEL_MAX or max(key_size, value_size) > CODEC_NAME_MAX or TREE_RECORD.size + key_size + value_size != len(record):
        raise CorruptionError("not the record of a tree")
    if root >= limit or pages > limit or entries >> PAGE_ENTRIES_LOG2 > limit:
        raise CorruptionError("the record of a tree leads beyond its commit")
    if (root == 0) != (entries == 0) or (root == 0) != (pages == 0):
        raise CorruptionError("the record of a tree counts entries without pages or pages without entries")
    return fields


cdef str text_of(bytes name):
    """A name in the catalogue; CorruptionError."""
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise CorruptionError(f"a name in the catalogue is no UTF-8: {name!r}") from error


cdef TreeCodecs make_codecs(str tree, object key, object value):
    """The codecs of a handle, or None if both are; TypeError for what is no codec."""
    cdef TreeCodecs codecs
    if key is None and value is None:
        return None
    from cowtree.codecs import check_codec, check_key_codec
    codecs = TreeCodecs.__new__(TreeCodecs)
    codecs.tree = tree
    codecs.key_name = codecs.value_name = b""
    if key is not None:
        check_key_codec(key)
        codecs.key = key
        codecs.key_name = codec_name(key)
    if value is not None:
        check_codec(value)
        codecs.value = value
        codecs.value_name = codec_name(value)
    return codecs


cdef bytes codec_name(object codec):
    """As it is recorded."""
    cdef bytes name = codec.name.encode()
    if len(name) > CODEC_NAME_MAX:
        raise ValueError(f"the name of a codec has at most {CODEC_NAME_MAX} bytes, not {len(name)}")
    return name


cdef tuple record_codecs(bytes record):
    """(key codec's name, value codec's name) of a tree record; empty: none recorded."""
    if record is None:
        return b"", b""
    fields = tree_record_fields(record, PAGE_NUMBER_LIMIT)
    middle = TREE_RECORD.size + fields[3]
    return record[TREE_RECORD.size:middle], record[middle:middle + fields[4]]


cdef tuple codec_names(bytes record):
    """The same as str."""
    key, value = record_codecs(record)
    return text_of(key), text_of(value)


cdef class TreeCodecs:
    """See `tree_codecs.pxd`."""

    cdef bytes encode_key(self, object key):
        return as_bytes(key, "key") if self.key is None else self.key.encode(key)

    cdef object encode_value(self, object value):
        return value if self.value is None else self.value.encode(value)

    cdef object decode_key(self, bytes key):
        if self.key is None:
            return key
        try:
            return self.key.decode(key)
        except ValueError as error:
            raise DecodeError(str(error), tree=self.tree, key=key, codec=self.key.name) from error

    cdef object decode_value(self, bytes value, bytes key):
        if self.value is None:
            return value
        try:
            return self.value.decode(value)
        except ValueError as error:
            raise DecodeError(str(error), tree=self.tree, key=key, codec=self.value.name) from error

    cdef object decode_item(self, tuple item):
        return self.decode_key(item[0]), self.decode_value(item[1], item[0])

    cdef tuple prefix(self, object prefix):
        """(first key, key behind the last or None) of the keys that begin with `prefix`."""
        if self.key is None:
            raw = as_bytes(prefix, "key")
            return raw, prefix_end(raw)
        return self.key.prefix(prefix)

    cdef int agree(self, bytes key_name, bytes value_name) except -1:
        """CodecError unless a tree with these recorded names may be used through this handle."""
        for what, recorded, given in (("keys", key_name, self.key_name), ("values", value_name, self.value_name)):
            if recorded and given and recorded != given:
                name = "the default tree" if self.tree is None else f"the tree {self.tree!r}"
                raise CodecError(f"{name} has {recorded.decode(errors='replace')} {what}, not {given.decode()}")
        return 0

    cdef int agree_with_record(self, bytes record) except -1:
        """`agree` with what a tree record says (None: there is none). O(1) for a record met before."""
        if record is None or record is self.checked:
            return 0
        key_name, value_name = record_codecs(record)
        self.agree(key_name, value_name)
        self.checked = record
        return 0

    def given_keys(self, keys):
        """Iterate over decoded keys."""
        cdef bytes key
        for key in keys:
            yield self.decode_key(key)

    def given_values(self, items):
        """Iterate over the decoded values of raw items."""
        cdef tuple item
        for item in items:
            yield self.decode_value(item[1], item[0])

    def given_items(self, items):
        """Iterate over decoded items."""
        cdef tuple item
        for item in items:
            yield self.decode_item(item)

    def taken_pairs(self, pairs):
        """Iterate over encoded pairs."""
        for key, value in pairs:
            yield self.encode_key(key), self.encode_value(value)

    def given_changes(self, changes):
        """Iterate over changes with decoded keys and values."""
        for change in changes:
            yield type(change)(
                change.tree, self.decode_key(change.key), change.kind,
                None if change.old is None else self.decode_value(change.old, change.key),
                None if change.new is None else self.decode_value(change.new, change.key),
            )
