"""Builds each .pyx into an extension of its own; everything else is in pyproject.toml.

COWTREE_SANITIZE=address,undefined (or thread, or fuzzer-no-link with clang) builds with those sanitizers, in a build
folder of their own: what lies in the ordinary one is up to date by its dates, and would be taken as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Hand-written C that belongs to a module.
EXTRA_SOURCES = {
    "cowtree.storage.fault_guard": ["cowtree/storage/sigbus_guard.c"],
    "cowtree.storage.file_lock": ["cowtree/storage/fork_guard.c", "cowtree/storage/lock_keeper.c"],
}
SANITIZE = os.environ.get("COWTREE_SANITIZE", "")


class ParallelBuild(build_ext):
    """Compiles two modules at a time."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or min(os.cpu_count() or 1, 4)


def extensions() -> list[Extension]:
    """One extension for each .pyx, named by its path."""
    # The C is generated: warnings about it help nobody. No -march: wheels run on any machine of their kind.
    compile_args = ["-O3", "-fno-strict-aliasing", "-w"]
    link_args = ["-pthread"]
    if SANITIZE:
        compile_args = ["-O1", "-g", "-fno-strict-aliasing", "-w", f"-fsanitize={SANITIZE}"]
        compile_args += ["-fno-omit-frame-pointer"]
        if "undefined" in SANITIZE:
            compile_args.append("-fno-sanitize-recover=undefined")
        if (
            "fuzzer" in SANITIZE
        ):  # how deep the stack is, is thread-local: a library loaded later cannot count it
            compile_args.append("-fno-sanitize-coverage=stack-depth")
        link_args.append(f"-fsanitize={SANITIZE}")
    found = []
    for path in sorted(Path("cowtree").rglob("*.pyx")):
        name = ".".join(path.with_suffix("").parts)
        found.append(
            Extension(
                name,
                [path.as_posix(), *EXTRA_SOURCES.get(name, [])],
                extra_compile_args=compile_args,
                extra_link_args=link_args,
            )
        )
    return found


if __name__ == "__main__":
    setup(
        ext_modules=cythonize(extensions(), nthreads=min(os.cpu_count() or 1, 4), quiet=True),
        cmdclass={"build_ext": ParallelBuild},
        options={"build": {"build_base": f"build/{SANITIZE.replace(',', '-')}"}}
        if SANITIZE
        else {},
    )
