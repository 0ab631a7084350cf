"""`python -m bench compare A.json B.json`: what a change did."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Any

from bench.report import short

__all__ = ["Change", "add_arguments", "changes", "main", "read_results"]

_NAME, _COLUMN = 34, 16
NOISE = 0.05
"""A change smaller than this is told as none, even if no turn of one is within those of the other."""


@dataclass(frozen=True)
class Change:
    """One measure of one engine in both documents; less is better."""

    name: str
    unit: str
    before: dict[str, Any]
    after: dict[str, Any]
    ratio_before: float | None
    ratio_after: float | None

    @property
    def speedup(self) -> float | None:
        """Above 1 where B is ahead; None where B measured nothing."""
        return self.before["median"] / self.after["median"] if self.after["median"] else None

    @property
    def verdict(self) -> str:
        """ "better" or "worse" only where the turns of both do not overlap and the medians differ."""
        if self.speedup is None or abs(self.speedup - 1) < NOISE:
            return ""
        if self.after["max"] < self.before["min"]:
            return "better"
        if self.after["min"] > self.before["max"]:
            return "worse"
        return "(within the noise)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("before", metavar="A.json")
    parser.add_argument("after", metavar="B.json")
    parser.add_argument("--engine", default="cowtree", help="whose figures (default: cowtree)")


def main(arguments: argparse.Namespace) -> int:
    """Print a row for each workload that both have."""
    before, after = read_results(arguments.before), read_results(arguments.after)
    for part in ("machine", "settings"):
        for name in sorted({*before[part], *after[part]}):
            one, other = before[part].get(name), after[part].get(name)
            if one != other and name != "engines":
                print(f"WARNING: {part}, {name}: {one} and {other}")
    told = changes(before, after, arguments.engine)
    titles = ("A", "B", "A : B", "LMDB's ratio", "")
    print(f"{arguments.engine:<{_NAME}}" + "".join(f"{title:>{_COLUMN}}" for title in titles))
    for change in told:
        print(_row(change))
    missing = sorted(set(before["results"]) ^ set(after["results"]))
    if missing:
        print(f"only in one of them: {', '.join(missing)}")
    print(
        "A : B is above 1 where B is ahead; better or worse where no turn of one is among the other's"
    )
    return 0


def changes(before: dict[str, Any], after: dict[str, Any], engine: str) -> list[Change]:
    """Of the workloads that both documents have, and of what is told beside them."""
    found = []
    for name, old in before["results"].items():
        new = after["results"].get(name)
        if new is None:
            continue
        found += _change(name, old["unit"], old, new, engine)
        for measure in old["beside"]:
            if measure in new["beside"]:
                found += _change(
                    f"  {measure}",
                    old["unit"],
                    old["beside"][measure],
                    new["beside"][measure],
                    engine,
                )
    return found


def read_results(path: str) -> dict[str, Any]:
    """A document that `--json` wrote. Raises SystemExit if it is something else."""
    with open(path, encoding="utf-8") as file:
        document: dict[str, Any] = json.load(file)
    if not isinstance(document.get("results"), dict):
        raise SystemExit(f"{path}: not the results of a run")
    for result in document["results"].values():
        result.setdefault("beside", {})  # format 1 had none
        result.setdefault("sets", ["core"])
    return document


def _change(
    name: str, unit: str, old: dict[str, Any], new: dict[str, Any], engine: str
) -> list[Change]:
    before, after = old["engines"].get(engine), new["engines"].get(engine)
    if before is None or after is None:
        return []
    ratios = [each["ratio"]["median"] if each["ratio"] else None for each in (old, new)]
    return [Change(name, unit, before, after, *ratios)]


def _row(change: Change) -> str:
    figures = [f"{short(each['median'])} {change.unit}" for each in (change.before, change.after)]
    speedup = "-" if change.speedup is None else f"{change.speedup:.2f}"
    ratio = "-"
    if change.ratio_before is not None and change.ratio_after is not None:
        ratio = f"{change.ratio_before:.2f} > {change.ratio_after:.2f}"
    columns = (*figures, speedup, ratio)
    row = f"{change.name:<{_NAME}}" + "".join(f"{column:>{_COLUMN}}" for column in columns)
    return f"{row}  {change.verdict}".rstrip()
