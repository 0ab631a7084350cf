# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, nonecheck=True
"""Succession. See `succession.pxd`."""

import weakref

_pins = weakref.WeakValueDictionary()              # by UUID


class SupersededError(OSError):
    """The engine's file was compacted: databases turn to the new one and try again."""


cdef class Pins:
    """See `succession.pxd`."""

    def __cinit__(self):
        self.handles = weakref.WeakValueDictionary()

    cdef int add_handle(self, object handle) except -1:
        self.handles[id(handle)] = handle
        return 0

    cdef list handles_now(self):
        return list(self.handles.values())


cdef Pins pins_of(bytes uuid):
    """The pins of a database."""
    return _pins.setdefault(uuid, Pins())
