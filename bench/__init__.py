"""Benchmarks: the same work on cowtree and on other stores, interleaved in one run. `python -m bench --help`.

    __main__             the commands
      run                run workloads, print a table, write JSON
      scaling  long_run  more keys, threads, processes; for a long time
      instructions       counted by valgrind
      compare  plot      of JSON that was written before
    runner   report      the method; the table and the summaries
    workloads/           the work, a module for each subject
    workload  data       what a workload is; keys and values
    engines/             the stores behind one small interface
    workers  threads     what runs in other processes and threads
    measures             disk, device, memory, page cache
    machine  options     what is measured on; arguments of several commands

Each line stands on those below it.
"""
