"""The splits of a data set as files: subsets to train on and evaluation sets, each with what it shares with others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from vlkd_steps import tasks
from vlkd_steps.core import artifacts, files, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.splits import leakage, low_shot

COLUMNS = ("instance_id", "split", "image_id", "text", "label", "answer_type", "group")

WRITTEN = "classes are lower case, without articles, numbers as digits"
"""How answers must be written to be classes (`datasets.vocabulary`)."""


@dataclass(frozen=True)
class Source:
    """What splits are cut from.

    Attributes:
        dataset: the data set's conf.
        roles: the rows of every role.
        near: the group of every image that is nearly the same as another one.
        content: sha256 of the instances' content.
        pixels: sha256 over the images that they name.
        sha256: sha256 of the instances' file.
    """

    dataset: Mapping[str, Any]
    roles: Mapping[str, pl.DataFrame]
    near: Mapping[str, int]
    content: str
    pixels: str
    sha256: str


def training(source: Source, shots: Sequence[str], seeds: Sequence[int]) -> None:
    """Write the subsets of some shots, as in `low_shot.count`, for every seed.

    Raises:
        UserError: there is no role `train`, a shot is more than it holds, or a subset leaks or has no class.
    """
    dataset, roles, near = source.dataset, source.roles, source.near
    if "train" not in roles:
        raise UserError(f"data set {dataset['name']} has no role train; add it to `roles` in its conf")
    rows = roles["train"]
    refuse_unlabelled(rows, "train", dataset)
    task = tasks.load(dataset["task"])
    counted = low_shot.counted(rows, task)
    size = dataset.get("sizes", {}).get("train", len(counted))
    numbers = {shot: low_shot.count(shot, size, len(counted), dataset["name"]) for shot in shots}
    others = {role: leakage.Role(part, near) for role, part in roles.items() if role != "train"}
    everything: leakage.Leaks | None = None
    for seed in seeds:
        order = low_shot.order(counted, seed)
        for shot, number in numbers.items():
            ids = low_shot.instances_of(order.head(number), rows, task)
            chosen = rows.filter(pl.col("instance_id").is_in(ids.implode()))
            refuse_classless(chosen, dataset)
            whole = len(chosen) == len(rows)  # the same set whatever the seed
            leaks = everything if whole and everything else leakage.report(chosen, others, near)
            everything = leaks if whole else everything
            facts = {"role": "train", "shot": shot, "seed": seed, "leaks": leaks}
            write(layout.train_split(dataset["name"], shot, seed), ids, chosen, source, facts)


def evaluation(source: Source) -> None:
    """Write every evaluation set that the configuration names.

    Raises:
        UserError: an evaluation set is no role, holds questions without a label, or leaks.
    """
    dataset, roles, near = source.dataset, source.roles, source.near
    for name in dataset["evaluation_sets"]:
        if name not in roles:
            raise UserError(
                f"data set {dataset['name']}: evaluation set {name!r} is none of its roles {', '.join(roles)}; add it"
            )
        rows = roles[name].sort("instance_id")
        refuse_unlabelled(rows, name, dataset)
        others = {"train": leakage.Role(roles["train"], near)} if "train" in roles else {}
        facts = {"role": name, "leaks": leakage.report(rows, others, near)}
        write(layout.eval_split(dataset["name"], name), rows["instance_id"], rows, source, facts)


def refuse_unlabelled(rows: pl.DataFrame, role: str, dataset: Mapping[str, Any]) -> None:
    """An annotated row has a label or, where no class is its answer, an answer type; a caption has neither.

    Raises:
        UserError: the role holds questions that have no annotations.
    """
    if tasks.load(dataset["task"]).head == "written":
        return
    if rows.filter(pl.col("label").is_null() & (pl.col("answer_type") == "")).height:
        raise UserError(
            f"data set {dataset['name']}: role {role!r} takes split {dataset['roles'][role]['split']!r}, which has no "
            "annotations; give the role another split, or a share of one"
        )


def refuse_classless(chosen: pl.DataFrame, dataset: Mapping[str, Any]) -> None:
    """A subset to train on has rows with labels, unless its task is to write.

    Raises:
        UserError: it has none.
    """
    if tasks.load(dataset["task"]).head != "written" and chosen["label"].null_count() == len(chosen):
        raise UserError(
            f"data set {dataset['name']}: none of the {len(chosen)} questions to train on has a class as its answer; "
            f"{WRITTEN} ('cat', not 'Cat'): write the answers so, or, if they are, lower vocabulary.minimum or take "
            "more questions"
        )


def write(path: Path, ids: pl.Series, rows: pl.DataFrame, source: Source, facts: Mapping[str, Any]) -> None:
    """Write the ids, in order, and the manifest beside them.

    Raises:
        UserError: the split leaks in a way that the conf does not allow.
    """
    dataset = source.dataset
    leakage.refuse(facts["leaks"], path.stem, dataset["name"], dataset.get("allow_leaks", ()))
    with files.atomic(path) as temporary:
        table = pa.table({"instance_id": pa.array(ids.to_list(), pa.string())})
        pq.write_table(table, temporary, compression="zstd")
    manifest = {
        **facts,
        "dataset": dataset["name"],
        "sha256": artifacts.ids_hash(ids.to_list()),
        "n": len(ids),
        "images": rows["image_id"].n_unique(),
        "labels": count_labels(rows, dataset["name"]),
        "source": source.content,
        "pixels": source.pixels,
        "instances": source.sha256,
        "generator_version": low_shot.VERSION,
    }
    files.write_json(layout.split_manifest(path), manifest)
    step.log.info("[split %s] %s: %d questions on %d images", dataset["name"], path.stem, len(ids), manifest["images"])
    for kind in leakage.STOPPING:
        for role, number in facts["leaks"][kind].items():
            if number:
                message = f"{number} {kind.replace('_', ' ')} with role {role}"
                step.log.info("[split %s] %s has %s, as allow_leaks allows", dataset["name"], path.stem, message)


def count_labels(rows: pl.DataFrame, dataset: str) -> dict[str, int]:
    """How often each class is the best label; ``(none)`` counts the rows without one."""
    names = artifacts.labels(dataset)
    counts = rows["label"].value_counts(name="count").iter_rows()
    return {"(none)" if label is None else names[label]: count for label, count in counts}
