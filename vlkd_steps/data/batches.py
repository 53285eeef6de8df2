"""What a student sees of `Items`: every distinct passage tokenised once, every distinct image decoded once."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from vlkd_steps.core import hardware, scratch
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import loader
from vlkd_steps.data.decoding import decode_ahead, decode_all
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.data.items import Items
from vlkd_steps.data.tokenizer import Tokenised

IN_MEMORY = 1 << 30  # bytes of decoded images that one set may hold; larger sets are decoded batch by batch


@dataclass(frozen=True)
class IndexedTensor:
    """A table [R, ...] read through rows [N, ...]: what many items share is stored once. Row -1 reads the last one."""

    table: Tensor
    rows: Tensor

    def __getitem__(self, index: Tensor | slice) -> Tensor:
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
        """The batch on another device."""
        return applied(self, lambda tensor: hardware.moved(tensor, device))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory (what a `DataLoader` calls)."""
        return applied(self, hardware.pinned)

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
            the CPU; else all that is large is on the device that trains, and batches are indexed there. What says how
            large a batch is (rows, lengths) stays on the CPU: reading it from a GPU would wait for the steps before.
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
        """For each distinct text, which words each token of its passage belongs to (`Tokenised.words`)."""
        return self._tokenised.words(self.items.text_passages)

    def to(self, device: torch.device) -> Self:
        """Move what is in memory to the device that trains, so that batches are indexed there."""
        if self.from_files:
            return self
        self.device = device
        tensors = ("text_rows", "label_ids", "label_scores")
        self.items = replace(self.items, **{name: getattr(self.items, name).to(device) for name in tensors})
        self.tokens, self.types = self.tokens.to(device), self.types.to(device)
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
        """The items at `index`, int64 [B] on the CPU."""
        images, passages_shown = self.items.image_rows[index], self.items.passage_rows[index]
        index = hardware.moved(index, self.device)
        choices = self.items.choices
        tokens, mask, types = self.text(passages_shown.flatten())
        return Batch(
            inputs=Inputs(tokens, mask, types, **self.seen(images.repeat_interleave(choices))),
            labels=self.items.soft_labels(index),
            image_rows=hardware.moved(images, self.device),
            text_rows=self.items.text_rows[index],
            gold=None if choices == 1 else self.gold(index),
            extra={name: value[index] for name, value in self.extra.items()},
        )

    def gold(self, index: Tensor) -> Tensor:
        """Which of a batch's rows show the right choices of the items at `index`, int64 [B] where the labels are."""
        return torch.arange(len(index), device=self.device) * self.items.choices + self.items.right_choices(index)

    def text(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, mask and types, int64 [N, T], of the distinct passages at `rows`, on the CPU; T is the longest one's
        length."""
        lengths = self.lengths[rows]
        longest = int(lengths.max())
        rows, lengths = (hardware.moved(each, self.device) for each in (rows, lengths))
        mask = (torch.arange(longest, device=self.device) < lengths[:, None]).long()
        return self.tokens[rows][:, :longest].long(), mask, self.types[rows][:, :longest].long()

    def seen(self, rows: Tensor) -> dict[str, Any]:
        """The images at `rows`, on the CPU, as the student sees them: ``images`` or ``regions`` of `Inputs`."""
        return {"images": self.pixels(rows)} if self.sight is None else self.sight.batch(rows)

    def pixels(self, rows: Tensor) -> Tensor:
        """The distinct images at `rows`, uint8 [B, 3, S, S]; a repeated one is decoded once."""
        if self.images is not None:
            return self.images[hardware.moved(rows, self.device)]
        places = {row: place for place, row in enumerate(dict.fromkeys(rows.tolist()))}
        decoded = decode_all([self.items.image_paths[row] for row in places], self.image_size)
        return decoded if len(decoded) == len(rows) else decoded[[places[row] for row in rows.tolist()]]


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
