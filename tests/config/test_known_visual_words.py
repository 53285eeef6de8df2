"""The visual words of a data set, as its file gives them and as the jobs of the phase `targets` get them."""

from pathlib import Path
from typing import Any

import pytest
from user_files import DATASET, GRID, Project

from vlkd_steps.config import composition, jobs
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.words import split_words


def targets_of(project: Project, line: str) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    """The targets jobs of an experiment on a data set of the user's."""
    project.params(grid={**GRID, "dataset": ["mine"]})
    project.conf("dataset/mine.yaml", DATASET + line)
    return jobs.targets(composition.compose(project.folder / "params.yaml"))


def given(project: Project, line: str) -> list[str]:
    """What such a job gets."""
    [config] = targets_of(project, line).values()
    return config["dataset"]["visual_words"]


def test_a_list_is_lower_cased_and_a_word_is_what_texts_are_cut_into(project: Project) -> None:
    found = given(project, "visual_words: [Red, cat's, '2', red]\n")
    assert found == ["2", "cat's", "red"]
    assert [split_words(word) for word in found] == [[word] for word in found]


def test_a_text_file_has_one_a_line(project: Project) -> None:
    Path("seen.txt").write_text("Red\n\n  cube \n")
    assert given(project, "visual_words: seen.txt\n") == ["cube", "red"]


def test_a_benchmark_knows_its_own_and_a_set_that_does_not_say_has_none(project: Project) -> None:
    jobs_of = targets_of(project, "visual_words: scenes\n")
    [config] = jobs_of.values()
    found = config["dataset"]["visual_words"]
    assert {"red", "circle", "crosses", "small", "top"} <= set(found)
    assert not {"left", "baker", "the"} & set(found)
    without = targets_of(project, "")
    assert [config["dataset"] for config in without.values()] == [{"name": "mine"}]
    assert list(without) == list(jobs_of), "words are no part of the name of the targets"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (None, "cannot read seen.txt"),
        (b"\xff\xfe", "no UTF-8 text"),
        (b"\n\n", "has no words"),
        (b"red\ntraffic light\n", "seen.txt, line 2: 'traffic light' is no word"),
    ],
)
def test_a_wrong_file_is_named(project: Project, content: bytes | None, fact: str) -> None:
    if content is not None:
        Path("seen.txt").write_bytes(content)
    with pytest.raises(UserError, match="data set mine: visual_words: ") as mistake:
        given(project, "visual_words: seen.txt\n")
    assert fact in str(mistake.value)
