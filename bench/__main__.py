"""`python -m bench`: see README.md beside this file."""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "compare": "compare",
    "plot": "plot",
    "scaling": "scaling",
    "instructions": "instructions",
    "long": "long_run",
    "compaction": "compaction",
}
"""What follows `python -m bench`, each a module with `add_arguments` and `main`; without one, `run`."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; its status."""
    words = sys.argv[1:] if argv is None else argv
    command = words[0] if words and words[0] in COMMANDS else None
    module = importlib.import_module(f"bench.{COMMANDS[command] if command else 'run'}")
    parser = argparse.ArgumentParser(
        prog=f"python -m bench {command}" if command else "python -m bench",
        description=None if command else "The same work on cowtree and on others, in one run.",
        epilog=None if command else f"Other commands: {', '.join(COMMANDS)}; each has --help.",
    )
    module.add_arguments(parser)
    status: int = module.main(parser.parse_args(words[1:] if command else words))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
