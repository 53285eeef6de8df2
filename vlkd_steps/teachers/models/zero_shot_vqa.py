"""The share of open questions of a VQA data set that a CLIP answers without training, to check a teacher.

    python -m vlkd_steps.teachers.models.zero_shot_vqa --config '{"teacher": {"kind": "clip", "model": "vlkd-scenes",
        "weights": "asset:clip_scenes.safetensors"}, "dataset": {"name": "easy_vqa"}, "split": "test"}'

The candidates for a question are the answers of training questions of its group (VQA's question type); the one whose
prompts are nearest to the image is the answer. The question itself is not read: this measures the teacher's perception,
not its understanding of the question. Yes/no questions and numbers are left out.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from vlkd_steps.core import artifacts, step, tables
from vlkd_steps.core.arrays import unit
from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.models import clip

PROMPTS = ("a {}", "a {} shape", "something {}", "a picture of a {}")


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    path = artifacts.instances(config["dataset"]["name"])
    rows = tables.read(path, columns=["split", "image_path", "group", "answer_type", "label"])
    rows = rows.filter((pl.col("answer_type") == "other") & pl.col("label").is_not_null())
    labels = artifacts.labels(config["dataset"]["name"])
    result = accuracy(clip.load(config["teacher"]), rows, labels, config["split"])
    for group, value in result.items():
        step.log.info(f"{100 * value:5.1f} %  {group}")
    return 0


def accuracy(teacher: clip.ClipTeacher, rows: pl.DataFrame, labels: Sequence[str], split: str) -> dict[str, float]:
    """Share of questions of `split` whose most common answer is chosen, 0..1, by group and for ``all``.

    Args:
        rows: ``split, image_path, group, label``; the candidates come from split ``train``.
        labels: the answer vocabulary.

    Raises:
        UserError: no row of `split`.
    """
    test = rows.filter(pl.col("split") == split)
    if test.is_empty():
        raise UserError(f"there is no open question in split {split!r}; the data set has {sorted(set(rows['split']))}")
    answers = unit(np.stack([unit(teacher.text_vectors([p.format(a) for p in PROMPTS])).mean(0) for a in labels]))
    paths = sorted(set(test["image_path"].to_list()))
    features = [teacher.embed_images([teacher.load_image(Path(p)) for p in part]) for part in _chunks(paths, 256)]
    score = unit(np.concatenate(features)) @ answers.T
    row = {path: number for number, path in enumerate(paths)}
    candidates = {
        group[0]: sorted(set(part["label"].to_list()))
        for group, part in rows.filter(pl.col("split") == "train").group_by("group")
    }
    right: dict[str, list[bool]] = {}
    for path, group, label in test.select("image_path", "group", "label").iter_rows():
        among = candidates.get(group, [])
        best = among[int(score[row[path], among].argmax())] if among else -1
        right.setdefault(group, []).append(best == label)
    every = [hit for hits in right.values() for hit in hits]
    return {"all": float(np.mean(every)), **{group: float(np.mean(hits)) for group, hits in sorted(right.items())}}


def _chunks(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


if __name__ == "__main__":
    raise SystemExit(main())
