"""How pages form a B-tree: descend, insert, delete, split, merge, cursor.

Joins `pages` and `storage`. Knows no transactions and no commits.
"""
