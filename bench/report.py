"""The results as a table and as JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.workloads import Workload

__all__ = ["Result", "header", "row", "summary"]

_NAME, _ENGINE, _RATIO = 26, 28, 22


@dataclass(frozen=True)
class Result:
    """One figure for each turn, by engine; turn i of all engines ran together."""

    workload: Workload
    figures: dict[str, list[float]]

    @property
    def ratios(self) -> list[float]:
        """LMDB's figure by cowtree's of the same turn; empty unless both ran."""
        ours, theirs = self.figures.get("cowtree"), self.figures.get("lmdb")
        if not ours or not theirs:
            return []
        return [b / a for a, b in zip(ours, theirs, strict=True)]


def header(engines: list[str]) -> str:
    """The heading of the table."""
    columns = "".join(f"{name:>{_ENGINE}}" for name in engines)
    return f"{'workload':<{_NAME}}{columns}{'lmdb : cowtree':>{_RATIO}}"


def row(result: Result, engines: list[str]) -> str:
    """Medians (minimum-maximum), and the ratio."""
    line = f"{result.workload.name:<{_NAME}}"
    for name in engines:
        figures = result.figures.get(name)
        told = _spread(figures) if figures else "-"
        line += f"{told + (' ' + result.workload.unit if figures else ''):>{_ENGINE}}"
    ratios = result.ratios
    return line + f"{_spread(ratios) if ratios else '-':>{_RATIO}}"


def summary(result: Result) -> dict[str, object]:
    """For JSON."""
    return {
        "what": result.workload.what,
        "unit": result.workload.unit,
        "durable": result.workload.sync,
        "engines": {name: _numbers(figures) for name, figures in result.figures.items() if figures},
        "ratio": _numbers(result.ratios) if result.ratios else None,
    }


def _spread(figures: list[float]) -> str:
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"{_short(middle)} ({_short(low)}-{_short(high)})"


def _short(figure: float) -> str:
    """Three digits, never as a power of ten."""
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def _numbers(figures: list[float]) -> dict[str, object]:
    return {
        "median": statistics.median(figures),
        "min": min(figures),
        "max": max(figures),
        "turns": figures,
    }
