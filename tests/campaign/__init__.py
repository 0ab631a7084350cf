"""Power cuts by the hundred thousand, simulated: `python -m campaign` (see `__main__`).

history   random commits over a recording device: events, and the content after each commit
disk      which images of the file may be left by a cut between two events
verify    an image is opened by the real engine and held against the contents
states    all of these, seed by seed; images that have passed become the start of a second history
"""

from __future__ import annotations

from cowtree import auto_compaction

# A device that records sees one file: none is replaced by another here. Gaps would make some large enough.
auto_compaction.GROWN_BYTES = 1 << 60
