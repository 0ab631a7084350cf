"""What a tree page's bytes mean: search, edit and validate one page in memory.

Stands on `layout`. Knows no file, no other page and no tree.
"""
