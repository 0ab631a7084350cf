"""Takes out of a damaged file what still verifies. Reads bytes by itself: nothing here needs a file that opens."""

from cowtree.rescue.salvage import Loss, SalvageReport, salvage

__all__ = ["Loss", "SalvageReport", "salvage"]
