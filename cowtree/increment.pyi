import os
from collections.abc import Callable
from typing import Any

def extend_backup(
    handle: Any,
    source: Any,
    newest: Any,
    path: str | os.PathLike[str],
    timeout: float | None,
    write_memory: int,
    progress: Callable[[int, int | None], object] | None,
    trace: object = None,
) -> None: ...
