"""The workloads, a module for each subject, which is the name of their set too. Importing this registers them all."""

import importlib

SUBJECTS = (
    "reading",
    "writing",
    "commits",
    "file",
    "memory",
    "history",
    "mixed",
    "processes",
    "shapes",
    "ycsb",
)

for subject in SUBJECTS:
    importlib.import_module(f"bench.workloads.{subject}")
