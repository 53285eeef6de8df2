"""Batches of image-caption pairs for VLKD: clean and masked captions, and CLIP's embeddings, stored or computed online.

From both sources a batch is a function of (seed, number), so a resumed run gets the same batches, and each process
makes only its own rows.

- `StoredCaptions`: a corpus that `prepare` has written. Its texts are in memory, its embeddings in the feature store
  or, if it is larger than the method's ``stored_pairs``, computed from its image files.
- `StreamedCaptions`: shards on disk (`datasets.caption_shards`).

Images are decoded ahead of the training step that needs them (`data.loader`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from vlkd_steps.core import distributed, image_file, locks
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.core.step import log
from vlkd_steps.data import loader
from vlkd_steps.data.batches import Batch, order
from vlkd_steps.data.infilling import Infilling, padded
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.data.items import Items
from vlkd_steps.data.tokenizer import Tokenised
from vlkd_steps.datasets.caption_shards import MAX_SKIPPED, PairLocation, Stream, read_pair
from vlkd_steps.teachers.features.store import FeatureStore

TRIES = 20  # following pairs that may replace one whose image is broken


class Eyes(Protocol):
    """A frozen CLIP, such as `teachers.clip.ClipTeacher`."""

    def load_image(self, path: Any) -> Tensor: ...

    def pixels_of(self, content: bytes, name: str) -> Tensor: ...

    def embed_images(self, images: Tensor) -> Any: ...

    def text_vectors(self, texts: Sequence[str]) -> Any: ...


class Maker:
    """Makes a `Batch` from rows.

    Args:
        tokenizer: the student's.
        most_tokens: captions are truncated to it.
        noise: how they are masked; seed: of the run.
    """

    def __init__(self, tokenizer: Any, most_tokens: int, noise: Infilling, seed: int, device: torch.device) -> None:
        self.tokenizer, self.most_tokens, self.noise, self.seed = tokenizer, most_tokens, noise, seed
        self.device = device

    def __call__(
        self, rows: Sequence[Sequence[int]], draws: Sequence[int], v: Tensor, t: Tensor, images: Tensor, texts: Tensor
    ) -> Batch:
        """One process's rows.

        Args:
            rows: the captions' tokens.
            draws: the index of each row among all rows that the run draws.
            v, t: CLIP's embeddings, float32 [B, D], of any length.
            images, texts: int64 [B], equal for equal images, captions.
        """
        tokens, mask = padded(rows, self.tokenizer.pad_token_id)
        hidden = [self.noise(row, self.seed, draw) for row, draw in zip(rows, draws, strict=True)]
        masked, masked_mask = padded(hidden, self.tokenizer.pad_token_id)
        written = distributed.mean(mask.sum().float())
        extra = {
            "v": functional.normalize(v.float(), dim=1),
            "t": functional.normalize(t.float(), dim=1),
            "masked": masked,
            "masked_mask": masked_mask,
            "written": written.expand(len(rows)),
        }
        inputs = Inputs(tokens, mask, torch.zeros_like(tokens))
        return Batch(inputs, torch.zeros(len(rows), 0), images, texts, extra=extra).to(self.device)


Features = Callable[[Callable[[int], Tensor], Sequence[int]], Iterator[tuple[Tensor, Tensor]]]
"""v and t of the items at ``chosen(number)``, int64 [B], for each number, in order."""


class StoredCaptions:
    """The captions of a prepared corpus.

    Args:
        items: its rows; features: v and t by item, from `stored_features` or `made_features`.
        size: rows of a whole batch.
    """

    def __init__(self, items: Items, features: Features, maker: Maker, size: int) -> None:
        self.items, self.features, self.maker, self.size = items, features, maker, size
        read = Tokenised(maker.tokenizer, items.passages, maker.most_tokens)
        self.tokens, self.lengths = read.ids, read.lengths
        self.order = order(len(items), size, maker.seed)

    def __len__(self) -> int:
        return len(self.items)

    def batches(self, numbers: Sequence[int]) -> Iterator[Batch]:
        """This process's rows of the batches of these numbers, in their order."""
        for number, (v, t) in zip(numbers, self.features(self._chosen, numbers), strict=True):
            index = self._chosen(number)
            draws = range(number * self.size, (number + 1) * self.size)[distributed.share()]
            texts = self.items.text_rows[index]
            rows = [self.tokens[text, : int(self.lengths[text])].tolist() for text in texts]
            yield self.maker(rows, draws, v, t, self.items.image_rows[index], texts)

    def _chosen(self, number: int) -> Tensor:
        return self.order(number)[distributed.share()]


def stored_features(items: Items, store: FeatureStore) -> Features:
    """From tables that hold the embeddings of each distinct image and caption once."""
    v = torch.from_numpy(store.images(items.image_ids))
    t = torch.from_numpy(store.texts(items.texts))

    def read(chosen: Callable[[int], Tensor], numbers: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        for index in map(chosen, numbers):
            yield v[items.image_rows[index]], t[items.text_rows[index]]

    return read


def made_features(items: Items, clip: Eyes) -> Features:
    """Computed by CLIP on demand; images are decoded ahead."""

    def make(chosen: Callable[[int], Tensor], numbers: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        def pixels(number: int) -> Tensor:
            return torch.stack([clip.load_image(items.image_paths[row]) for row in items.image_rows[chosen(number)]])

        for number, images in zip(numbers, loader.ahead(pixels, numbers), strict=True):
            texts = [items.texts[row] for row in items.text_rows[chosen(number)].tolist()]
            yield embedded(clip, images, texts)

    return make


def embedded(clip: Eyes, pixels: Tensor, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """CLIP's embeddings of images, uint8 [B, 3, S, S], and captions, without a gradient."""
    return torch.from_numpy(clip.embed_images(pixels)), torch.from_numpy(clip.text_vectors(texts))


class StreamedCaptions:
    """The pairs of a sharded corpus, decoded ahead.

    A pair whose image is broken, as some are in every web corpus, is logged and replaced by the next readable one.

    Args:
        size: rows of a whole batch.
        max_skipped: the share of the corpus's pairs whose image may be broken; if not 0, at least one (`count_in`).
    """

    def __init__(self, stream: Stream, clip: Eyes, maker: Maker, size: int, max_skipped: float = MAX_SKIPPED) -> None:
        self.stream, self.clip, self.maker, self.size = stream, clip, maker, size
        self.max_skipped, self.broken = max_skipped, set[str]()
        self.most = max(1, max_skipped * len(stream)) if max_skipped else 0
        self.noted: Path | None = None

    def count_in(self, file: Path) -> None:
        """Count broken pairs in a file of the run: those of its earlier attempts and of its other processes too."""
        self.noted = file
        self.broken |= _lines(file)

    def __len__(self) -> int:
        return len(self.stream)

    def batches(self, numbers: Sequence[int]) -> Iterator[Batch]:
        """This process's rows of the batches of these numbers, in their order."""
        for number, read in zip(numbers, loader.ahead(self._read, numbers), strict=True):
            for location, error in read.left_out:
                self._leave_out(location, error)
            v, t = embedded(self.clip, read.pixels, read.captions)
            rows = self.maker.tokenizer(read.captions, truncation=True, max_length=self.maker.most_tokens).input_ids
            images = torch.tensor(read.images)
            texts = torch.tensor([derive(0, "caption", caption) for caption in read.captions])
            yield self.maker(rows, self._draws(number), v, t, images, texts)

    def _draws(self, number: int) -> range:
        return range(number * self.size, (number + 1) * self.size)[distributed.share()]

    def _read(self, number: int) -> "Read":
        """The pairs of a batch; runs in a process of `loader`, whose log is not shown."""
        left_out: list[tuple[PairLocation, image_file.ImageError]] = []
        pairs = [self._decoded(draw, left_out) for draw in self._draws(number)]
        images, captions, pixels = zip(*pairs, strict=True)
        return Read(list(images), list(captions), torch.stack(pixels), left_out)

    def _decoded(
        self, draw: int, left_out: list[tuple[PairLocation, image_file.ImageError]]
    ) -> tuple[int, str, Tensor]:
        """A draw's pair, or the next one whose image is not broken: which image it is, the caption and the pixels."""
        for after in range(TRIES + 1):
            location = self.stream.location(draw + after)
            pair = read_pair(location)
            try:
                image = self.clip.pixels_of(pair.image, f"of pair {pair.key} in {location.file}")
                return image_of(location), pair.caption, image
            except image_file.ImageError as error:
                left_out.append((location, error))
        location = self.stream.location(draw)
        raise UserError(
            f"{location.file}: the image of pair {location.key} and of the {TRIES} pairs drawn after it cannot be "
            "decoded; the corpus is damaged: fetch its shards again"
        )

    def _leave_out(self, location: PairLocation, error: image_file.ImageError) -> None:
        name = str(derive(0, "pair", str(location.file), location.key))
        if name in self.broken:
            return
        self.broken.add(name)
        log.warning(f"[corpus] {location.file}: the image of pair {location.key} is left out: {error}")
        if self.noted:
            self._note(self.noted, name)
        if len(self.broken) > self.most:
            if self.noted:
                self.noted.unlink(missing_ok=True)  # the files may be fetched again
            raise UserError(
                f"the images of {len(self.broken)} of the corpus's {len(self.stream)} pairs cannot be decoded, more "
                f"than max_skipped: {self.max_skipped:g} allows; fetch its files again, or raise max_skipped in the "
                f"data set's conf. The last: {error}"
            )

    def _note(self, file: Path, name: str) -> None:
        """Append a broken pair to the run's file, and count those that other processes have appended."""
        with locks.exclusive(file.with_suffix(".lock"), wait=None):
            with file.open("a", encoding="ascii") as stream:
                stream.write(f"{name}\n")
            self.broken |= _lines(file)


def image_of(location: PairLocation) -> int:
    """A number that equal images share, 63 bits. A pair's key tells no images apart: in a tsv it is the number of the
    line, and several lines may have one image; in tars it is unique within one shard."""
    return derive(0, "image", str(location.file), location.image[0])


def _lines(file: Path) -> set[str]:
    return set(file.read_text(encoding="ascii").split()) if file.exists() else set()


@dataclass(frozen=True)
class Read:
    """The pairs of a batch as inputs of CLIP: pixels uint8 [B, 3, S, S], in one tensor because each one sent between
    processes takes a file descriptor; equal numbers in `images` for equal images; and the broken images with their
    errors."""

    images: list[int]
    captions: list[str]
    pixels: Tensor
    left_out: list[tuple[PairLocation, image_file.ImageError]]
