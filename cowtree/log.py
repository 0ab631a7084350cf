"""What happens to a file and is nobody's error: lines for the logger `cowtree`."""

from __future__ import annotations

__all__ = ["Event", "log_event"]

Event = tuple[str, str]
"""Level (debug, info, warning, error) and text."""


def log_event(event: Event) -> None:
    """Log it. The module is imported when there is something to say: most programs never hear of it."""
    import logging

    level, text = event
    logging.getLogger("cowtree").log(getattr(logging, level.upper()), "%s", text)
