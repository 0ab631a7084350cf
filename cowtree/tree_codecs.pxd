"""The codecs of one typed handle, and what the catalogue says of a tree's codecs."""

from libc.stdint cimport uint64_t


cdef class TreeCodecs:
    cdef readonly object key               # a KeyCodec, or None: bytes
    cdef readonly object value             # a Codec, or None: bytes
    cdef str tree                          # for messages; None: the default tree
    cdef readonly bytes key_name           # UTF-8; empty: bytes are taken as they are
    cdef readonly bytes value_name
    cdef bytes checked                     # the record that was found to agree

    cdef bytes encode_key(self, object key)
    cdef object encode_value(self, object value)
    cdef object decode_key(self, bytes key)
    cdef object decode_value(self, bytes value, bytes key)
    cdef object decode_item(self, tuple item)
    cdef tuple prefix(self, object prefix)
    cdef int agree(self, bytes key_name, bytes value_name) except -1
    cdef int agree_with_record(self, bytes record) except -1


cdef TreeCodecs make_codecs(str tree, object key, object value)
cdef tuple record_codecs(bytes record)
cdef tuple tree_record_fields(bytes record, uint64_t limit)
cdef str text_of(bytes name)
cdef tuple codec_names(bytes record)
