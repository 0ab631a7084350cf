"""`python -m cowtree` is the command `cowtree`."""

from cowtree.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
