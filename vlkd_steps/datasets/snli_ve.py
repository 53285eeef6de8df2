"""SNLI-VE (https://github.com/necla-ml/SNLI-VE): an image, a hypothesis, its class. JSON lines.

The classes are those of the data set's task: SNLI-VE's three, or others where a file of this form has others.
The hypothesis is `sentence2`; `sentence1` is the caption that the image replaces and is never used.
The image key is `Flickr30K_ID`, in older files `Flikr30kID`; both are read.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlkd_steps import tasks
from vlkd_steps.core import records
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import image_files, instances
from vlkd_steps.datasets.image_files import ImageFolder
from vlkd_steps.datasets.instances import SOFT_LABEL, Instances
from vlkd_steps.datasets.tally import Tally, sentence
from vlkd_steps.splits import hypothesis_only, planted_bias
from vlkd_steps.splits.statements import Statements
from vlkd_steps.tasks import entailment

LABELS = list(entailment.TASK.labels)
"""SNLI-VE's own classes in UNITER's order."""

IMAGE_KEYS = ("Flickr30K_ID", "Flikr30kID")
NO_CONSENSUS = "-"
"""SNLI's mark for a pair that annotators disagreed on. SNLI-VE has left them out; other files may not have."""


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a data set in this format.

    Args:
        dataset: the data set's conf: ``files`` {split: {pairs, images, rule, relabelled}} and ``image_name``.
            With a ``rule`` the split is a shifted set made from these pairs, and its ids begin with the split's name:
            ``hypothesis_hard`` and ``hypothesis_easy`` (`splits.hypothesis_only`, whose scorers train on the file
            ``files.train.pairs``), ``biased`` (`splits.planted_bias`, by the entry's ``cues`` and ``share``) or
            ``given``, a file that others have shifted. ``relabelled`` names a file (JSON lines or csv) with `pairID`
            and `gold_label`: the split is those pairs with those labels.
        folder: the source's raw folder.

    Raises:
        UserError: a file that is not in the official format, with file, line and field.
    """
    tables, counts = {}, {}
    files = dataset["files"]
    votes: dict[tuple[Any, ...], list[int]] = {}
    labels = classes(dataset)
    for split in sorted(files):
        paths = files[split]
        tally = Tally.of(dataset, split)
        columns = _columns(folder / paths["pairs"], image_files.of(dataset, paths, folder), dataset, labels, tally)
        if paths.get("relabelled"):
            columns = _relabelled(columns, folder / paths["relabelled"], labels, tally)
        rule, read = paths.get("rule"), len(columns["instance_id"])
        if rule in hypothesis_only.RULES:
            items = _statements(columns)
            judged = (paths["pairs"], *map(tuple, (items.ids, items.labels)))  # `relabelled` changes both
            if judged not in votes:
                train = folder / _training(dataset)
                told = statements(train, labels, Tally.of(dataset, "train"))[1]
                votes[judged] = hypothesis_only.wrong_votes(told, items, train)
            columns = _take(columns, hypothesis_only.chosen(rule, votes[judged]))
        elif rule == "biased":
            kept = planted_bias.chosen(_statements(columns), paths.get("cues") or {}, paths.get("share", 0.5))
            columns = _take(columns, kept)
        elif rule not in (None, "given"):
            known = ", ".join([*hypothesis_only.RULES, "biased", "given"])
            raise UserError(f"data set {dataset['name']}: files.{split}.rule is {rule!r}; there are {known}")
        if others := read - len(columns["instance_id"]):
            tally.left_out[f"not chosen by rule {rule}"] += others
        if rule or paths.get("relabelled"):
            columns["instance_id"] = [f"{split}/{pair_id}" for pair_id in columns["instance_id"]]
        tables[split] = instances.table(columns, split)
        counts[split] = tally.close(len(tables[split]))
    return Instances(instances.join(tables), labels, counts)


def classes(dataset: Mapping[str, Any]) -> list[str]:
    """The classes that `gold_label` may name, in index order.

    Raises:
        UserError: the data set's task has none of its own.
    """
    found = list(tasks.load(dataset["task"]).labels)
    if not found:
        raise UserError(
            f"data set {dataset['name']}: reader snli_ve reads the classes of a task, and task {dataset['task']} "
            "names none (`labels` in its module); name another task or reader"
        )
    return found


def statements(
    path: Path, labels: Sequence[str] = tuple(LABELS), tally: Tally | None = None
) -> tuple[list[str], Statements]:
    """The pairs' ids, and what a text-only model may learn from: one entry per labelled pair of a file.

    A pair without its text is refused, or skipped by `tally`.

    Raises:
        UserError: a file that is not in the official format, with file, line and field.
    """
    columns = _columns(path, ImageFolder(None), {}, labels, tally or Tally(str(path)))
    return columns["instance_id"], _statements(columns)


def _statements(columns: Mapping[str, Any]) -> Statements:
    return Statements(columns["instance_id"], columns["image_id"], columns["text"], columns["group"])


def _training(dataset: Mapping[str, Any]) -> str:
    train = dataset["files"].get("train")
    if not train:
        raise UserError(
            f"data set {dataset['name']}: hypothesis_hard needs a split train, from which its scorers learn; add it"
        )
    return str(train["pairs"])


def _take(columns: Mapping[str, Any], kept: Sequence[bool]) -> dict[str, Any]:
    """The rows of every column that are kept; a column that is left out (None) stays so."""
    mask = pa.array(kept, pa.bool_())

    def of(values: Any) -> Any:
        if values is None:
            return None
        return values.filter(mask) if isinstance(values, pa.Array) else list(compress(values, kept))

    return {name: of(values) for name, values in columns.items()}


def _relabelled(columns: dict[str, Any], path: Path, labels: Sequence[str], tally: Tally) -> dict[str, Any]:
    """The pairs that a file of corrected labels names, with these labels; a pair that it names must exist."""
    label_of: dict[str, str] = {}
    line_of: dict[str, int] = {}
    rows = records.rows(path) if path.suffix == ".csv" else records.lines(path)
    for number, record in rows:
        where = f"line {number}"
        gold = records.field(record, "gold_label", str, path, where)
        if gold not in labels:
            raise records.complaint(path, f"{where}.gold_label", f"is {gold!r}, not one of {', '.join(labels)}")
        pair_id = records.field(record, "pairID", str, path, where)
        line_of.setdefault(pair_id, number)
        if label_of.setdefault(pair_id, gold) != gold:
            problem = f"{pair_id} is {gold} here and {label_of[pair_id]} in line {line_of[pair_id]}"
            raise records.complaint(path, f"{where}.gold_label", problem, "leave one of them out")
    if not label_of:
        raise records.complaint(path, "", "relabels no pair", "fetch it again, or take `relabelled` out of the conf")
    if unknown := sorted(set(label_of) - set(columns["instance_id"])):
        problem = f"{len(unknown)} pairs are not among those it relabels, {unknown[0]!r} first"
        raise records.complaint(path, "", problem, "use the files of one release")
    taken = _take(columns, [pair_id in label_of for pair_id in columns["instance_id"]])
    if others := len(columns["instance_id"]) - len(label_of):
        tally.left_out["not relabelled"] += others
    return taken | label_columns([label_of[pair_id] for pair_id in taken["instance_id"]], labels)


def _columns(
    path: Path, images: ImageFolder, dataset: Mapping[str, Any], labels: Sequence[str], tally: Tally
) -> dict[str, Any]:
    line_of: dict[str, int] = {}
    ids: list[str] = []
    image_ids: list[str] = []
    image_paths: list[str] = []
    texts: list[str] = []
    golds: list[str] = []
    for number, record in records.lines(path):
        where = f"line {number}"
        pair_id = records.field(record, "pairID", str, path, where)
        gold = records.field(record, "gold_label", str, path, where)
        if gold == NO_CONSENSUS:
            tally.leave_out("without consensus (gold_label '-')")
            continue
        if gold not in labels:
            raise records.complaint(path, f"{where}.gold_label", f"is {gold!r}, not one of {', '.join(labels)}")
        if line_of.setdefault(pair_id, number) != number:
            problem = f"{pair_id} already appears in line {line_of[pair_id]}"
            raise records.complaint(path, f"{where}.pairID", problem, "ids must be unique")
        key = IMAGE_KEYS[1] if IMAGE_KEYS[1] in record else IMAGE_KEYS[0]
        if record.get(IMAGE_KEYS[0], record.get(key)) != record.get(key):
            problem = f"names another image than {IMAGE_KEYS[0]}"
            raise records.complaint(path, f"{where}.{key}", problem, "keep one of them")
        image_id = records.field(record, key, str, path, where).removesuffix(".jpg")
        with tally.record():
            text = sentence(record, "sentence2", path, where)
            if images.folder is not None:
                (name,) = images.names(dataset["image_name"], [image_id])
                image_paths.append(images.path(name, path, f"{where}.{key}"))
            ids.append(pair_id)
            image_ids.append(image_id)
            texts.append(text)
            golds.append(gold)
    tally.close(len(golds))  # before a rule chooses among them
    return {
        "instance_id": ids,
        "image_id": image_ids,
        "image_path": image_paths or None,
        "text": texts,
        "extra": ["{}"] * len(golds),
        **label_columns(golds, labels),
    }


def label_columns(golds: list[str], labels: Sequence[str]) -> dict[str, Any]:
    numbers = [labels.index(gold) for gold in golds]
    return {
        "label": numbers,
        "soft_labels": pa.array([[{"label": number, "score": 1.0}] for number in numbers], pa.list_(SOFT_LABEL)),
        "group": golds,
    }
