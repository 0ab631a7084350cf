"""Hostile files and rotten bytes: a few of the campaign's here, and every file that once brought a fault."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import hostile_worker, rot
from campaign.hostile import Judge, hostile_content, read_file, shapes
from campaign.hostile_bombs import bomb
from campaign.hostile_mutations import BRANCH, COMMIT, LEAF, RETIRED, RUN, HostileFile

CORPUS = Path(__file__).resolve().parent / "corpus" / "hostile"
SEEDS = range(20261201, 20261201 + 600)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(slack=3.0) as made:
        yield made


@pytest.fixture(scope="module")
def sound() -> dict[str, bytes]:
    return shapes()


def test_shapes_have_pages_of_every_kind_and_are_sealed_as_the_writer_seals(
    sound: dict[str, bytes],
) -> None:
    kinds = set()
    for content in sound.values():
        file = HostileFile(content)
        kinds |= {part.kind for part in file.parts()}
        file.seal_all()
        file.seal_fixed()
        assert bytes(file.content) == content
    assert kinds == {COMMIT, LEAF, BRANCH, RUN, RETIRED}


def test_sound_files_are_refused_nothing(sound: dict[str, bytes], judge: Judge) -> None:
    for content in sound.values():
        verdict = judge.judge(content)
        assert not verdict.problem
        assert verdict.refused == 0


def test_hostile_files_are_refused_or_answer_right(sound: dict[str, bytes], judge: Judge) -> None:
    refused = 0
    for seed in SEEDS:
        verdict = judge.judge(hostile_content(sound, seed), seed)
        assert not verdict.problem, f"seed {seed}: {verdict.problem}"
        refused += verdict.refused > 0
    assert refused > len(SEEDS) // 3


@pytest.mark.parametrize("entries_add_up", [True, False])
@pytest.mark.parametrize("pages_add_up", [True, False])
@pytest.mark.parametrize("fan_out", [1, 2, 26])
def test_a_tree_that_claims_to_be_larger_than_any_disk_costs_little(
    path: Path, judge: Judge, fan_out: int, pages_add_up: bool, entries_add_up: bool
) -> None:
    verdict = judge.judge(
        bomb(path, fan_out=fan_out, entries_add_up=entries_add_up, pages_add_up=pages_add_up)
    )
    assert not verdict.problem, verdict.problem
    assert (verdict.refused > 0) == (fan_out > 1)


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.cow.gz")), ids=lambda file: file.name)
def test_what_was_found_once_is_not_found_again(file: Path, judge: Judge) -> None:
    verdict = judge.judge(read_file(file))
    assert not verdict.problem, verdict.problem


def test_a_file_that_kills_its_reader_is_told_and_the_next_one_is_judged(
    sound: dict[str, bytes], judge: Judge
) -> None:
    judge.judge(sound["small"])
    assert judge.process is not None
    judge.process.kill()
    judge.process.wait(60)
    assert "status -9" in judge.judge(sound["small"]).problem
    assert not judge.judge(sound["small"]).problem


def test_answers_that_contradict_each_other_are_told(
    sound: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hostile.cow"
    monkeypatch.setattr(hostile_worker, "bounded", lambda answer: list(answer)[:-1])
    path.write_bytes(sound["plain"])
    assert "is wrong" in str(hostile_worker.interrogate(str(path))["problem"])


def test_flipped_bytes_give_right_values_or_errors_that_name_the_page(tmp_path: Path) -> None:
    rng = random.Random(5)
    for shape in ("plain", "small"):
        made = rot.sound(shape)
        for number in range(300):
            offset = rng.randrange(len(made.content))
            rotten = rot.flip(
                made, tmp_path / "rot.cow", offset, 1 << rng.randrange(8), mapped=number % 4 > 0
            )
            assert not rotten.problem, rotten


def test_a_wrong_value_and_an_unnoticed_page_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rot.sound("small")
    states = {
        commit: {name: dict.fromkeys(entries, b"other") for name, entries in trees.items()}
        for commit, trees in made.states.items()
    }
    wrong = rot.flip(made._replace(states=states), tmp_path / "rot.cow", 30, 0, mapped=True)
    assert "wrong" in wrong.problem
    page_size = int.from_bytes(made.content[44:48], "little")
    unnoticed = rot.flip(made, tmp_path / "rot.cow", 2 * page_size + 50, 0, mapped=True)
    assert "nobody noticed" in unnoticed.problem
