"""Arguments that several commands of `python -m bench` take, and what they choose."""

from __future__ import annotations

import argparse
import json

from bench import machine, report
from bench.engines import DEFAULT_ENGINES, ENGINES, Engine, available

__all__ = ["add_engines", "add_folder", "chosen_engines", "document", "positive", "write_json"]


def add_engines(parser: argparse.ArgumentParser) -> None:
    """`--engine` and `--all-engines`."""
    parser.add_argument(
        "--engine",
        action="append",
        choices=list(ENGINES),
        help=f"only this one; may be given again (default: {' and '.join(DEFAULT_ENGINES)})",
    )
    parser.add_argument(
        "--all-engines", action="store_true", help="every engine that can be imported"
    )


def add_folder(parser: argparse.ArgumentParser) -> None:
    """`--dir`."""
    parser.add_argument("--dir", help="where the databases go (default: a folder on a disk)")


def chosen_engines(arguments: argparse.Namespace) -> list[Engine]:
    """Those asked for. Raises ImportError if one that was named cannot be imported."""
    if arguments.engine:
        return available(arguments.engine, required=True)
    return available(list(ENGINES) if arguments.all_engines else list(DEFAULT_ENGINES))


def document(engines: list[Engine], folder: str, settings: dict[str, object]) -> dict[str, object]:
    """What every JSON document begins with: the machine, the versions, the settings."""
    return {
        "format": report.FORMAT,
        "machine": machine.describe(folder),
        "versions": {engine.name: engine.version() for engine in engines},
        "settings": {
            **settings,
            "engines": {engine.name: engine.settings() for engine in engines},
        },
    }


def write_json(path: str, content: dict[str, object]) -> None:
    """As a text to be read and compared."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.write("\n")


def positive(text: str) -> int:
    """A number of at least one; thousands may be set apart."""
    number = int(text.replace("_", "").replace(",", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("not a positive number")
    return number
