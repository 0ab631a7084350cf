"""The command line: `cowtree COMMAND FILE ...`, also `python -m cowtree`.

Status: 0 done; 1 not found, differences or problems found; 2 error or usage. What goes wrong is told in one line on
standard error. Reading commands open the file read-only; only `put` and `load` create one.

    parser                           commands, their arguments and help
    reading, writing, transfer       get scan count; put del; load dump
    care, history                    info check backup demo; history tag diff
    opening                          the file, the tree and the commit that the arguments name
    notations, objects               arguments as keys and values: text, hex, base64, json, msgpack, tuple
    display, json_lines              keys and values for people; one JSON object per entry
    streams, progress, failures      bytes in and out; long work; what went wrong, in one line
"""

from __future__ import annotations

from cowtree.cli.parser import main

__all__ = ["main"]
