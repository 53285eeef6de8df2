"""``score snli_ve``: accuracy over three classes, overall, per class, and averaged over the classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from vlkd_steps.core import records
from vlkd_steps.core.records import shown
from vlkd_steps.datasets.snli_ve import LABELS, NO_CONSENSUS
from vlkd_steps.metrics.percentages import by, macro, percent
from vlkd_steps.scoring import results as result_lists
from vlkd_steps.scoring.results import FORMAT, Faults


def measure(annotations: Path, results: Path) -> dict[str, Any]:
    """Percentages with two decimals, and the counts behind them by gold and predicted class.

    Pairs without consensus (gold_label "-") can be neither right nor wrong: they are left out, and so are results
    for them.

    Raises:
        UserError: a file is not in its format, or the two belong to different pairs.
    """
    gold, undecided = read_gold(annotations)
    predicted = result_lists.read(results, "pairID", str, "label")
    for name in undecided:
        predicted.pop(name, None)
    wrong = Faults.of(f"{shown(label)} for {shown(name)}" for name, label in predicted.items() if label not in LABELS)
    if wrong:
        problem = f"{wrong.count:,} labels are none of {', '.join(LABELS)}; first: {wrong.first}"
        raise records.complaint(results, "", problem, FORMAT)
    result_lists.match(results, predicted, gold, "pairs", annotations)

    chosen = [predicted[name] for name in gold]
    table = pl.DataFrame({"gold": list(gold.values()), "predicted": chosen}).with_columns(
        score=(pl.col("gold") == pl.col("predicted")).cast(pl.Float64)
    )
    classes = by(table, "gold")
    counts = {label: dict.fromkeys(LABELS, 0) for label in sorted(classes)}
    for right, answer in zip(gold.values(), chosen, strict=True):
        counts[right][answer] += 1
    return {
        "overall": percent(table["score"]),
        "macro": macro(table, "gold"),
        "per_label": classes,
        "confusion": counts,
        "pairs": len(gold),
        "without_consensus": len(undecided),
    }


def rows(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [("overall", metrics["overall"]), ("mean over classes", metrics["macro"]), *metrics["per_label"].items()]


def notes(metrics: Mapping[str, Any]) -> list[str]:
    without = metrics["without_consensus"]
    left_out = f"; {without:,} without consensus (gold_label '-') left out" if without else ""
    return [f"{metrics['pairs']:,} pairs{left_out}"]


def read_gold(path: Path) -> tuple[dict[str, str], list[str]]:
    """The gold label of every pair, and the pairs that have none.

    Raises:
        UserError: the file is not in SNLI-VE's format, a pair is duplicated, or none is labelled.
    """
    gold: dict[str, str] = {}
    twice = Faults()
    for number, record in records.lines(path):
        where = f"line {number}"
        pair_id = records.field(record, "pairID", str, path, where)
        label = records.field(record, "gold_label", str, path, where)
        if label not in (*LABELS, NO_CONSENSUS):
            problem = f"is {shown(label)}, not one of {', '.join(LABELS)}"
            raise records.complaint(path, f"{where}.gold_label", problem, FORMAT)
        if pair_id in gold:
            twice.add(f"{shown(pair_id)} in {where}")
        gold[pair_id] = label
    if twice:
        problem = f"{twice.count:,} pairs are duplicated; first: {twice.first}"
        raise records.complaint(path, "", problem, "ids must be unique")
    undecided = [name for name, label in gold.items() if label == NO_CONSENSUS]
    for name in undecided:
        del gold[name]
    if not gold:
        raise records.complaint(path, "", "holds no labelled pair", FORMAT)
    return gold, undecided
