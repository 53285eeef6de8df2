"""Instances as tensors: every distinct passage tokenised once, every distinct image decoded once, batches by number."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch import Tensor

from vlkd_steps.core import artifacts, image_file, scratch
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import loader, passages
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.data.passages import Passages
from vlkd_steps.data.tokenizer import Tokenised

SMALL = 128  # pixels; a set of smaller images is decoded faster than processes for it are started
PIECE = 64  # images that a process decodes at a time
IN_MEMORY = 1 << 30  # bytes of decoded images that one set may hold; larger sets are decoded batch by batch


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


@dataclass(frozen=True)
class IndexedTensor:
    """A table [R, ...] read through rows [N, ...]: what many items share is stored once. Row -1 reads the last one."""

    table: Tensor
    rows: Tensor

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.table[self.rows[index]]

    def to(self, device: torch.device) -> Self:
        return replace(self, table=self.table.to(device), rows=self.rows.to(device))


@dataclass(frozen=True)
class Batch:
    """What a student and an objective see of B items.

    Attributes:
        inputs: the student's inputs, one row per item, or one per choice.
        labels: float32 [B, C].
        image_rows, text_rows: int64 [B]; equal numbers mean the same image, the same text.
        gold: int64 [B], the row of each item's right choice, which alone is distilled; None: an item is one row.
        extra: what the method prepared, a tensor [B, ...] per name.
    """

    inputs: Inputs
    labels: Tensor
    image_rows: Tensor
    text_rows: Tensor
    gold: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> Self:
        """The batch on another device; one in page-locked memory is copied while computing goes on."""
        return applied(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory (what a `DataLoader` calls)."""
        return applied(self, Tensor.pin_memory)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, for inspection."""
        own = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return own | self.inputs.tensors() | {f"extra.{name}": value for name, value in self.extra.items()}


def applied(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A dataclass, or a mapping, of tensors with each of them changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: applied(part, change) for name, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{part.name: applied(getattr(value, part.name), change) for part in fields(value)})
    return value


class Encoded:
    """`Items` ready for a student: token ids and, if they fit in memory, decoded images.

    With a `sight` (`patch_sight.PatchSight`) the student sees its output instead of pixels.

    Attributes:
        from_files: whether a batch's images are read when it is made, by `loader`'s processes. Batches are then made on
            the CPU; else everything is on the device that trains, and batches are indexed there.
    """

    def __init__(
        self,
        items: Items,
        tokenizer: Any,
        max_tokens: int,
        image_size: int,
        in_memory: int = IN_MEMORY,
        sight: Any = None,
    ) -> None:
        self.items = items
        self.tokenizer = tokenizer
        self._tokenised = Tokenised(tokenizer, items.passages, max_tokens)
        self.tokens, self.types, self.lengths = self._tokenised.ids, self._tokenised.types, self._tokenised.lengths
        self.image_size = image_size
        self.extra: dict[str, IndexedTensor | Tensor] = {}
        self.device = torch.device("cpu")
        self.sight = sight
        fits = len(items.image_paths) * 3 * image_size**2 <= in_memory
        self.from_files = not fits if sight is None else sight.from_files
        self.images = decode_ahead(items.image_paths, image_size) if fits and sight is None else None
        if self.from_files and sight is None:  # read again every epoch
            near = scratch.local_copy(items.image_paths)
            self.items = replace(items, image_paths=[near[path] for path in items.image_paths])

    def __len__(self) -> int:
        return len(self.items)

    @property
    def segments(self) -> list[str]:
        """The distinct segments of the passages."""
        return self._tokenised.segments

    def words(self) -> np.ndarray:
        """For each distinct text, which word each token of its passage belongs to (`Tokenised.words`)."""
        return self._tokenised.words(self.items.text_passages)

    def to(self, device: torch.device) -> Self:
        """Move what is in memory to the device that trains, so that batches are indexed there."""
        if self.from_files:
            return self
        self.device = device
        tensors = ("image_rows", "passage_rows", "text_rows", "label_ids", "label_scores")
        self.items = replace(self.items, **{name: getattr(self.items, name).to(device) for name in tensors})
        self.tokens, self.types, self.lengths = (t.to(device) for t in (self.tokens, self.types, self.lengths))
        self.images = None if self.images is None else self.images.to(device)
        self.sight = None if self.sight is None else self.sight.to(device)
        self.extra = {name: value.to(device) for name, value in self.extra.items()}
        return self

    def batches(self, make: Callable[[int], Batch], numbers: Sequence[int], device: torch.device) -> Iterator[Batch]:
        """``make(number)`` for each of `numbers`, on the device that trains; made ahead if images are read for it.

        Args:
            make: a function of this data set, such as one of `batch`.
        """
        if not self.from_files:
            return map(make, numbers)
        made = loader.ahead(make, numbers, pinned=device.type == "cuda")
        return (batch.to(device) for batch in made)

    def batch(self, index: Tensor) -> Batch:
        """The items at `index`, int64 [B]."""
        index = index.to(self.device)
        images, passages_shown = self.items.image_rows[index], self.items.passage_rows[index]
        choices = self.items.choices
        tokens, mask, types = self.text(passages_shown.flatten())
        return Batch(
            inputs=Inputs(tokens, mask, types, **self.seen(images.repeat_interleave(choices))),
            labels=self.items.soft_labels(index),
            image_rows=images,
            text_rows=self.items.text_rows[index],
            gold=None if choices == 1 else self.gold(index),
            extra={name: value[index] for name, value in self.extra.items()},
        )

    def gold(self, index: Tensor) -> Tensor:
        """Which of a batch's rows show the right choices of the items at `index`, int64 [B]."""
        return torch.arange(len(index), device=self.device) * self.items.choices + self.items.right_choices(index)

    def text(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, mask and types, int64 [N, T], of the distinct passages at `rows`; T is the longest one's length."""
        lengths = self.lengths[rows]
        longest = int(lengths.max())
        mask = (torch.arange(longest, device=self.device) < lengths[:, None]).long()
        return self.tokens[rows][:, :longest].long(), mask, self.types[rows][:, :longest].long()

    def seen(self, rows: Tensor) -> dict[str, Any]:
        """The distinct images at `rows` as the student sees them: ``images`` or ``regions`` of `Inputs`."""
        return {"images": self.pixels(rows)} if self.sight is None else self.sight.batch(rows)

    def pixels(self, rows: Tensor) -> Tensor:
        """The distinct images at `rows`, uint8 [B, 3, S, S]; a repeated one is decoded once."""
        if self.images is not None:
            return self.images[rows]
        places = {row: place for place, row in enumerate(dict.fromkeys(rows.tolist()))}
        decoded = decode_all([self.items.image_paths[row] for row in places], self.image_size)
        return decoded if len(decoded) == len(rows) else decoded[[places[row] for row in rows.tolist()]]


def decode_all(paths: Sequence[Path], size: int) -> Tensor:
    """Decode images to uint8 [N, 3, size, size], RGB. Another size or shape is resized to the square (choice)."""
    decoded = np.empty((len(paths), 3, size, size), dtype=np.uint8)
    for row, path in enumerate(paths):
        decoded[row] = decode_one(path, size).transpose(2, 0, 1)
    return torch.from_numpy(decoded)


def decode_ahead(paths: Sequence[Path], size: int) -> Tensor:
    """As `decode_all`, by `loader`'s processes where the images are large enough to be worth starting them."""
    if size < SMALL:
        return decode_all(paths, size)
    pieces = [paths[start : start + PIECE] for start in range(0, len(paths), PIECE)]
    decoded = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    for number, piece in enumerate(loader.ahead(lambda number: decode_all(pieces[number], size), range(len(pieces)))):
        decoded[number * PIECE : number * PIECE + len(piece)] = piece
    return decoded


def decode_one(path: Path, size: int) -> np.ndarray:
    """One image as uint8 [size, size, 3].

    Raises:
        UserError: the file is missing or is no image.
    """
    rgb = image_file.read(path, near=size)
    return np.asarray(rgb if rgb.size == (size, size) else rgb.resize((size, size), Image.Resampling.BICUBIC))


def order(items: int, batch_size: int, seed: int) -> Callable[[int], Tensor]:
    """The batches of a run by number: a function of (seed, number) alone, so a resumed run sees the same ones.

    Epochs are joined without a gap: every batch is full, and within `items` consecutive draws each item comes once
    per epoch.

    Returns:
        number -> int64 [batch_size].
    """
    if not items:
        raise UserError("the training split is empty; choose a larger shot")

    @functools.lru_cache(maxsize=4)
    def epoch(number: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive(seed, "batches", number))
        return torch.randperm(items, generator=generator)

    def batch(number: int) -> Tensor:
        position = number * batch_size
        taken: list[Tensor] = []
        while (missing := batch_size - sum(len(part) for part in taken)) > 0:
            part = epoch(position // items)[position % items :][:missing]
            taken.append(part)
            position += len(part)
        return torch.cat(taken)

    return batch
