"""From how many occurrences an answer should be a class of a VQA data set: the published 9 where the data allow it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlkd_steps.core import records
from vlkd_steps.datasets import hf_questions, hugging_face, vqa_v2
from vlkd_steps.metrics.vqa import preprocess

MINIMA = (9, 5, 3, 2, 1)
COVERED = 0.8  # of the questions must have a class as their commonest answer


class Minimum(NamedTuple):
    """How often an answer must occur, how many answers do, and the share of questions that they answer.

    Attributes:
        unlike: the commonest answer that is no class only for how it is written, such as "Cat"; empty: there is none.
    """

    minimum: int
    classes: int
    covered: float
    unlike: str


def minimum(dataset: Mapping[str, Any], folder: Path, splits: Sequence[str]) -> Minimum:
    """The largest of `MINIMA` with which the classes answer enough of the questions of some splits.

    Classes are preprocessed answers, and an answer counts as it is written (`datasets.vocabulary`).
    """
    counted: Counter[str] = Counter()
    for split in splits:
        counted.update(_answers(dataset, dataset["files"][split], folder))
    preprocessed: Counter[str] = Counter()
    for answer, times in counted.items():
        preprocessed[preprocess(answer)] += times
    made = []
    for least in MINIMA:
        names = {answer for answer, times in preprocessed.items() if times >= least}
        covered = sum(counted[name] for name in names) / max(counted.total(), 1)
        unlike = (answer for answer, _ in counted.most_common() if answer not in names and preprocess(answer) in names)
        made.append(Minimum(least, len(names), covered, next(unlike, "")))
    return next((each for each in made if each.covered >= COVERED), made[-1])


def _answers(dataset: Mapping[str, Any], paths: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """The commonest answer to each question of a split."""
    if "parquet" in paths:
        wanted = {name: hf_questions.COLUMNS[name] for name in ("answers", "multiple_choice_answer")}
        for row in hugging_face.rows(dataset, paths, folder, wanted):
            if given := hf_questions.ten_answers(row):
                yield row.values.get("multiple_choice_answer") or vqa_v2.majority(given)
        return
    path = folder / paths["annotations"]
    for number, record in enumerate(records.array(path, "annotations")):
        where = f"annotations[{number}]"
        if dataset.get("multiple_choice_answer"):
            given = records.field(record, "answers", list, path, where)
            yield vqa_v2.majority([str(each.get("answer")) for each in given if type(each) is dict] or [""])
        else:
            yield records.field(record, "multiple_choice_answer", str, path, where)
