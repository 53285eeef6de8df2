"""What the task modules define, and that no other module defines it."""

import json
import subprocess
import sys

import polars as pl
import pytest

from vlkd_steps import tasks
from vlkd_steps.core import components
from vlkd_steps.core.errors import UserError
from vlkd_steps.tasks import ACCURACY

SCORES = pl.DataFrame(
    {
        "instance_id": ["v-1:answer", "v-1:rationale", "rule_singular/v-2:rationale", "rule_singular/v-2:answer"],
        "image_id": ["a", "a", "b", "b"],
        "score": [1.0, 0.0, 1.0, 1.0],
    }
)


@pytest.mark.parametrize("name", components.names("task"))
def test_every_task_has_a_head_a_scorer_and_something_to_be_compared_by(name: str) -> None:
    task = tasks.load(name)
    assert task.head in ("classes", "choices", "written")
    assert type(task).scorer is not tasks.Task.scorer or components.load("metric", task.metric).Scorer
    assert task.compared_by
    assert task.choices == 1 or task.head == "choices"
    assert task.in_words or task.head != "written"


def test_an_unknown_task_is_named_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match="there is no task 'entailmant'; did you mean 'entailment'"):
        tasks.load("entailmant")


def test_tasks_cost_no_import_of_torch_or_polars() -> None:
    heavy = "{'torch', 'polars', 'numpy'} & set(sys.modules)"
    code = f"import sys; from vlkd_steps import tasks; tasks.metrics(); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_vcr_has_three_metrics_and_both_must_be_right_for_the_third() -> None:
    task = tasks.load("vcr")
    found = {metric.name: task.compared(SCORES, metric.name) for metric in task.compared_by}
    assert {name: part["score"].to_list() for name, part in found.items()} == {
        "q_a": [1.0, 1.0],
        "qa_r": [0.0, 1.0],
        "q_ar": [0.0, 1.0],
    }
    assert found["q_ar"]["instance_id"].to_list() == ["v-1:answer", "rule_singular/v-2:answer"]
    assert found["q_ar"]["image_id"].to_list() == ["a", "b"]


@pytest.mark.parametrize("name", ["vqa", "entailment"])
def test_other_tasks_have_the_accuracy_of_all_items(name: str) -> None:
    task = tasks.load(name)
    assert [metric.name for metric in task.compared_by] == [ACCURACY]
    assert task.compared(SCORES, ACCURACY) is SCORES


def test_only_cider_is_not_a_percentage() -> None:
    assert [name for name, metric in tasks.metrics().items() if not metric.percentage] == ["CIDEr"]


def test_generative_students_write_answers_and_captions() -> None:
    assert tasks.in_words() == ["captioning", "vqa"]


def test_vqa_strata_are_answer_type_by_the_ten_commonest_question_types() -> None:
    kinds = [f"kind {n:02d}" for n in range(12) for _ in range(20 - n)]
    found = tasks.load("vqa").strata(pl.DataFrame({"answer_type": ["other"] * len(kinds), "group": kinds}))
    assert set(found) == {*(f"other | kind {n:02d}" for n in range(10)), "other | (other)"}
    assert found.to_list().count("other | (other)") == 10 + 9


def test_other_strata() -> None:
    frame = pl.DataFrame({"answer_type": ["", ""], "group": ["neutral", "entailment"]})
    assert tasks.load("entailment").strata(frame).to_list() == ["neutral", "entailment"]
    assert tasks.load("captioning").strata(frame).to_list() == ["", ""]


@pytest.mark.parametrize(
    ("name", "row", "gold"),
    [
        ("vqa", {"extra": json.dumps({"multiple_choice_answer": "red"})}, "red"),
        ("vqa", {"extra": ""}, ""),
        ("entailment", {"group": "neutral"}, "neutral"),
        ("captioning", {"text": "a red star"}, "a red star"),
        ("vcr", {"label": 1, "choices": ["no", "yes", "who", "he"]}, "yes"),
    ],
)
def test_the_right_answer_as_text(name: str, row: dict, gold: str) -> None:
    assert tasks.load(name).gold(row) == gold


def test_an_answer_of_vcr_is_shown_by_the_text_of_its_choice() -> None:
    row = {"label": 1, "choices": ["no", "yes", "who", "he"], "text": "Who?"}
    assert tasks.load("vcr").said(row, "3") == "he"
    assert tasks.load("vqa").said(row, "3") == "3"
    assert tasks.load("vcr").question(row) == "Who?"
    assert tasks.load("captioning").question(row) == "describe the picture"
