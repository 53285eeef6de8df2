"""The official VCR v1 format (https://visualcommonsense.com), checked record by record, and its instances.

Texts are lists of tokens in which a list of whole numbers refers to `objects`. Every record has a
metadata file whose `boxes` and `segms` have one entry per object. Test files have no labels.

An annotation becomes two instances, ``<annot_id>:answer`` (Q->A) and ``<annot_id>:rationale`` (QA->R, given the
right answer), joined by `pair_id` in `extra`. Without labels there is one rationale instance per answer,
``<annot_id>:rationale_a0`` to ``_a3``, as the leaderboard expects.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from vlkd_steps.core import boxes, image_file, inside, records
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import image_files, instances
from vlkd_steps.datasets.image_files import ImageFolder
from vlkd_steps.datasets.instances import SOFT_LABEL, Instances
from vlkd_steps.datasets.tally import Tally
from vlkd_steps.splits import vcr_masking, vcr_rules, vcr_scorer

CHOICES = 4
LABELS = ("answer_label", "rationale_label")
CLASSES = ["0", "1", "2", "3"]
"""A choice's class is its position among the four."""

_CHOICES = ("answer_choices", "rationale_choices")
_STRINGS = ("img_fn", "metadata_fn", "img_id", "annot_id", "match_fold")
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


class Scene(NamedTuple):
    """The content of a metadata file: boxes [x1, y1, x2, y2, score] in pixels, and the image's size."""

    boxes: list[list[float]]
    width: int | None
    height: int | None


class Annotation(NamedTuple):
    """One checked line of a VCR file; `image` is a path, or empty where the conf names no images."""

    record: dict[str, Any]
    scene: Scene
    image: str


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a data set in this format.

    Args:
        dataset: the data set's conf: ``files`` {split: {annotations, images, metadata, rule, scores}}. ``metadata``
            is the folder that `metadata_fn` is relative to (default: `images`). With a ``rule`` the split is
            a shifted set made from the same annotations, and its ids begin with the split's name: ``singular``,
            ``plural``, ``adv_top_1``, ``keep_top_1``, ``_3``, ``_5`` (these four by the file ``scores`` or, without
            one, by this package's scorer, trained on the split ``train``), or ``given``, a file that others have
            shifted.
        folder: the source's raw folder.

    Raises:
        UserError: a file that is not in the official format, with file, line and field.
    """
    tables, counts = {}, {}
    read: set[Path] = set()
    scores = OwnScores(dataset, folder)
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        rule = _rule(dataset, split, folder, scores)
        images = image_files.of(dataset, paths, folder)
        metadata = metadata_folder(dataset, paths, folder)
        prefix = f"{split}/" if paths.get("rule") else ""
        made: list[tuple[Any, ...]] = []
        tally = Tally.of(dataset, split)
        for annotation in annotations(folder / paths["annotations"], images, metadata, tally):
            read.add(metadata / annotation.record["metadata_fn"])
            if (changed := rule(annotation.record)) is None:
                tally.left_out[f"not under rule {paths['rule']}"] += 1
            else:
                made += rows(annotation._replace(record=changed), prefix)
        tables[split] = instances.table(columns_of(made), split)
        counts[split] = tally.close(len(made))
    return Instances(instances.join(tables), CLASSES, counts, frozenset(read))


def metadata_folder(dataset: Mapping[str, Any], paths: Mapping[str, Any], folder: Path) -> Path:
    """What `metadata_fn` is relative to, by an entry of the conf's ``files``."""
    named = paths.get("metadata") or paths.get("images") or "."
    return inside.folder(folder, named, f"data set {dataset['name']}: metadata")


def pair_id(instance_id: str) -> str:
    """What the two instances of one annotation have in common: the official `annot_id`, behind a shifted set's name."""
    return instance_id.rpartition(":")[0]


def spell(tokens: Sequence[str | list[int]], objects: Sequence[str]) -> str:
    """Tokens as a sentence: a reference becomes the object's name and its number, counted from 1 as in `*_orig`."""
    words = []
    for token in tokens:
        if isinstance(token, str):
            words.append(token)
        else:
            words.append(" and ".join(f"{objects[tag]} {tag + 1}" for tag in token))
    return " ".join(" ".join(words).split())


_COLUMNS = ("instance_id", "image_id", "image_path", "text", "choices", "label", "answer_type", "extra")


def columns_of(made: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Tuples of `_COLUMNS` as columns, with soft labels."""
    columns: dict[str, Any] = {name: [row[number] for row in made] for number, name in enumerate(_COLUMNS)}
    soft = [[] if label is None else [{"label": label, "score": 1.0}] for label in columns["label"]]
    more = {"soft_labels": pa.array(soft, pa.list_(SOFT_LABEL)), "label": pa.array(columns["label"], pa.int64())}
    return columns | more


def rows(annotation: Annotation, prefix: str) -> Iterator[tuple[Any, ...]]:
    """The instances of one annotation, as tuples of `_COLUMNS`."""
    record, scene, image = annotation
    objects = record["objects"]
    pair = prefix + record["annot_id"]
    common = {
        "pair_id": pair,
        "objects": objects,
        "boxes": scene.boxes,
        "width": scene.width,
        "height": scene.height,
        "question": record["question"],
    }
    question = spell(record["question"], objects)
    answers = [spell(choice, objects) for choice in record["answer_choices"]]
    rationales = [spell(choice, objects) for choice in record["rationale_choices"]]

    def row(kind: str, text: str, choices: list[str], label: int | None, extra: dict[str, Any]) -> tuple[Any, ...]:
        kind_of_task = kind.partition("_")[0]
        encoded = _encode({**common, **extra, "kind": kind_of_task})
        return f"{pair}:{kind}", record["img_id"], image, text, choices, label, kind_of_task, encoded

    gold = record.get("answer_label")
    yield row("answer", question, answers, gold, {"choices": record["answer_choices"]})
    for given in range(CHOICES) if gold is None else [gold]:
        extra = {"choices": record["rationale_choices"], "answer": record["answer_choices"][given]}
        kind = "rationale" if gold is not None else f"rationale_a{given}"
        yield row(kind, f"{question} {answers[given]}", rationales, record.get("rationale_label"), extra)


class OwnScores:
    """Losses of masked tokens by this package's scorer (`vcr_scorer`), which is trained on first use."""

    def __init__(self, dataset: Mapping[str, Any], folder: Path) -> None:
        self.dataset, self.folder = dataset, folder
        self.scorer: vcr_scorer.BagScorer | None = None
        self.training_images: set[str] = set()
        self.made: dict[str, dict[str, vcr_masking.Losses]] = {}

    def of(self, split: str) -> dict[str, vcr_masking.Losses]:
        """By annotation, for the annotations that a split is made from.

        Raises:
            UserError: no split train, or one with the same images.
        """
        path = self.dataset["files"][split]["annotations"]
        if path not in self.made:
            scorer, found = self._trained(), {}
            for item in self._items(split):
                if item.record["img_id"] in self.training_images:
                    raise UserError(
                        f"data set {self.dataset['name']}: image {item.record['img_id']} of {path} is among those that "
                        "the scorer learns from, so its scores mean nothing; give a split train without it"
                    )
                found[item.record["annot_id"]] = scorer.losses(item)
            self.made[path] = found
        return self.made[path]

    def _trained(self) -> vcr_scorer.BagScorer:
        if self.scorer is None:
            if "train" not in self.dataset["files"]:
                raise UserError(
                    f"data set {self.dataset['name']}: a rule that masks needs a split train, from which its scorer "
                    "learns, or a file of scores (docs/shifts.md)"
                )
            read = list(self._read("train"))
            self.training_images = {annotation.record["img_id"] for annotation in read}
            order = sorted(read, key=lambda annotation: vcr_scorer.place(annotation.record))
            where = self.dataset["files"]["train"]["annotations"]
            self.scorer = vcr_scorer.BagScorer.trained(map(seen, order[: vcr_scorer.MOST]), str(where))
        return self.scorer

    def _items(self, split: str) -> Iterator[vcr_scorer.Item]:
        return map(seen, self._read(split))

    def _read(self, split: str) -> Iterator[Annotation]:
        paths = self.dataset["files"][split]
        images = image_files.of(self.dataset, paths, self.folder)
        metadata = metadata_folder(self.dataset, paths, self.folder)
        return annotations(self.folder / paths["annotations"], images, metadata, Tally.of(self.dataset, split))


def seen(annotation: Annotation) -> vcr_scorer.Item:
    """An annotation as the scorer sees it."""
    scene = annotation.scene
    looks = vcr_scorer.looks(scene.boxes, annotation.image, (scene.width, scene.height))
    return vcr_scorer.Item(annotation.record, looks)


def _rule(dataset: Mapping[str, Any], split: str, folder: Path, own: OwnScores) -> vcr_rules.Rule:
    """The function that shifts a split's records.

    Raises:
        UserError: an unknown rule, or a masking rule with neither scores nor anything to learn them from.
    """
    paths = dataset["files"][split]
    name, scores = paths.get("rule"), paths.get("scores")
    where = f"data set {dataset['name']}: files.{split}"
    if name is None or name == "given":
        return lambda record: record
    if name in vcr_rules.RULES:
        return vcr_rules.RULES[name]
    if name not in vcr_masking.KEEP:
        known = ", ".join([*vcr_rules.RULES, *vcr_masking.KEEP, "given"])
        raise UserError(f"{where}.rule is {name!r}; there are {known}")
    if scores:
        return vcr_masking.Masking(name, folder / scores)
    return vcr_masking.Masking(name, folder / paths["annotations"], own.of(split))


def annotations(path: Path, images: ImageFolder, metadata: Path, tally: Tally | None = None) -> Iterator[Annotation]:
    """Yield the annotations of a VCR jsonl file, checked; masked references (`vcr_masking.MASKED`) become [MASK].

    An annotation whose image is missing is refused, or skipped by `tally`.

    Raises:
        UserError: the first record that is not in the official format, with file, line and field.
    """
    scenes: dict[tuple[str, str], Scene] = {}
    tally = tally or Tally()
    for number, record in labelled(path):
        where = f"line {number}"
        image = None
        with tally.record():
            image = images.path(record["img_fn"], path, f"{where}.img_fn")
        if image is None:
            continue
        metadata_fn, objects = record["metadata_fn"], len(record["objects"])
        if (metadata_fn, image) not in scenes:
            named = inside.path(metadata, metadata_fn, f"{path}: {where}.metadata_fn", links=True)
            scenes[metadata_fn, image] = _scene(named, image, path, f"{where}.metadata_fn")
        scene = scenes[metadata_fn, image]
        if len(scene.boxes) != objects:
            problem = f"{metadata / metadata_fn} has {len(scene.boxes)} boxes for {objects} objects"
            raise records.complaint(path, f"{where}.metadata_fn", problem)
        yield Annotation(record, scene, image)


def labelled(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, record) of a VCR jsonl file, checked but for images and metadata.

    Raises:
        UserError: the first record that is not in the official format, with file, line and field.
    """
    line_of: dict[str, int] = {}
    has_labels: bool | None = None
    for number, record in records.lines(path):
        where = f"line {number}"
        for name in _STRINGS:
            records.field(record, name, str, path, where)
        records.field(record, "match_index", int, path, where)
        annot_id = record["annot_id"]
        if line_of.setdefault(annot_id, number) != number:
            problem = f"{annot_id} already appears in line {line_of[annot_id]}"
            raise records.complaint(path, f"{where}.annot_id", problem, "ids must be unique")
        objects = records.field(record, "objects", list, path, where)
        for position, name in enumerate(objects):
            if type(name) is not str or not name.strip():
                raise records.complaint(path, f"{where}.objects[{position}]", "must be a name")
        _check_text(record, "question", len(objects), path, where)
        for name in _CHOICES:
            choices = records.field(record, name, list, path, where)
            if len(choices) != CHOICES:
                raise records.complaint(path, f"{where}.{name}", f"has {len(choices)} choices, not {CHOICES}")
            for position in range(CHOICES):
                _check_text(dict(enumerate(choices)), position, len(objects), path, f"{where}.{name}")
            record[name] = [vcr_masking.unmarked(choice) for choice in choices]
        given = any(name in record for name in LABELS)
        if has_labels is None:
            has_labels = given
        if has_labels:
            _check_labels(record, path, where)
        elif given:
            raise records.complaint(path, f"{where}.answer_label", "is given here but not in the lines before")
        yield number, record
    if not line_of:
        raise records.complaint(path, "", "holds no annotation", "check `files` in the data set's conf")


def _check_text(record: Mapping[Any, Any], name: str | int, objects: int, path: Path, where: str) -> None:
    """A list of words and of non-empty lists of indices into `objects`, and one that is not blank."""
    field = f"{where}.{name}" if isinstance(name, str) else f"{where}[{name}]"
    tokens = record.get(name)
    if type(tokens) is not list or not tokens:
        raise records.complaint(path, field, f"must be a list of tokens, not {records.shown(tokens)}")
    for position, token in enumerate(tokens):
        if type(token) is str:
            continue
        if type(token) is not list or not token:
            raise records.complaint(path, f"{field}[{position}]", "must be a word or a list of object numbers")
        for index in token:
            # A choice may hold masked references; a question never does.
            masked = type(name) is int and type(index) is int and index >= vcr_masking.MASKED
            if type(index) is not int or not 0 <= (index - vcr_masking.MASKED if masked else index) < objects:
                problem = f"refers to object {records.shown(index)[:20]}, but there are {objects} objects"
                raise records.complaint(path, f"{field}[{position}]", problem)
    if not any(type(token) is list or token.strip() for token in tokens):
        raise records.complaint(path, field, "is empty")


def _check_labels(record: dict[str, Any], path: Path, where: str) -> None:
    for name in LABELS:
        label = records.field(record, name, int, path, where)
        if not 0 <= label < CHOICES:
            raise records.complaint(path, f"{where}.{name}", f"is {label}, not one of 0 to {CHOICES - 1}")


def _scene(metadata: Path, image: str, path: Path, where: str) -> Scene:
    try:
        there = metadata.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        there = False
    if not there:
        raise records.complaint(path, where, f"the metadata {metadata} is missing")
    content = records.document(metadata)
    if type(content) is not dict:
        raise records.complaint(metadata, "", "must be a JSON object")
    found = boxes.read(content, metadata, _size(image))
    for number, box in enumerate(found.boxes):
        if len(box) != 5:
            raise records.complaint(metadata, f"boxes[{number}]", boxes.FORM)
    segments = records.field(content, "segms", list, metadata, "")
    if len(segments) != len(found.boxes):
        raise records.complaint(metadata, "segms", f"has {len(segments)} entries for {len(found.boxes)} boxes")
    return Scene(*found)


def _size(image: str) -> tuple[int, int] | None:
    """An image's size; None where it is unknown: one that cannot be decoded is refused by those who need its pixels."""
    try:
        return image_file.size(Path(image)) if image else None
    except image_file.ImageError:
        return None
