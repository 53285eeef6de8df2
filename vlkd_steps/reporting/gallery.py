"""Test items on which a method and the reference differ, with the answers of every method."""

import base64
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from vlkd_steps import tasks
from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.core import artifacts, checksums, image_file, layout, tables
from vlkd_steps.evaluation.scores import Run, Scores, folder

LONGEST_SIDE = 320  # pixels; larger images are scaled down for the page
SMALL_SIDE = 96  # images up to this size are drawn with their pixels enlarged
ROUNDING = 1e-6  # a score of 0.6 may be a sum of ten terms
AHEAD = 0.5  # the share of the seeds by which one must be right more often than the other


@dataclass(frozen=True)
class Answer:
    """A variant's answer to an item: the most common one over its seeds."""

    variant: str
    text: str
    right: int  # number of seeds whose answer counts as right
    seeds: int
    score: float  # the item's score by the task's metric, mean over seeds


@dataclass(frozen=True)
class Box:
    """An object that a text refers to, such as ``person 1``; its sides in percent of the image."""

    name: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Item:
    instance_id: str
    image_path: str
    question: str
    annotated: str  # the annotators' answers
    answers: list[Answer]
    long: bool  # answers are sentences, which need a separate line
    boxes: list[Box]


@dataclass(frozen=True)
class Gallery:
    """Items of one data set and shot, chosen deterministically."""

    dataset: str
    shot: str
    evaluation_set: str
    hero: str
    reference: str
    rule: str  # what counts as right
    wins: list[Item]  # the hero right, the reference wrong
    losses: list[Item]
    all_wins: int
    all_losses: int


def gallery(
    experiment: str,
    runs: Sequence[Run],
    trained_on: str,
    evaluation: Evaluation,
    hero: str,
    reference: str,
    each: int = 12,
) -> Gallery | None:  # fmt: skip
    """Items that `hero` gets right over most of its seeds and `reference` does not, and the reverse.

    They are taken at the middle one of the shots at which both were run with the same student. Items whose right answer
    is the most frequent one come first. Among items with the largest difference, question types alternate and every
    image is shown once; ties are broken by a hash of the item's id, so the choice is deterministic and independent of
    content. The task defines what counts as right.

    Args:
        runs: those of the experiment.
        trained_on: the runs' data set; evaluation: the evaluation set.
        each: the largest number of items of either kind.

    Returns:
        None if there is no such shot.
    """
    mine = [run for run in runs if run["dataset"] == trained_on]
    of_reference = {(str(run["shot"]), run["student"]) for run in mine if run["variant"] == reference}
    of_hero = {(str(run["shot"]), run["student"]): None for run in mine if run["variant"] == hero}
    both = {place[0]: place for place in reversed(of_hero) if place in of_reference}
    shots = [shot for shot in dict.fromkeys(shot for shot, _ in of_hero) if shot in both]
    if not shots or hero == reference:
        return None
    shot, student = both[shots[len(shots) // 2]]
    mine = [run for run in mine if str(run["shot"]) == shot and run["student"] == student]
    variants = list(dict.fromkeys(run["variant"] for run in mine))

    task, scores = tasks.load(evaluation.task), Scores(experiment, evaluation.name)
    reached = {
        variant: np.stack([scores(run) / 100 for run in mine if run["variant"] == variant]) for variant in variants
    }
    right = {variant: scored >= task.right_from - ROUNDING for variant, scored in reached.items()}
    instances = pl.DataFrame({"instance_id": scores.ids()}).join(
        tables.read(artifacts.instances(evaluation.dataset)), on="instance_id", how="left", maintain_order="left"
    )
    ahead = right[hero].mean(axis=0) - right[reference].mean(axis=0)

    def given(variant: str, chosen: Sequence[int]) -> list[str]:
        """A variant's answers to some items, as text."""
        rows, own = instances[chosen], [run for run in mine if run["variant"] == variant]
        of_seeds = zip(*(_answers(experiment, run, evaluation.name, rows) for run in own), strict=True)
        pairs = zip(rows.iter_rows(named=True), of_seeds, strict=True)
        return [task.said(row, _commonest(answers)) for row, answers in pairs]

    def chosen(sign: int, variant: str) -> list[int]:
        """Up to `each` items on which a variant is ahead."""
        far = np.flatnonzero(sign * ahead > AHEAD).tolist()
        golds = map(task.gold, instances[far].iter_rows(named=True))
        usual = {place for place, gold, said in zip(far, golds, given(variant, far), strict=True) if said == gold}
        return _spread(instances, sign * ahead, usual, each)

    wins, losses = chosen(1, hero), chosen(-1, reference)
    places = wins + losses
    answered = {variant: given(variant, places) for variant in variants}
    long = task.head != "classes"
    items = []
    for number, (place, row) in enumerate(zip(places, instances[places].iter_rows(named=True), strict=True)):
        answers = [
            Answer(variant, texts[number], int(right[variant][:, place].sum()), len(right[variant]),
                   float(reached[variant][:, place].mean()))
            for variant, texts in answered.items()
        ]  # fmt: skip
        annotated, question = task.annotated(row), task.question(row)
        named = " ".join([row["text"], annotated, *(answer.text for answer in answers)]) if long else ""
        items.append(
            Item(row["instance_id"], row["image_path"], question, annotated, answers, long, boxes(row["extra"], named))
        )
    return Gallery(
        trained_on, shot, evaluation.name, hero, reference, task.right, items[: len(wins)], items[len(wins) :],
        int((ahead > AHEAD).sum()), int((ahead < -AHEAD).sum()),
    )  # fmt: skip


def _spread(instances: pl.DataFrame, ahead: np.ndarray, usual: Collection[int], most: int) -> list[int]:
    """Indices of up to `most` items: groups in turn, within a group the largest lead first, no image twice.

    Args:
        usual: items that come before the others.
    """
    ids, groups, kinds, images = (
        instances[column].to_list() for column in ("instance_id", "group", "answer_type", "image_id")
    )
    far = sorted(
        np.flatnonzero(ahead > AHEAD).tolist(), key=lambda i: (-ahead[i], hashlib.sha256(ids[i].encode()).digest())
    )
    chosen: list[int] = []
    shown: set[str] = set()
    for first in (True, False):
        queues: dict[str, list[int]] = {}
        for place in far:
            if (place in usual) == first:
                queues.setdefault(groups[place] or kinds[place] or "", []).append(place)
        while any(queues.values()):
            for group in sorted(queues):
                queues[group] = [place for place in queues[group] if images[place] not in shown]
                if queues[group]:
                    place = queues[group].pop(0)
                    shown.add(images[place])
                    chosen.append(place)
                    if len(chosen) == most:
                        return chosen
    return chosen


def _answers(experiment: str, run: Run, evaluation_set: str, chosen: pl.DataFrame) -> list[str]:
    of_run = folder(experiment, run)
    path = checksums.verified(layout.predictions(of_run, evaluation_set), layout.run_checksums(of_run, "distill"))
    predictions = tables.read(path, columns=["instance_id", "answer"])
    return chosen.join(predictions, on="instance_id", how="left", maintain_order="left")["answer"].to_list()


def _commonest(answers: Sequence[str]) -> str:
    """The answer given most often; on ties the first seed's."""
    return Counter(answers).most_common(1)[0][0]


def boxes(extra: str, text: str) -> list[Box]:
    """The boxes of the objects that `text` names with their numbers, as VCR's texts do (`datasets.vcr.spell`).

    Args:
        extra: the instance's JSON with ``objects``, ``boxes`` [x1, y1, x2, y2, ...], ``width`` and ``height``.
    """
    shown = json.loads(extra or "{}")
    width, height = shown.get("width"), shown.get("height")
    if not width or not height:
        return []
    found = []
    for number, (kind, box) in enumerate(zip(shown["objects"], shown["boxes"], strict=True), 1):
        if re.search(rf"\b{re.escape(kind)} {number}\b", text):
            left, right = (round(100 * x / width, 2) for x in (box[0], box[2]))
            top, bottom = (round(100 * y / height, 2) for y in (box[1], box[3]))
            found.append(Box(f"{kind} {number}", left, top, right, bottom))
    return found


@dataclass(frozen=True)
class InlineImage:
    uri: str
    width: int
    height: int
    pixelated: bool


def inline_image(path: str) -> InlineImage | None:
    """An image as a data URI, at most 320 pixels long; None if the file is missing or is no image."""
    try:
        content = image_file.read_bytes(Path(path))
        image = image_file.decode(content, path)
    except image_file.ImageError:
        return None
    kind = image_file.shown_as(content, path)
    if kind is None or max(image.size) > LONGEST_SIDE:
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        stream = io.BytesIO()
        image.save(stream, format="JPEG", quality=82)
        content, kind = stream.getvalue(), "image/jpeg"
    width, height = image.size
    uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return InlineImage(uri, width, height, max(width, height) <= SMALL_SIDE)
