"""Benchmarks: the same work on cowtree and on LMDB, interleaved in one run. `python -m bench --help`.

`engines` holds the stores behind one small interface, `workloads` the work, `runner` the method, `report` the table and
the JSON, `machine` what was measured on.
"""
