"""Numbers about a database in the text format of OpenMetrics, for Prometheus and its like.

Source: the OpenMetrics specification 1.0, https://github.com/prometheus/OpenMetrics
"""

from __future__ import annotations

from cowtree.stats import Settings, Stats

__all__ = ["openmetrics"]

# (name, of Stats, what it is); a name that ends in _bytes has that unit.
_GAUGES = (
    ("commit_id", "commit_id", "Id of the newest commit."),
    ("entries", "entries", "Entries of all trees."),
    ("depth", "depth", "Levels of the default tree."),
    ("trees", "trees", "Named trees."),
    ("page_bytes", "page_size", "Size of a page."),
    ("file_bytes", "file_bytes", "Length of the file."),
    ("live_bytes", "live_bytes", "What the newest commit needs."),
    ("garbage_bytes", "garbage_bytes", "What only the past needs."),
    ("tail_bytes", "tail_bytes", "Prefilled zeros behind the newest commit."),
    ("durable", "durable", "1 if the newest commit is known durable."),
    ("rolled_back", "rolled_back", "Unfinished commits dropped when the file was opened."),
    ("leaf_pages", "leaf_pages", "Leaves of all trees."),
    ("branch_pages", "branch_pages", "Branches of all trees."),
    ("run_pages", "run_pages", "Pages of large values."),
    ("leaf_fill_ratio", "leaf_fill", "Share of the leaves' bytes that is in use."),
    ("branch_fill_ratio", "branch_fill", "Share of the branches' bytes that is in use."),
)


def openmetrics(path: str, stats: Stats, settings: Settings) -> str:
    """All gauges, labelled with the path; what is not known (None) is left out."""
    label = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    values = [(name, getattr(stats, member), help_) for name, member, help_ in _GAUGES]
    values.append(
        ("auto_compact_ratio", settings.auto_compact, "File to live size that starts compaction.")
    )
    lines = []
    for name, value, help_ in values:
        if value is None:
            continue
        lines.append(f"# TYPE cowtree_{name} gauge")
        for unit in ("bytes", "ratio"):
            if name.endswith(f"_{unit}"):
                lines.append(f"# UNIT cowtree_{name} {unit}")
        lines.append(f"# HELP cowtree_{name} {help_}")
        lines.append(
            f'cowtree_{name}{{path="{label}"}} {float(value) if "ratio" in name else int(value)}'
        )
    return "\n".join([*lines, "# EOF", ""])
