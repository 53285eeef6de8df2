"""VQA v2 questions and annotations (https://visualqa.org), and whatever is written in that format.

Also VQA-CP v2, whose top level is a plain list and whose records name their `coco_split`, and OK-VQA, whose
annotations have no `multiple_choice_answer`. The official evaluator needs the ten complete answer records
(docs/papers.md, "Official evaluators"). An ``annotations: null`` in the conf is a test set without labels.
"""

import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from vlkd_steps.core import records
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import image_files, instances, vocabulary
from vlkd_steps.datasets.image_files import ImageFolder
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.datasets.tally import Tally, Unusable, sentence
from vlkd_steps.metrics.vqa import ANSWERS, TEN, fault
from vlkd_steps.splits import changing_priors

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


@dataclass
class Questions:
    """One questions file, as columns in the file's order."""

    path: Path
    ids: list[int] = field(default_factory=list)
    image_ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    coco_splits: list[str] = field(default_factory=list)  # VQA-CP: the COCO split that the image is of
    unusable: set[int] = field(default_factory=set)  # rows without a text or an image, which are skipped


@dataclass
class Annotations:
    """One annotations file, as columns in the order of its questions file."""

    question_types: list[str]
    answer_types: list[str]
    answers: list[str]  # the multiple_choice_answer of each question
    codes: np.ndarray  # int [N, 10]: each annotator's raw answer, as an index into AnswerCodes
    extras: list[str]  # JSON, for the evaluator


class AnswerCodes(dict[str, int]):
    """Raw answers numbered in the order of their first appearance."""

    def __missing__(self, answer: str) -> int:
        self[answer] = len(self)
        return self[answer]


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a data set in this format.

    Args:
        dataset: the data set's conf: ``files`` {split: {questions, annotations, images}}, ``image_name``,
            ``vocabulary`` {minimum, splits}; optional ``multiple_choice_answer: majority`` (annotations that do not
            name their commonest answer) and ``resplit`` {rule, test_share, exchanged} (see `_split_again`).
        folder: the source's raw folder.

    Raises:
        UserError: a file that is not in the official format, with file, record and field.
    """
    codes = AnswerCodes()
    tables: dict[str, dict[str, Any]] = {}
    annotated: dict[str, Annotations] = {}
    counts: dict[str, dict[str, Any]] = {}
    skipped: dict[str, set[int]] = {}
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        tally = Tally.of(dataset, split)
        questions = read_questions(folder / paths["questions"], tally)
        if paths.get("annotations"):
            path = folder / paths["annotations"]
            annotated[split] = read_annotations(path, questions, codes, dataset.get("multiple_choice_answer"))
        images = image_files.of(dataset, paths, folder)
        tables[split] = _columns(questions, annotated.get(split), images, dataset, tally)
        skipped[split] = questions.unusable
        counts[split] = tally.close(len(questions.ids) - len(questions.unusable))

    parts = _split_again(dataset, tables, annotated)
    labels = classes(dataset, annotated, parts)
    raw_answers = list(codes)
    for split, annotations in annotated.items():
        targets = vocabulary.soft_targets(annotations.codes, raw_answers, labels)
        tables[split] |= {"soft_labels": targets.soft_labels, "label": targets.label}
        tables[split] |= {"split": parts[split]} if parts else {}
    # pop: a split's Python strings go as soon as they are arrow's, which halves the peak at VQA v2's size
    return Instances(
        instances.join({split: instances.table(tables.pop(split), split, skipped[split]) for split in sorted(tables)}),
        labels,
        counts,
    )


def read_questions(path: Path, tally: Tally | None = None) -> Questions:
    """Read ``{questions: [{question_id, image_id, question}]}``; an empty question is refused, or skipped by `tally`.

    Raises:
        UserError: a missing or wrong field, an empty question, a repeated id.
    """
    questions, tally = Questions(path), tally or Tally()
    for number, record in enumerate(records.array(path, "questions")):
        where = f"questions[{number}]"
        questions.ids.append(records.field(record, "question_id", int, path, where))
        questions.image_ids.append(records.field(record, "image_id", int, path, where))
        questions.texts.append("")
        with tally.record():
            questions.unusable.add(number)
            questions.texts[-1] = sentence(record, "question", path, where)
            questions.unusable.remove(number)
        if "coco_split" in record:
            questions.coco_splits.append(records.field(record, "coco_split", str, path, where))
    if not questions.ids:
        raise records.complaint(path, "questions", "is empty", "check `files` in the data set's conf")
    _refuse_repeats(questions.ids, path, "questions")
    return questions


def read_annotations(
    path: Path, questions: Questions, codes: AnswerCodes, multiple_choice_answer: str | None = None
) -> Annotations:
    """Read ``{annotations: [...]}`` and put it in the questions' order; new raw answers enter `codes`.

    Args:
        path: the annotations file.
        questions: what it annotates.
        codes: the raw answers seen so far.
        multiple_choice_answer: ``majority`` where the records do not have that field: then it is the answer that most
            annotators gave, ties broken alphabetically.

    Raises:
        UserError: a missing or wrong field, no ten answers that differ by id, a repeated id, a question without
            an annotation or the reverse, or another image than the question's.
    """
    position_of = {question_id: position for position, question_id in enumerate(questions.ids)}
    ids: list[int] = []
    positions, flat = array("q"), array("q")
    question_types: list[str] = []
    answer_types: list[str] = []
    answers: list[str] = []
    extras: list[str] = []
    for number, record in enumerate(records.array(path, "annotations")):
        # The fast path for a valid record; _explain checks again, slowly, and reports what is wrong.
        try:
            given = [answer["answer"] for answer in record["answers"]]
            question_id, question_type = record["question_id"], record["question_type"]
            answer = majority(given) if multiple_choice_answer else record["multiple_choice_answer"]
            answer_type = record["answer_type"]
            position = position_of[question_id]
            valid = (
                not fault(record["answers"])
                and set(map(type, (*given, question_type, answer_type, answer))) == {str}
                and type(question_id) is int
                and answer_type
                and record["image_id"] == questions.image_ids[position]
            )
        except (KeyError, TypeError, ValueError):  # ValueError: there is no answer to be the commonest
            valid = False
        if not valid:
            names = ("question_type", "answer_type", *(() if multiple_choice_answer else ("multiple_choice_answer",)))
            _explain(record, names, path, f"annotations[{number}]", questions, position_of)
        ids.append(question_id)
        positions.append(position)
        question_types.append(question_type)
        answer_types.append(answer_type)
        answers.append(answer)
        flat.extend([codes[text] for text in given])
        extras.append(
            _encode({"answers": record["answers"], "multiple_choice_answer": answer, "question_type": question_type})
        )
    _refuse_repeats(ids, path, "annotations")
    if len(ids) < len(questions.ids):
        annotated = set(ids)
        missing = next(n for n, question_id in enumerate(questions.ids) if question_id not in annotated)
        raise records.complaint(
            questions.path,
            f"questions[{missing}].question_id",
            f"{questions.ids[missing]} has no annotation in {path}",
            "use the two files of one release, or write `annotations: null` for a test set without labels",
        )
    order = np.argsort(np.frombuffer(positions, np.int64))
    return Annotations(
        [question_types[n] for n in order],
        [answer_types[n] for n in order],
        [answers[n] for n in order],
        np.frombuffer(flat, np.int64).reshape(-1, ANSWERS)[order],
        [extras[n] for n in order],
    )


def majority(answers: Sequence[str]) -> str:
    """The answer given most often, ties broken alphabetically."""
    return min(Counter(answers).items(), key=lambda item: (-item[1], item[0]))[0]


def _explain(
    record: dict[str, Any],
    strings: Sequence[str],
    path: Path,
    where: str,
    questions: Questions,
    position_of: dict[int, int],
) -> NoReturn:
    """Raise the error for a record that the fast path rejected; the fields `strings` must be strings."""
    question_id = records.field(record, "question_id", int, path, where)
    image_id = records.field(record, "image_id", int, path, where)
    for name in strings:
        records.field(record, name, str, path, where)
    if not record["answer_type"]:
        raise records.complaint(path, f"{where}.answer_type", "is empty", "write e.g. yes/no, number or other")
    given = records.field(record, "answers", list, path, where)
    for number, answer in enumerate(given):
        entry = f"{where}.answers[{number}]"
        if type(answer) is not dict:
            raise records.complaint(path, entry, f"must be an object, not {records.shown(answer)}")
        records.field(answer, "answer", str, path, entry)
    if problem := fault(given):
        raise records.complaint(path, f"{where}.answers", problem, TEN)
    if question_id not in position_of:
        problem = f"{question_id} is no question of {questions.path}"
        raise records.complaint(path, f"{where}.question_id", problem, "use the two files of one release")
    expected = questions.image_ids[position_of[question_id]]
    problem = f"is {image_id}, but question {question_id} asks about image {expected} in {questions.path}"
    raise records.complaint(path, f"{where}.image_id", problem, "use the two files of one release")


def _refuse_repeats(ids: list[int], path: Path, key: str) -> None:
    first: dict[int, int] = {}
    for number, question_id in enumerate(ids):
        if first.setdefault(question_id, number) != number:
            problem = f"{question_id} already appears in {key}[{first[question_id]}]"
            raise records.complaint(path, f"{key}[{number}].question_id", problem, "ids must be unique")


def _columns(
    questions: Questions,
    annotations: Annotations | None,
    images: ImageFolder,
    dataset: Mapping[str, Any],
    tally: Tally,
) -> dict[str, Any]:
    """The columns of one split that do not depend on the vocabulary."""
    columns: dict[str, Any] = {
        "instance_id": [str(question_id) for question_id in questions.ids],
        "image_id": [str(image_id) for image_id in questions.image_ids],
        "text": pa.array(questions.texts),
    }
    if images.folder is not None:
        named = {"coco_split": questions.coco_splits} if len(questions.coco_splits) == len(questions.ids) else {}
        names = images.names(dataset["image_name"], questions.image_ids, **named)
        columns["image_path"] = [""] * len(names)
        for number, name in enumerate(names):
            try:
                columns["image_path"][number] = images.path(name, questions.path, f"questions[{number}].image_id")
            except Unusable as error:
                if number not in questions.unusable:
                    tally.skip(error)
                questions.unusable.add(number)
    if annotations is None:
        columns["extra"] = ["{}"] * len(questions.ids)
    else:
        columns |= {
            "answer_type": annotations.answer_types,
            "group": annotations.question_types,
            "extra": pa.array(annotations.extras),
        }
        annotations.extras.clear()
    return columns


def _split_again(
    dataset: Mapping[str, Any], tables: Mapping[str, dict[str, Any]], annotated: Mapping[str, Annotations]
) -> dict[str, list[str]]:
    """The new split, ``train`` or ``test``, of every annotated question; nothing without ``resplit`` in the conf.

    ``resplit: {rule: changing_priors, test_share: 0.33, exchanged: 0}`` pools all files and divides them so that the
    answers' priors differ between training and test (`splits.changing_priors`).

    Raises:
        UserError: an unknown rule, or a file without annotations.
    """
    conf = dataset.get("resplit")
    if not conf:
        return {}
    where = f"data set {dataset['name']}: resplit"
    if conf.get("rule") != "changing_priors":
        raise UserError(f"{where}.rule is {conf.get('rule')!r}; there is changing_priors")
    if missing := sorted(set(tables) - set(annotated)):
        raise UserError(f"{where} needs the answers of all files, but {missing[0]!r} has none; take it out of `files`")
    order = sorted(annotated)
    groups = [
        (question_type, answer)
        for split in order
        for question_type, answer in zip(annotated[split].question_types, annotated[split].answers, strict=True)
    ]
    texts = (text for split in order for text in tables[split]["text"].to_pylist())
    part_of = changing_priors.assign(groups, texts, conf.get("test_share", changing_priors.TEST_SHARE))
    ids = [int(number) for split in order for number in tables[split]["instance_id"]]
    assigned = iter(changing_priors.divide(ids, groups, part_of, conf.get("exchanged", 0)))
    return {split: [next(assigned) for _ in annotated[split].answers] for split in order}


def classes(
    dataset: Mapping[str, Any], annotated: Mapping[str, Annotations], parts: Mapping[str, Sequence[str]]
) -> list[str]:
    """The classes, from the splits that the conf names (after a re-split: the new ones).

    Raises:
        UserError: a split without annotations is named, or no answer is frequent enough.
    """
    conf = dataset["vocabulary"]
    answers: dict[str, list[str]] = {split: annotations.answers for split, annotations in annotated.items()}
    if parts:
        answers = {"train": [], "test": []}
        for split in sorted(annotated):
            for part, answer in zip(parts[split], annotated[split].answers, strict=True):
                answers[part].append(answer)
    for split in conf["splits"]:
        if split not in answers:
            raise UserError(
                f"data set {dataset['name']}: vocabulary.splits names {split!r}, which has no annotations; "
                f"annotated are: {', '.join(sorted(answers)) or 'none'}"
            )
    labels = vocabulary.build((answer for split in conf["splits"] for answer in answers[split]), conf["minimum"])
    if not labels:
        raise UserError(
            f"data set {dataset['name']}: no answer occurs {conf['minimum']} times in {', '.join(conf['splits'])}; "
            "lower vocabulary.minimum in its conf"
        )
    return labels
