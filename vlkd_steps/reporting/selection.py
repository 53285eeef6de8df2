"""The page's table of token selection, from what the phase `targets` noted beside its files."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlkd_steps.core import files, layout
from vlkd_steps.evaluation.scores import Run
from vlkd_steps.teachers.targets.visual_words import KEY, Measured, described


@dataclass(frozen=True)
class Selection:
    """One selection from the texts of a shot, over its seeds.

    Attributes:
        settings: as text.
        seeds: how many.
        measured: the mean over them.
        warning: why it should be changed; empty if it should not.
    """

    dataset: str
    teacher: str
    settings: str
    shot: str
    seeds: int
    measured: Measured
    warning: str


def selections(runs: Sequence[Run]) -> list[Selection]:
    """Every selection that the runs were taught by and that was measured, in their order."""
    found: dict[tuple[str, str, str, str], dict[int, tuple[Measured, dict[str, Any]]]] = {}
    for run in runs:
        if key := run.get("targets"):
            path = layout.targets_provenance(
                layout.targets(run["dataset"], run["teacher"], run["shot"], run["seed"], key)
            )
            if measured := Measured.recorded(path):
                settings = files.known_json(path)[KEY]["settings"]
                what = (run["dataset"], run["teacher"], described(settings), str(run["shot"]))
                found.setdefault(what, {})[run["seed"]] = measured, settings
    return [_together(*what, list(of_seeds.values())) for what, of_seeds in found.items()]


def warned(found: Sequence[Selection]) -> list[Selection]:
    """Those with a warning, of each data set, teacher and setting that of its last shot alone."""
    return list({(each.dataset, each.teacher, each.settings): each for each in found if each.warning}.values())


def _together(
    dataset: str, teacher: str, text: str, shot: str, of_seeds: Sequence[tuple[Measured, dict[str, Any]]]
) -> Selection:
    each = [measured for measured, _ in of_seeds]
    aucs = [measured.auc for measured in each if measured.auc is not None]
    mean = Measured(
        share=statistics.mean(measured.share for measured in each),
        by_chance=statistics.mean(measured.by_chance for measured in each),
        error=statistics.mean(measured.error for measured in each),
        auc=statistics.mean(aucs) if aucs else None,
        texts=round(statistics.mean(measured.texts for measured in each)),
    )
    return Selection(dataset, teacher, text, shot, len(each), mean, mean.warning(of_seeds[0][1]))
