"""Where pages live: file, mapping, append, sync, lock, recovery.

Stands on `layout`, `checksum` and `errors`. Never looks at keys and does not know how pages form a tree.
"""
