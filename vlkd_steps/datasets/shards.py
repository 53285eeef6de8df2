"""Corpora in shards (`caption_shards`), such as CC3M: their instances are the shards, not the pairs in them.

So the graph treats such a corpus like any data set, with split and identity, and nothing in it grows with the pairs,
which are counted once. A run streams them from the shards and embeds their images itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import caption_shards, instances
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.sources import manifest

SPLIT = "train"


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """One row per shard, named by it, with its sha256 (`extra`); of a tsv one row, with a hash over its images as well.

    Args:
        dataset: the data set's conf: ``shards``, a folder of tar files, or ``tsv`` and ``images``, the folder of the
            files that it names.
        folder: the source's raw folder.

    Raises:
        UserError: there is no shard, one that is damaged, or more unusable pairs than ``max_skipped`` allows.
    """
    hashes = manifest.read(dataset["source"])
    if dataset.get("tsv"):
        below = {name: sha for name, sha in hashes.items() if Path(name).is_relative_to(dataset.get("images", "."))}
        named = {dataset["tsv"]: files.digest([hashes.get(dataset["tsv"]), below])} if dataset["tsv"] in hashes else {}
    else:
        parent = Path(dataset["shards"])
        named = {name: sha for name, sha in hashes.items() if Path(name).parent == parent and name.endswith(".tar")}
    if not named:
        wanted = dataset.get("tsv") or f"{dataset['shards']}/*.tar"
        raise UserError(
            f"data set {dataset['name']}: {folder / wanted} is missing; put the corpus into the source "
            f"{dataset['source']}, or correct `shards` or `tsv` of the data set"
        )
    columns: dict[str, Any] = {
        "instance_id": sorted(named),
        "image_id": sorted(named),
        "extra": [files.canonical({"sha256": named[name]}) for name in sorted(named)],
    }
    counts = caption_shards.counted(dataset, caption_shards.opened(dataset, folder))
    return Instances(instances.table(columns, SPLIT), [], {SPLIT: counts})
