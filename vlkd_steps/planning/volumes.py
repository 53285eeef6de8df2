"""How many items, images and texts a data set has: counted if it is prepared, else as published or as generated."""

from collections.abc import Mapping
from dataclasses import dataclass

from vlkd_steps import tasks
from vlkd_steps.benchmarks.scenes import hypotheses
from vlkd_steps.benchmarks.scenes.write import PER_IMAGE
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.source import Scenes, Source
from vlkd_steps.config.models.teacher import Teacher
from vlkd_steps.core import layout

PUBLISHED: dict[str, dict[str, int]] = {  # docs/papers.md, "Official formats and sizes"
    "vqa_v2": {"train": 443_757, "test": 214_354, "images": 82_783},
    "vqa_v2_cp": {"train": 438_000, "test": 220_000, "images": 123_287},
    "vqa_cp_v2": {"train": 438_000, "test": 220_000, "images": 123_287},
    "ok_vqa": {"train": 9_009, "test": 5_046, "images": 8_998},
    "snli_ve": {"train": 529_527, "dev": 17_858, "test": 17_901, "images": 29_783},
    "cc3m": {"train": 3_318_333, "images": 0},  # streamed: no feature of it is stored
    "vcr": {"train": 212_923, "test": 26_534, "rule_singular": 16_154, "rule_plural": 3_657, "images": 80_418},
}


@dataclass(frozen=True)
class Volume:
    """The items of one data set, as its task counts them: for VCR annotations, which are two rows each.

    Attributes:
        train: training items.
        images, texts: distinct ones among them, as a teacher sees them.
        sets: items of each evaluation set.
        source: where the numbers come from.
    """

    train: int
    images: int
    texts: int
    sets: dict[str, int]
    source: str

    def shown(self, teacher: Teacher) -> int:
        """Images that a teacher embeds: those of the training items and, with ``splits: used``, of the evaluation sets.

        Each item of those sets counts as an image of its own, so this is an upper bound.
        """
        return self.images + (sum(self.sets.values()) if teacher.splits == "used" else 0)


def of(dataset: Dataset, source: Source) -> Volume | None:
    """The volume of a data set; None if it is neither prepared, published nor generated."""
    if dataset.streamed:
        known = PUBLISHED.get(dataset.name)
        return Volume(known["train"], 0, 0, {}, "published sizes") if known else None
    if layout.instances(dataset.name).is_file():
        return _counted(dataset)
    if dataset.name in PUBLISHED:
        known = PUBLISHED[dataset.name]
        return _of_sizes(dataset, known, known["images"], "published sizes")
    if isinstance(source, Scenes):
        each = getattr(source, PER_IMAGE.get(dataset.reader, ""), len(hypotheses.LABELS))
        images = {
            name: getattr(source, name) for name in ("train", "dev", "test", "unseen_pairs", "other_style", "pretrain")
        }
        sizes = {split: each * number for split, number in images.items()}
        return _of_sizes(dataset, sizes, images["train"], "what the generator makes")
    return None


def _of_sizes(dataset: Dataset, sizes: Mapping[str, int], images: int, source: str) -> Volume:
    sets = {}
    for name in dataset.evaluation_sets:
        role = dataset.roles[name]
        base = sizes["train"] if role.split == "train" else sizes.get(name, sizes.get("test", 0))
        sets[name] = round(base * (role.share or 1.0))
    held_out = sum((role.share or 0.0) for role in dataset.roles.values() if role.split == "train")
    texts = sizes["train"] * tasks.load(dataset.task).rows
    return Volume(round(sizes["train"] * (1 - held_out)), images, texts, sets, source)


def _counted(dataset: Dataset) -> Volume:
    import polars as pl

    table = pl.scan_parquet(layout.instances(dataset.name)).select("split", "image_id", "text")
    found = table.group_by("split").agg(
        pl.len().alias("items"), pl.col("image_id").n_unique().alias("images"), pl.col("text").n_unique().alias("texts")
    )
    rows = {row["split"]: row for row in found.collect().to_dicts()}
    each = tasks.load(dataset.task).rows
    train = rows.get(dataset.roles["train"].split, {"items": 0, "images": 0, "texts": 0})
    sets = {}
    for name in dataset.evaluation_sets:
        role = dataset.roles[name]
        items = rows.get(role.split, {"items": 0})["items"] // each
        sets[name] = round(items * (role.share or 1.0))
    return Volume(train["items"] // each, train["images"], train["texts"], sets, "counted here")


def questions(shot: str, dataset: Dataset, volume: Volume) -> int:
    """How many training items a shot has."""
    if shot == "full":
        return volume.train
    if shot.endswith("pct"):
        size = dataset.sizes.train or volume.train
        return round(size * float(shot.removesuffix("pct")) / 100)
    return int(shot)
