"""`python -m cowtree` is the command `cowtree`."""

from cowtree.cli import main

raise SystemExit(main())
