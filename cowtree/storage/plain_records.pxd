"""Records that need no tree: the first of a file, gaps, and those of tests."""
