"""Instances as tables: the items of a split over their distinct images and passages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vlkd_steps.core import artifacts
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import passages
from vlkd_steps.data.passages import Passages


@dataclass(frozen=True)
class Items:
    """The instances of one split, in its order; N items over distinct images and texts.

    Attributes:
        ids: N instance ids.
        image_ids, image_paths: of the distinct images; `image_rows` int64 [N] says which one an item shows.
        passages: the distinct passages that a student reads; `passage_rows` int64 [N, A] says which ones an item has,
            one, or one for each of its A choices.
        texts: the distinct texts that the teacher reads; `text_rows` int64 [N] says which one an item has, of an item
            with choices that of the right one. `text_passages`: int64, the number of each one's passage.
        label_ids: int64 [N, K], the classes with a score, padded with C (one past the last class).
        label_scores: float32 [N, K], their scores in (0, 1], padded with 0.
        labels: the C classes in index order.
    """

    ids: list[str]
    image_ids: list[str]
    image_paths: list[Path]
    image_rows: Tensor
    passages: Passages
    passage_rows: Tensor
    texts: list[str]
    text_rows: Tensor
    text_passages: np.ndarray
    label_ids: Tensor
    label_scores: Tensor
    labels: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def choices(self) -> int:
        """A: how many passages an item has."""
        return self.passage_rows.shape[1]

    def soft_labels(self, index: Tensor | None = None) -> Tensor:
        """Dense targets, float32 [B, C], of the items in `index` (of all, without it)."""
        ids = self.label_ids if index is None else self.label_ids[index]
        scores = self.label_scores if index is None else self.label_scores[index]
        dense = torch.zeros(len(ids), len(self.labels) + 1, device=ids.device)
        return dense.scatter_(1, ids, scores)[:, :-1]

    def right_choices(self, index: Tensor | None = None) -> Tensor:
        """int64 [B]: which of its A choices is the right one of the items in `index` (of all, without it).

        0 where an item has one passage or no label.
        """
        best: Tensor = self.label_ids[:, 0] if index is None else self.label_ids[index, 0]
        return torch.where(best < self.choices, best, 0)


def read_items(instances: Path, split: Path | None, labels: Sequence[str], only: str | None = None) -> Items:
    """Read the instances that `split` lists, in its order; without a split, those whose file group is `only`.

    Raises:
        UserError: a split that names an instance which the data set does not have.
    """
    frame = pl.scan_parquet(instances)
    if split is not None:
        ids = pl.LazyFrame({"instance_id": artifacts.split_ids(split)}, schema={"instance_id": pl.String})
        found = ids.join(frame, on="instance_id", how="left", maintain_order="left").collect()
        lost = found.filter(pl.col("image_id").is_null())
        if len(lost):
            raise UserError(
                f"{split} lists {len(lost)} instances that {instances} does not have, {lost['instance_id'][0]!r} among "
                "them; the split is older than the instances: delete it and run snakemake again"
            )
    else:
        found = (frame if only is None else frame.filter(pl.col("split") == only)).collect()
    return from_frame(found, labels)


def from_frame(frame: pl.DataFrame, labels: Sequence[str]) -> Items:
    """Instances (columns: docs/own_data.md, "The instances") as `Items`.

    Raises:
        UserError: instances have choices, but not as many as there are classes, or not all as many.
    """
    images = frame.unique("image_id", keep="first", maintain_order=True)
    image_row = {name: row for row, name in enumerate(images["image_id"])}
    read, rows = passages.of(frame)
    if passages.has_choices(frame) and rows.shape[1] != len(labels):
        raise UserError(
            f"instance {frame['instance_id'][0]} has {rows.shape[1]} choices, but its data set has {len(labels)} "
            f"classes ({', '.join(labels)}); a class is the position of a choice: prepare the data set again"
        )
    passage_rows = torch.from_numpy(rows)
    label_ids, scores = _soft(frame, len(labels))
    items = Items(
        ids=frame["instance_id"].to_list(),
        image_ids=images["image_id"].to_list(),
        image_paths=[Path(p) for p in images["image_path"]],
        image_rows=torch.tensor([image_row[i] for i in frame["image_id"]], dtype=torch.int64),
        passages=read,
        passage_rows=passage_rows,
        texts=[],
        text_rows=passage_rows[:, 0],
        text_passages=np.arange(0),
        label_ids=torch.from_numpy(label_ids),
        label_scores=torch.from_numpy(scores),
        labels=list(labels),
    )
    return with_teacher_texts(items)


def _soft(frame: pl.DataFrame, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """`Items.label_ids` and `label_scores`: an instance's soft labels, or the hard one in full if it has none."""
    numbered = frame.select("label", "soft_labels").with_row_index("row")
    soft = numbered.explode("soft_labels").drop_nulls("soft_labels")
    soft = soft.select("row", pl.col("soft_labels").struct.field("label"), pl.col("soft_labels").struct.field("score"))
    hard = numbered.join(soft, on="row", how="anti").drop_nulls("label").select("row", "label", score=pl.lit(1.0))
    pairs = pl.concat([soft, hard], how="vertical_relaxed")
    row = pairs["row"].to_numpy().astype(np.int64)
    place = pairs.select(pl.int_range(pl.len()).over("row")).to_series().to_numpy()
    shape = len(frame), int(place.max(initial=0)) + 1
    label_ids, scores = np.full(shape, classes, dtype=np.int64), np.zeros(shape, np.float32)
    label_ids[row, place], scores[row, place] = pairs["label"].to_numpy(), pairs["score"].to_numpy()
    return label_ids, scores


def with_teacher_texts(items: Items) -> Items:
    """Add what the teacher reads: the passage of an item or of its right choice, as one text."""
    if items.choices == 1:
        return replace(items, texts=items.passages.texts(), text_passages=np.arange(len(items.passages)))
    right = items.passage_rows.gather(1, items.right_choices()[:, None])[:, 0]
    read, text_rows = right.unique(return_inverse=True)
    return replace(items, texts=items.passages.texts(read), text_rows=text_rows, text_passages=read.numpy())
