"""Questions about images with their answers, from parquet files of Hugging Face's `datasets` (`hugging_face`).

The columns of the hub's copies of VQA v2: ``image, question, answers``, and where they exist ``question_id, image_id,
question_type, answer_type, multiple_choice_answer``. ``answers`` is a list of ten texts or of ten records with the
field ``answer``; one answer, or a text alone, counts as given by all ten annotators.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

from vlkd_steps.datasets import hugging_face, instances, vocabulary, vqa_v2
from vlkd_steps.datasets.hugging_face import (
    IDENTITY,
    IMAGE,
    OPTIONAL_TEXT,
    TEXT,
    Column,
    Row,
    is_list,
    is_text,
    is_texts,
)
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.datasets.tally import Tally
from vlkd_steps.metrics.vqa import ANSWERS


def _are_answers(kind: pa.DataType) -> bool:
    if is_text(kind) or is_texts(kind) or types.is_null(kind):
        return True
    record = kind.value_type if is_list(kind) else pa.null()
    return types.is_struct(record) and any(field.name == "answer" and is_text(field.type) for field in record)


COLUMNS = {
    "image": IMAGE,
    "question": TEXT,
    "answers": Column(_are_answers, "text, a list of texts, or a list of records with `answer`", optional=True),
    "question_id": IDENTITY,
    "image_id": IDENTITY,
    "question_type": OPTIONAL_TEXT,
    "answer_type": OPTIONAL_TEXT,
    "multiple_choice_answer": OPTIONAL_TEXT,
}

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a data set in this format.

    Args:
        dataset: the data set's conf: ``files`` {split: {parquet, images}}, ``vocabulary`` {minimum, splits}; optional
            ``columns``. A split without answers, in no row, can be read, not evaluated.
        folder: the source's raw folder.

    Raises:
        UserError: as `hugging_face.rows`; not ten answers, or rows without any among others.
    """
    codes = vqa_v2.AnswerCodes()
    tables: dict[str, dict[str, Any]] = {}
    annotated: dict[str, vqa_v2.Annotations] = {}
    counts = {}
    read_files: set[Path] = set()
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        tally = Tally.of(dataset, split)
        images = hugging_face.Images(dataset, paths, folder)
        columns: dict[str, list[Any]] = {name: [] for name in ("instance_id", "image_id", "image_path", "text")}
        given: list[list[str] | None] = []
        kept: list[Row] = []
        for row in hugging_face.rows(dataset, paths, folder, COLUMNS):
            read_files.add(row.path)
            with tally.record():
                text, identity = row.text("question"), row.identity("question_id", split)
                image_id, image_path = images.of(row, identity)
                answers = ten_answers(row)
                for name, value in zip(columns, (identity, image_id, image_path, text), strict=True):
                    columns[name].append(value)
                given.append(answers)
                kept.append(row)
        tables[split] = {**columns, "extra": ["{}"] * len(kept)}
        if found := _annotations(kept, columns["text"], given, codes):
            annotated[split] = found
            tables[split] |= {"answer_type": found.answer_types, "group": found.question_types, "extra": found.extras}
        counts[split] = tally.close(len(kept))
    labels = vqa_v2.classes(dataset, annotated, {})
    for split, each in annotated.items():
        targets = vocabulary.soft_targets(each.codes, list(codes), labels)
        tables[split] |= {"soft_labels": targets.soft_labels, "label": targets.label}
    made = {split: instances.table(columns, split) for split, columns in tables.items()}
    return Instances(instances.join(made), labels, counts, frozenset(read_files))


def answers_of(value: Any) -> list[str]:
    """The answers in a cell: a text, a list of texts, or of records with ``answer``. A single empty one is none."""
    given = [value] if isinstance(value, str) else value or []
    answers = [each["answer"] if type(each) is dict else each for each in given]
    return [] if answers == [""] else answers


def ten_answers(row: Row) -> list[str] | None:
    """The ten answers; None where there are none.

    Raises:
        UserError: another number of them, or one that is null.
    """
    answers = answers_of(row.values.get("answers"))
    if not answers:
        return None
    answers = answers * ANSWERS if len(answers) == 1 else answers
    if None in answers:
        raise row.complaint("answers", "holds an answer that is null", "leave it out, or write ten answers")
    if len(answers) != ANSWERS:
        problem = f"has {len(answers)} answers, the official metric is defined over {ANSWERS}"
        raise row.complaint("answers", problem, f"write {ANSWERS}, or one that stands for all")
    return answers


def _annotations(
    rows: list[Row], questions: list[str], given: list[list[str] | None], codes: vqa_v2.AnswerCodes
) -> vqa_v2.Annotations | None:
    """What annotators said, as `vqa_v2` has it; None where no row has answers."""
    if not any(given):
        return None
    made = vqa_v2.Annotations([], [], [], np.zeros((len(rows), ANSWERS), np.int64), [])
    for number, (row, question, answers) in enumerate(zip(rows, questions, given, strict=True)):
        if answers is None:
            column = "answers" if "answers" in row.named else "question"
            raise row.complaint(column, "has no answers, and other rows do", "leave it out, or put it in a split apart")
        answer = row.values.get("multiple_choice_answer") or vqa_v2.majority(answers)
        question_type = row.values.get("question_type") or " ".join(question.lower().split()[:2])
        made.answers.append(answer)
        made.question_types.append(question_type)
        made.answer_types.append(row.values.get("answer_type") or answer_type(answer))
        made.codes[number] = [codes[text] for text in answers]
        records = [
            {"answer": text, "answer_confidence": "yes", "answer_id": n} for n, text in enumerate(answers, start=1)
        ]
        made.extras.append(
            _encode({"answers": records, "multiple_choice_answer": answer, "question_type": question_type})
        )
    return made


def answer_type(answer: str) -> str:
    """VQA v2's answer type of an answer."""
    return "yes/no" if answer in ("yes", "no") else "number" if answer.isdecimal() else "other"
