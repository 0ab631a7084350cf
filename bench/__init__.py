"""Benchmarks: the same work on cowtree and on LMDB, interleaved in one run. `python -m bench --help`."""
