"""``score vqa``: the VQA soft accuracy of an official results list, overall, per question type and per answer type.

The annotations are read record by record, and of the two million answers of VQA v2's val only the texts are kept.
Those that differ are normalised, and whole columns compared.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from vlkd_steps.core import records
from vlkd_steps.core.records import shown
from vlkd_steps.metrics.percentages import by, percent
from vlkd_steps.metrics.vqa import ANSWERS, TEN, all_differ, fault, soft_accuracies, soft_accuracy
from vlkd_steps.scoring import results as result_lists
from vlkd_steps.scoring.results import FORMAT, Faults


def measure(
    annotations: Path, results: Path, questions: Path | None = None, per_question: bool = False
) -> dict[str, Any]:
    """Percentages with two decimals, as the official evaluator gives them.

    Raises:
        UserError: a file is not in the official format, or the files belong to different questions.
    """
    answers = result_lists.read(results, "question_id", int, "answer")
    table = accuracies(annotations, answers, results)
    if questions:
        wanted = question_ids(questions)
        annotated = table["question_id"].to_list()
        result_lists.match(annotations, annotated, wanted, "questions", questions, "annotation")
    metrics: dict[str, Any] = {
        "overall": percent(table["score"]),
        "per_question_type": by(table, "question_type"),
        "per_answer_type": by(table, "answer_type"),
        "questions": len(table),
    }
    if per_question:
        pairs = zip(table["question_id"], table["score"], strict=True)
        metrics["per_question"] = {str(question): round(100 * score, 2) for question, score in pairs}
    return metrics


def rows(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [("overall", metrics["overall"]), *metrics["per_answer_type"].items()]


def notes(metrics: Mapping[str, Any]) -> list[str]:
    types = len(metrics["per_question_type"])
    return [f"{metrics['questions']:,} questions of {types} question types; each type's accuracy is in --out"]


def accuracies(path: Path, answers: Mapping[int, str], results_path: Path) -> pl.DataFrame:
    """The soft accuracy of every annotated question, in the annotations' order.

    Args:
        path: the official annotations, or a plain list of them (VQA-CP).
        answers: the predicted answer of each question id.
        results_path: the file that they came from, for messages.

    Returns:
        question_id, question_type, answer_type, score in [0, 1].

    Raises:
        UserError: an annotation is not in the official format or duplicated, or the answers do not fit.
    """
    ids: dict[int, int] = {}  # with its place
    numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)  # of the texts that differ
    references: list[int] = []
    alike: dict[int, list[dict[str, Any]]] = {}  # of a few: records that may equal one another
    question_types: list[str] = []
    answer_types: list[str] = []
    twice = Faults()
    for number, record in enumerate(records.array(path, "annotations")):
        # The quick path of a sound record; _explain checks again, slowly, and reports what is wrong.
        try:
            question_id, question_type = record["question_id"], record["question_type"]
            answer_type, given = record["answer_type"], record["answers"]
            texts = [answer["answer"] for answer in given]
            "".join((question_type, answer_type, *texts))  # TypeError: not all of them are strings
            sound = len(texts) == ANSWERS and type(question_id) is int and abs(question_id) < 1 << 63
        except (KeyError, TypeError):
            sound = False
        if not sound:
            _explain(record, path, f"annotations[{number}]")
        if question_id in ids:
            twice.add(shown(question_id))
            continue
        if not all_differ(given):
            if fault(given):
                _explain(record, path, f"annotations[{number}]")
            alike[question_id] = given
        ids[question_id] = len(ids)
        references.extend(map(numbers.__getitem__, texts))
        question_types.append(question_type)
        answer_types.append(answer_type)
    if not ids:
        raise records.complaint(path, "annotations", "is empty", FORMAT)
    if twice:
        problem = f"{twice.count:,} questions are annotated a second time; first: {twice.first}"
        raise records.complaint(path, "", problem, "ids must be unique")
    result_lists.match(results_path, answers, ids, "questions", path)
    predicted = [numbers[answers[question]] for question in ids]
    scores = soft_accuracies(list(numbers), references, predicted)
    for question, given in alike.items():
        scores[ids[question]] = soft_accuracy(answers[question], given)
    return pl.DataFrame(
        {
            "question_id": pl.Series(list(ids), dtype=pl.Int64),
            "question_type": question_types,
            "answer_type": answer_types,
            "score": scores,
        }
    )


def question_ids(path: Path) -> list[int]:
    """The ids of an official questions file.

    Raises:
        UserError: an id is missing, no whole number, or duplicated.
    """
    ids = [
        records.field(record, "question_id", int, path, f"questions[{number}]")
        for number, record in enumerate(records.array(path, "questions"))
    ]
    twice = Faults.of(shown(name) for name, times in Counter(ids).items() if times > 1)
    if twice:
        raise records.complaint(path, "", f"{twice.count:,} questions are duplicated; first: {twice.first}")
    return ids


def _explain(record: dict[str, Any], path: Path, where: str) -> None:
    """Raise the complaint about a record that the quick path refused."""
    records.field(record, "question_id", int, path, where)
    for name in ("question_type", "answer_type"):
        records.field(record, name, str, path, where)
    given = records.field(record, "answers", list, path, where)
    for number, answer in enumerate(given):
        place = f"{where}.answers[{number}]"
        if type(answer) is not dict:
            raise records.complaint(path, place, f"must be an object, not {shown(answer)}", FORMAT)
        records.field(answer, "answer", str, path, place)
    raise records.complaint(path, f"{where}.answers", fault(given), TEN)
