"""When a compacted file takes the place of the one before: what its engine says, and what both have in common."""

from __future__ import annotations

import weakref

__all__ = ["Pins", "SupersededError", "pins_of"]


class SupersededError(OSError):
    """The engine's file was compacted: databases turn to the new one and try again."""


class Pins(dict[int, int]):
    """Commit id -> how many open snapshots of this process show it; one for all engines of a database."""


_pins: weakref.WeakValueDictionary[bytes, Pins] = weakref.WeakValueDictionary()


def pins_of(uuid: bytes) -> Pins:
    """The pins of a database, whichever of its files an engine has open."""
    return _pins.setdefault(uuid, Pins())
