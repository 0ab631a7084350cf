"""The list of mutations fits the product: each finds its text once, and names tests that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(
    not (ROOT / "cowtree" / "engine.pyx").exists(), reason="the tests run apart from a checkout"
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutation_finds_its_text_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    for name in mutant.tests.split():
        assert name == "states" or (ROOT / name).exists()


def test_mutations_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) > 30
