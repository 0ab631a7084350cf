"""Memory that runs out in the middle of an operation: it ends with an exception, and nothing crashes, leaks or lies.

A few of what `make campaign CAMPAIGN=allocations` tries, some of which were bugs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from campaign import fault_library, faults

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xfail(
        sys.version_info >= (3, 12),
        reason="with CPython 3.12 some failing allocations still crash the interpreter",
        strict=False,
    ),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    reason = fault_library.unavailable()
    if reason:
        pytest.skip(reason)
    return fault_library.build_library(os.fspath(tmp_path_factory.mktemp("library")))


@pytest.mark.parametrize(
    "operation", ["create", "open-readonly", "commit", "rollback", "get-many", "diff", "close"]
)
@pytest.mark.parametrize("for_ever", [False, True])
def test_an_allocation_that_fails_ends_in_an_exception_and_nothing_else(
    tmp_path: Path, library: str, operation: str, for_ever: bool
) -> None:
    fault = faults.allocations()[0]._replace(operation=operation, for_ever=for_ever)
    found = faults.run_fault(fault, 1, 2, library, os.fspath(tmp_path))
    assert found.tries > 1
    assert not found.failures, "\n".join(found.failures)
