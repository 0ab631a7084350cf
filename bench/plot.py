"""`python -m bench plot RESULT.json -o DIR`: the ratios as pictures. Needs matplotlib."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.compare import read_results

__all__ = ["add_arguments", "figure", "main", "plot_curves", "plot_ratios"]

AHEAD, BEHIND, INK, FAINT = "#2a6f97", "#b5651d", "#222222", "#999999"
CURVES = ("#2a6f97", "#b5651d", "#4c956c", "#8d5a97", "#777777", "#c9a227")
_STYLE = {
    "svg.hashsalt": "cowtree",  # the same picture for the same figures
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("result", metavar="RESULT.json")
    parser.add_argument("-o", "--output", metavar="DIR", required=True)


def main(arguments: argparse.Namespace) -> int:
    """One picture for each set that has ratios; 2 without matplotlib."""
    document = read_results(arguments.result)
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        print(f"plots need matplotlib: {error}")
        return 2
    os.makedirs(arguments.output, exist_ok=True)
    for name, results in _by_set(document["results"]).items():
        path = os.path.join(arguments.output, f"{name}.svg")
        plot_ratios(path, results, title=_title(name, document))
        print(path)
    return 0


def plot_ratios(path: str, results: dict[str, dict[str, Any]], *, title: str) -> None:
    """A bar for each workload: how many times LMDB's speed, with the least and the most of the turns."""
    names = list(results)[::-1]
    ratios = [results[name]["ratio"] for name in names]
    medians = [ratio["median"] for ratio in ratios]
    with figure(path, height=1.2 + 0.3 * len(names)) as axes:
        axes.barh(
            names,
            [median - 1 for median in medians],
            left=1,
            color=[AHEAD if median >= 1 else BEHIND for median in medians],
            height=0.65,
            xerr=(
                [median - ratio["min"] for median, ratio in zip(medians, ratios, strict=True)],
                [ratio["max"] - median for median, ratio in zip(medians, ratios, strict=True)],
            ),
            error_kw={"ecolor": FAINT, "elinewidth": 1},
        )
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.axvline(1, color=INK, linewidth=1)
        axes.set_xscale("log")
        _plain_ticks(axes, min(r["min"] for r in ratios), max(r["max"] for r in ratios))
        for row, (median, ratio) in enumerate(zip(medians, ratios, strict=True)):
            axes.annotate(
                f"{median:.2g}" if median < 10 else f"{median:.0f}",
                (max(1, ratio["max"]), row),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_xlabel("times LMDB's speed (or LMDB's size : cowtree's)")
        axes.set_title(title, loc="left")


def plot_curves(
    path: str,
    curves: dict[str, dict[float, float]],
    *,
    title: str,
    across: str,
    up: str,
    log: bool,
) -> None:
    """A line for each name, from its points."""
    with figure(path, height=3.2) as axes:
        for (name, points), color in zip(curves.items(), CURVES * 4, strict=False):
            axes.plot(list(points), list(points.values()), marker="o", color=color, label=name)
        if log:
            axes.set_xscale("log")
        at = sorted({point for points in curves.values() for point in points})
        axes.set_xticks(at, [f"{point:,.0f}" for point in at])
        axes.minorticks_off()
        axes.set_ylim(0, 1.15 * max(max(points.values()) for points in curves.values()))
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.set_title(title, loc="left")
        axes.legend(frameon=False)


@contextmanager
def figure(path: str, *, height: float) -> Iterator[Any]:
    """Axes to draw on; saved at the end. Raises ImportError without matplotlib."""
    matplotlib: Any = importlib.import_module("matplotlib")
    figures: Any = importlib.import_module("matplotlib.figure")
    with matplotlib.rc_context(_STYLE):
        picture = figures.Figure(figsize=(7.5, height), layout="constrained")
        yield picture.add_subplot()
        picture.savefig(path, format="svg", metadata={"Date": None})


def _by_set(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Those with a ratio, each under the first of its sets."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, result in results.items():
        if result["ratio"]:
            found.setdefault(result["sets"][0], {})[name] = result
    return found


def _title(name: str, document: dict[str, Any]) -> str:
    keys = document["settings"]["keys"]
    return f"{name}: {keys:,} keys, {document['machine']['processor']}"


def _plain_ticks(axes: Any, least: float, most: float) -> None:
    """1, 2 and 5 of each power of ten, written out."""
    steps = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)]
    shown = [step for step in steps if least / 2 <= step <= most * 2]
    axes.set_xlim(min(shown[0], 1) * 0.9, max(shown[-1], 1) * 1.1)
    axes.set_xticks(shown, [f"{step:g}" for step in shown])
    axes.minorticks_off()
