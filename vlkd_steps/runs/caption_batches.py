"""Batches of image-caption pairs for VLKD: clean and masked captions, and CLIP's embeddings, stored or computed online.

Of both sources, a batch is a function of (seed, number), so a resumed run gets the same ones, and each of several
processes makes only its own rows.

- `StoredCaptions`: a corpus that `prepare` has written. Its texts are in memory, its embeddings in the feature store
  or, if it is larger than the method's ``stored_pairs``, computed from its image files.
- `StreamedCaptions`: shards on disk (`datasets.caption_shards`). The images of the next batch are decoded during the
  current training step.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from vlkd_steps.core import distributed, image_file
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.core.step import log
from vlkd_steps.data.batches import Batch, Items, order
from vlkd_steps.data.infilling import Infilling, padded
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.data.tokenizer import encode
from vlkd_steps.datasets.caption_shards import MAX_SKIPPED, PairLocation, Stream, read_pair
from vlkd_steps.teachers.features.store import FeatureStore

THREADS = 4  # for decoding images
TRIES = 20  # following pairs that may replace one whose image is broken


class Eyes(Protocol):
    """A frozen CLIP, such as `teachers.clip.ClipTeacher`."""

    def load_image(self, path: Any) -> Tensor: ...

    def pixels(self, image: Image.Image) -> Tensor: ...

    def embed_images(self, images: Sequence[Tensor]) -> Any: ...

    def embed_texts(self, texts: Sequence[str]) -> tuple[Any, Any]: ...


class Maker:
    """Makes a `Batch` of rows.

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
            draws: each row's number among all that the run draws.
            v, t: CLIP's embeddings, float32 [B, D], of any length.
            images, texts: int64 [B], equal where images, captions are.
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
        return moved(Batch(inputs, torch.zeros(len(rows), 0), images, texts, extra=extra), self.device)


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device that trains."""
    own = batch.inputs
    return Batch(
        Inputs(own.tokens.to(device), own.mask.to(device), own.types.to(device)),
        batch.labels.to(device),
        batch.image_rows.to(device),
        batch.text_rows.to(device),
        extra={name: value.to(device) for name, value in batch.extra.items()},
    )


class StoredCaptions:
    """The captions of a prepared corpus.

    Args:
        items: its rows; features: v and t by item, from `stored_features` or `made_features`.
        size: rows of a whole batch.
    """

    def __init__(
        self, items: Items, features: Callable[[Tensor], tuple[Tensor, Tensor]], maker: Maker, size: int
    ) -> None:
        self.items, self.features, self.maker, self.size = items, features, maker, size
        self.tokens, _, self.lengths = encode(maker.tokenizer, items.passages, maker.most_tokens)
        self.order = order(len(items), size, maker.seed)

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, number: int) -> Batch:
        own = distributed.share()
        index = self.order(number)[own]
        draws = range(number * self.size, (number + 1) * self.size)[own]
        texts = self.items.text_rows[index]
        rows = [self.tokens[text, : int(self.lengths[text])].tolist() for text in texts]
        v, t = self.features(index)
        return self.maker(rows, draws, v, t, self.items.image_rows[index], texts)


def stored_features(items: Items, store: FeatureStore) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """v and t of items by their index, from tables that hold each distinct image and caption once."""
    v = torch.from_numpy(store.images(items.image_ids))
    t = torch.from_numpy(store.texts(items.texts))
    return lambda index: (v[items.image_rows[index]], t[items.text_rows[index]])


def made_features(items: Items, clip: Eyes) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """v and t of items by their index, computed by CLIP on demand."""
    pool = ThreadPoolExecutor(THREADS)

    def make(index: Tensor) -> tuple[Tensor, Tensor]:
        paths = [items.image_paths[row] for row in items.image_rows[index].tolist()]
        pixels = list(pool.map(clip.load_image, paths))
        texts = [items.texts[row] for row in items.text_rows[index].tolist()]
        return embedded(clip, pixels, texts)

    return make


def embedded(clip: Eyes, pixels: Sequence[Tensor], texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """CLIP's embeddings of images and captions, without a gradient."""
    return torch.from_numpy(clip.embed_images(pixels)), torch.from_numpy(clip.embed_texts(texts)[0])


class StreamedCaptions:
    """The pairs of a sharded corpus, their images decoded one batch ahead.

    A pair whose image is broken, as in every web corpus, is logged and replaced by the next readable one.

    Args:
        size: rows of a whole batch.
        max_skipped: the share of the corpus's pairs that may be broken; above 0 it is at least one pair.
    """

    def __init__(self, stream: Stream, clip: Eyes, maker: Maker, size: int, max_skipped: float = MAX_SKIPPED) -> None:
        self.stream, self.clip, self.maker, self.size = stream, clip, maker, size
        self.pool = ThreadPoolExecutor(THREADS)
        self.begun: dict[int, list[Future[Decoded | image_file.ImageError]]] = {}
        self.max_skipped, self.broken = max_skipped, set[str]()
        self.most = max(1, max_skipped * len(stream)) if max_skipped else 0

    def __len__(self) -> int:
        return len(self.stream)

    def batch(self, number: int) -> Batch:
        draws = self._draws(number)
        futures = self._begin(number)
        pairs = [self._usable(draw, future.result()) for draw, future in zip(draws, futures, strict=True)]
        self.begun = {number + 1: self._begin(number + 1)}
        captions = [pair.caption for pair in pairs]
        v, t = embedded(self.clip, [pair.pixels for pair in pairs], captions)
        rows = self.maker.tokenizer(captions, truncation=True, max_length=self.maker.most_tokens).input_ids
        images = torch.tensor([derive(0, "image", pair.key) for pair in pairs])
        texts = torch.tensor([derive(0, "caption", caption) for caption in captions])
        return self.maker(rows, draws, v, t, images, texts)

    def _draws(self, number: int) -> range:
        return range(number * self.size, (number + 1) * self.size)[distributed.share()]

    def _begin(self, number: int) -> "list[Future[Decoded | image_file.ImageError]]":
        """Start decoding a batch's pairs in threads. Their positions are found here: a stream is not thread-safe."""
        if number not in self.begun:
            locations = [self.stream.location(draw) for draw in self._draws(number)]
            self.begun[number] = [self.pool.submit(decoded, location, self.clip) for location in locations]
        return self.begun[number]

    def _usable(self, draw: int, found: "Decoded | image_file.ImageError") -> "Decoded":
        """A draw's pair, or the next one whose image is not broken.

        Raises:
            UserError: more pairs are broken than may be, or too many in a row.
        """
        for after in range(TRIES + 1):
            if after:
                found = decoded(self.stream.location(draw + after), self.clip)
            if isinstance(found, Decoded):
                return found
            self._leave_out(self.stream.location(draw + after), found)
        location = self.stream.location(draw)
        raise UserError(
            f"{location.file}: the image of pair {location.key} and of the {TRIES} pairs drawn after it cannot be "
            "decoded; the corpus is damaged: fetch its shards again"
        )

    def _leave_out(self, location: PairLocation, error: image_file.ImageError) -> None:
        if location.key in self.broken:
            return
        self.broken.add(location.key)
        log.warning(f"[corpus] {location.file}: the image of pair {location.key} is left out: {error}")
        if len(self.broken) > self.most:
            raise UserError(
                f"{len(self.broken)} of the corpus's {len(self.stream)} images cannot be decoded, more than "
                f"max_skipped: {self.max_skipped:g} allows; fetch its files again, or raise max_skipped in the data "
                f"set's conf. The last: {error}"
            )


@dataclass(frozen=True)
class Decoded:
    """A pair as input of CLIP: pixels float32 [3, S, S]."""

    key: str
    caption: str
    pixels: Tensor


def decoded(location: PairLocation, clip: Eyes) -> Decoded | image_file.ImageError:
    """Read and decode a pair; the error if its image is broken."""
    pair = read_pair(location)
    try:
        image = image_file.decode(pair.image, f"of pair {pair.key} in {location.file}")
    except image_file.ImageError as error:
        return error
    return Decoded(pair.key, pair.caption, clip.pixels(image))
