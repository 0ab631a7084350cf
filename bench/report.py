"""The results as a table and as JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from bench.workload import Workload

__all__ = ["FORMAT", "Result", "header", "numbers", "ratios", "row", "short", "spread", "summary"]

FORMAT = 2
"""Of the JSON document."""

_NAME, _ENGINE, _RATIO = 26, 28, 22


@dataclass(frozen=True)
class Result:
    """One figure for each turn, by engine; turn i of all engines ran together.

    `beside`: other measures of the same turns by name, such as a percentile.
    """

    workload: Workload
    figures: dict[str, list[float]]
    beside: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, engine: str, figures: dict[str, float]) -> None:
        """One turn's; the workload's figure has no name."""
        for name, figure in figures.items():
            by_engine = self.beside.setdefault(name, {}) if name else self.figures
            by_engine.setdefault(engine, []).append(figure)


def ratios(figures: dict[str, list[float]], other: str = "lmdb") -> list[float]:
    """The other engine's figure by cowtree's of the same turn; empty unless both ran."""
    ours, theirs = figures.get("cowtree"), figures.get(other)
    if not ours or not theirs or not all(ours):
        return []
    return [b / a for a, b in zip(ours, theirs, strict=True)]


def header(engines: list[str]) -> str:
    """The heading of the table."""
    columns = "".join(f"{name:>{_ENGINE}}" for name in engines)
    return f"{'workload':<{_NAME}}{columns}{'lmdb : cowtree':>{_RATIO}}"


def row(result: Result, engines: list[str]) -> str:
    """Medians (minimum-maximum), and the ratio; what is told beside on lines of its own."""
    unit = result.workload.unit
    lines = [_row(result.workload.name, result.figures, unit, engines)]
    for name, figures in result.beside.items():
        lines.append(_row(f"  {name}", figures, "" if "(" in name else unit, engines))
    return "\n".join(lines)


def summary(result: Result) -> dict[str, object]:
    """For JSON."""
    workload = result.workload
    return {
        "what": workload.what,
        "unit": workload.unit,
        "durable": workload.sync,
        "sets": list(workload.sets),
        "key_shape": workload.recipe.key_shape,
        "value_size": workload.recipe.value_size,
        **_summary(result.figures),
        "beside": {name: _summary(figures) for name, figures in result.beside.items()},
    }


def numbers(figures: list[float]) -> dict[str, object]:
    """One figure for each turn, and what is told of them."""
    return {
        "median": statistics.median(figures),
        "mean": statistics.fmean(figures),
        "min": min(figures),
        "max": max(figures),
        "turns": figures,
    }


def spread(figures: list[float]) -> str:
    """Median (minimum-maximum)."""
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"{short(middle)} ({short(low)}-{short(high)})"


def short(figure: float) -> str:
    """Three digits, never as a power of ten."""
    if figure >= 100:
        return f"{figure:.0f}"
    return f"{figure:.3g}" if figure >= 0.001 else f"{figure:.4f}"


def _summary(figures: dict[str, list[float]]) -> dict[str, object]:
    """`ratio` is LMDB's figure by cowtree's, `ratios` that of every other engine."""
    others = {name: ratios(figures, name) for name in figures if name != "cowtree"}
    told = {name: numbers(found) for name, found in others.items() if found}
    return {
        "engines": {name: numbers(found) for name, found in figures.items() if found},
        "ratio": told.get("lmdb"),
        "ratios": told,
    }


def _row(name: str, figures: dict[str, list[float]], unit: str, engines: list[str]) -> str:
    line = f"{name:<{_NAME}}"
    for engine in engines:
        found = figures.get(engine)
        told = f"{spread(found)} {unit}".rstrip() if found else "-"
        line += f" {told:>{_ENGINE - 1}}"
    found = ratios(figures)
    return line + f" {spread(found) if found else '-':>{_RATIO - 1}}"
