"""The overlap of evaluation sets with training, from their manifests, for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from vlkd_steps.core import files, layout

KINDS = ("shared_images", "near_duplicate_images", "shared_texts", "near_duplicate_texts")


def with_training(datasets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per data set and evaluation set: {dataset, set, n, images} and a count per kind of overlap.

    Sets without a manifest, or without a role train, are left out.
    """
    rows = []
    for dataset in datasets:
        for name in dataset["evaluation_sets"]:
            path = layout.split_manifest(layout.eval_split(dataset["name"], name))
            manifest = files.read_json(path) if path.is_file() else {}
            leaks = manifest.get("leaks", {})
            if all("train" in leaks.get(kind, {}) for kind in KINDS):
                counts = {kind: leaks[kind]["train"] for kind in KINDS}
                facts = {"n": manifest["n"], "images": manifest["images"]}
                rows.append({"dataset": dataset["name"], "set": name, **facts, **counts})
    return rows
