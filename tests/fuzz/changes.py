"""The database that an input of the fuzzer stands for: `PYTHONPATH=tests python tests/fuzz/changes.py INPUT FILE`

    input:   base u8 | change | change ...
    change:  part u8 | offset u16 | size u8 | `size & 15` + 1 bytes

Parts count from the end of the file, so that small numbers are what the newest commit needs.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from campaign.hostile import shapes
from campaign.hostile_mutations import HostileFile

__all__ = ["BASES", "changed", "seeds"]

BASES = ("plain", "long keys", "small", "past")
CHANGES_MAX = 16


def changed(sound: dict[str, bytes], data: bytes) -> bytes:
    """The file of an input, sealed."""
    file = HostileFile(sound[BASES[data[0] % len(BASES)]] if data else sound[BASES[0]])
    parts = file.parts()[::-1]
    at = 1
    for _ in range(CHANGES_MAX):
        if at + 5 > len(data):
            break
        part, size = parts[data[at] % len(parts)], (data[at + 3] & 15) + 1
        offset = int.from_bytes(data[at + 1 : at + 3], "little") % file.page_size
        new = data[at + 4 : at + 4 + size]
        start = part.page * file.page_size + offset
        new = new[: len(file.content) - start]
        file.content[start : start + len(new)] = new
        at += 4 + size
    file.seal_all()
    file.seal_fixed()
    return bytes(file.content)


def seeds(sound: dict[str, bytes]) -> list[bytes]:
    """An input for the header of each part, that changes nothing."""
    found = []
    for number, base in enumerate(BASES):
        file = HostileFile(sound[base])
        for index, part in enumerate(file.parts()[::-1][:12]):
            image = file.tree_image(part) or part.page * file.page_size
            offset = (image + 24) % file.page_size
            kept = file.content[image + 24 : image + 40]
            found.append(bytes([number, index]) + offset.to_bytes(2, "little") + bytes([15]) + kept)
    return found


if __name__ == "__main__":
    content = changed(shapes(), Path(sys.argv[1]).read_bytes())
    Path(sys.argv[2]).write_bytes(gzip.compress(content, mtime=0))
