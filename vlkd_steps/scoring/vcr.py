"""``score vcr``: Q->A, QA->R and Q->AR of a leaderboard CSV against VCR's annotations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlkd_steps.core import records
from vlkd_steps.core.records import shown
from vlkd_steps.datasets.vcr import CHOICES, LABELS
from vlkd_steps.evaluation import vcr_leaderboard
from vlkd_steps.metrics import vcr
from vlkd_steps.scoring import results
from vlkd_steps.scoring.results import FORMAT, Faults


def measure(annotations: Path, predictions: Path) -> dict[str, Any]:
    """Percentages with two decimals.

    Raises:
        UserError: a file is not in the official format, or the two belong to different items.
    """
    labels = read_labels(annotations)
    ids, scores = vcr_leaderboard.read(predictions)
    places = {annot_id: row for row, annot_id in enumerate(ids)}
    results.match(predictions, places, labels, "annotations", annotations)
    ordered = scores[[places[annot_id] for annot_id in labels]]
    gold = np.array(list(labels.values()))
    q_a, qa_r = vcr.hits(ordered, gold[:, 0], gold[:, 1])
    return vcr.percentages(q_a, qa_r) | {"annotations": len(labels)}


def rows(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [("Q->A", metrics["q_a"]), ("QA->R", metrics["qa_r"]), ("Q->AR", metrics["q_ar"])]


def notes(metrics: Mapping[str, Any]) -> list[str]:
    return [f"{metrics['annotations']:,} annotations"]


def read_labels(path: Path) -> dict[str, tuple[int, int]]:
    """answer_label and rationale_label of every annot_id, in the file's order.

    Raises:
        UserError: the file is not in VCR's format, has no labels, or an id is duplicated.
    """
    labels: dict[str, tuple[int, int]] = {}
    twice = Faults()
    for number, record in records.lines(path):
        where = f"line {number}"
        annot_id = records.field(record, "annot_id", str, path, where)
        if not any(name in record for name in LABELS):
            advice = "VCR's test labels are held by its leaderboard: send the CSV there, or score val"
            raise records.complaint(path, where, f"has no {LABELS[0]}", advice)
        pair = [records.field(record, name, int, path, where) for name in LABELS]
        for name, label in zip(LABELS, pair, strict=True):
            if not 0 <= label < CHOICES:
                raise records.complaint(path, f"{where}.{name}", f"is {label}, not one of 0 to {CHOICES - 1}", FORMAT)
        if annot_id in labels:
            twice.add(f"{shown(annot_id)} in {where}")
        labels[annot_id] = (pair[0], pair[1])
    if twice:
        problem = f"{twice.count:,} annotations are duplicated; first: {twice.first}"
        raise records.complaint(path, "", problem, "ids must be unique")
    if not labels:
        raise records.complaint(path, "", "holds no annotation", FORMAT)
    return labels
