"""Extraction from a model and a data set's instances to a store: what is embedded, in which order, in which shards.

The model is a teacher, whose rows `Embedding` makes, or one with its own `Maker` as attribute ``maker``, such as a
source of regions (`teachers.regions.region_extraction`).

The order is fixed (images by id, texts and words by string) and batches never cross a shard, so that the bytes do not
depend on where an extraction was interrupted, on how many processes read images, or on how many workers share the
work. Texts of a shard are embedded in order of length, so that a batch has little padding, and stored in order of
string.

A **chunk** is the content of one shard of images, of words, or of texts (with their word states and counts). Of n
workers the k-th makes every n-th chunk from the k-th on, its **slice**; the last process has no slice, makes the
missing chunks, and writes the manifest.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import polars as pl
import torch

from vlkd_steps.core import files, layout, raw_files, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.data import loader
from vlkd_steps.data.words import split_words
from vlkd_steps.teachers.features.store import SEVERAL, FeatureStore, Shard, Writer, sweep

Slice = tuple[int, int]
"""The number of this worker, from 0, and the number of workers."""


class ImageRef(NamedTuple):
    """A distinct image of a data set."""

    image_id: str
    path: Path


Batch = tuple[int, Sequence[ImageRef]]
"""Images of one chunk, and its number."""


class Teacher(Protocol):
    """A frozen model of images and texts, such as `clip.ClipTeacher`.

    ``kinds``, of "image", "patch" and "text", says what it embeds (default: image and text); only the methods for those
    are needed. Patches come with v, from ``embed_patches(images)``: float32 [B, D] and [B, P, W]. A teacher whose cost
    grows with the longest text of a batch has ``text_lengths(texts)``. One that embeds single words differently from
    texts has ``embed_words(words)``: float32 [B, D]. ``device`` says where it computes (default: the CPU); for one on a
    GPU, images are read ahead into page-locked memory by all cores of the job.
    """

    identity: dict[str, Any]
    dim: int

    def load_image(self, path: Path) -> Any:
        """Read and transform one image; called in the processes of `data.loader`."""

    def embed_images(self, images: Sequence[Any]) -> np.ndarray:
        """v, float32 [B, D]."""

    def embed_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, list[tuple[list[str], np.ndarray]]]:
        """u, float32 [B, D], and for each text its words and their states [W, H]."""


def extract(
    model: Any,
    instances: pl.DataFrame,
    folder: Path,
    settings: Mapping[str, Any],
    label: str,
    *,
    shared_round: str | None = None,
    part: Slice | None = None,
    stop: StopRequest | None = None,
    on_finish: Callable[[Any, Mapping[str, int]], None] = lambda store, made: None,
    **facts: Any,
) -> Any:
    """Embed every distinct image, text and word of `instances` once, continuing where an earlier call was killed.

    Args:
        model: a `Teacher`, or one whose ``maker`` makes the rows; its ``identity`` (JSON) is a part of the content key,
            its ``dim`` the width of the features, its ``device`` where it computes (default: the CPU).
        instances: columns ``image_id, image_path, text``.
        folder: of the store.
        settings: ``dtype`` (float32, float16), ``batch_size``, ``shard_size``, ``threads`` (torch's, part of the
            key).
        label: the start of progress lines.
        shared_round: the name of a round shared with other processes (`Marks`); None: a new one.
        part: make only this slice, and no manifest.
        stop: checked between two batches.
        on_finish: called with the finished store, and how many of its rows of each kind this call has made.
        facts: entries of the manifest.

    Returns:
        The finished store, of the maker's class STORE; None for a slice.

    Raises:
        UserError: an image that is missing or cannot be read.
        Interrupted: `stop` was set; finished chunks are kept.
    """
    maker: type[Maker] = getattr(model, "maker", Embedding)
    shard_size, batch_size = settings.get("shard_size", maker.SHARD), settings.get("batch_size", maker.BATCH)
    rounding = {"batch_size": batch_size, "shard_size": shard_size, "threads": settings.get("threads", 1)}
    if hasattr(model, "text_lengths"):
        rounding["texts"] = "by length"
    parts, dtype = {maker.KEY: model.identity, **rounding}, settings.get("dtype", "float32")
    plan = maker.plan(model, instances, shard_size)
    stop = StopRequest() if stop is None else stop
    writer = Writer(folder, parts, dtype)
    marks = Marks(folder, shared_round or uuid.uuid4().hex, files.digest([writer.key, plan.names]))
    mine = range(len(plan.chunks))[part[0] :: part[1]] if part else range(len(plan.chunks))
    progress = Progress(label, sum(len(plan.chunks[number].items) for number in mine))
    pinned = torch.device(getattr(model, "device", "cpu")).type == "cuda"
    making = Making(maker(model, batch_size, stop), writer, marks, plan.chunks, progress, pinned)
    shards = making.all(mine)
    if part:
        return None
    writer.shards = [shard for number in mine for shard in shards[number]]
    store = maker.STORE(folder, writer.finish(plan.index(), model.dim, **facts))
    on_finish(store, making.made)
    sweep(folder, writer.key)
    return store


@dataclass
class Making:
    """Turns chunks into shards: made earlier in this round, found complete, or made now.

    `data.loader` reads images ahead, across chunks; whether a chunk is missing is checked when its turn comes.

    Attributes:
        pinned: images come in page-locked memory, for a model on a GPU.
    """

    maker: "Maker"
    writer: Writer
    marks: "Marks"
    chunks: Sequence["Chunk"]
    progress: "Progress"
    pinned: bool = False
    shards: dict[int, list[Shard]] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)

    def all(self, mine: Sequence[int]) -> dict[int, list[Shard]]:
        """The shards of the chunks of these numbers.

        Raises:
            UserError: an image cannot be read, or a value cannot be stored.
            Interrupted: a stop was requested; finished chunks are kept.
        """
        images = [number for number in mine if self.chunks[number].of_images]
        with closing(loader.ahead(self._load, self._missing(images), self.pinned)) as loaded:
            for number, batches in groupby(loaded, itemgetter(0)):
                contents: list[str] = []
                computed = self.maker.image_rows(self.chunks[number], self._loaded(batches, contents))
                self._make(number, inputs_of(self.chunks[number].items, contents), computed)
        for number in mine:
            if not self.chunks[number].of_images and not self._is_there(number):
                chunk = self.chunks[number]
                self._make(number, self.maker.inputs(chunk), self.maker.text_rows(chunk))
        return self.shards

    def _missing(self, numbers: Sequence[int]) -> Iterator[Batch]:
        for number in numbers:
            if not self._is_there(number):
                yield from ((number, batch) for batch in pieces(self.chunks[number].items, self.maker.batch_size))

    def _load(self, batch: Batch) -> tuple[int, list[str], Any]:
        """The chunk, the hashes of the images' contents, and the maker's input; runs in a process of `data.loader`."""
        number, images = batch
        return number, [read(self.maker.content, image) for image in images], self.maker.load(images)

    def _loaded(self, batches: Iterable[tuple[int, list[str], Any]], contents: list[str]) -> Iterator[Any]:
        """The maker's input for each batch; the hashes are appended to `contents`."""
        for _, hashes, images in batches:
            self.maker.stop.raise_if_set()
            contents += hashes
            yield images

    def _is_there(self, number: int) -> bool:
        self.maker.stop.raise_if_set()
        chunk, inputs = self.chunks[number], self.marks.inputs(number)
        if inputs and all(described := [self.writer.described(kind, inputs) for kind in chunk.kinds]):
            self.shards[number] = [shard for shard in described if shard]
        elif all(map(self.writer.holds, chunk.kinds)):
            inputs = self.maker.inputs(chunk)
            if all(found := [self.writer.found(kind, inputs) for kind in chunk.kinds]):
                self._done(number, inputs, [shard for shard in found if shard])
        return number in self.shards

    def _make(self, number: int, inputs: str, computed: Mapping[str, np.ndarray]) -> None:
        chunk = self.chunks[number]
        rows = {kind: self.writer.converted(kind, computed[kind]) for kind in chunk.kinds}
        check_finite(chunk, computed, rows, self.progress.label)
        self.made.update({kind: len(rows[kind]) for kind in chunk.kinds})
        self._done(number, inputs, [self.writer.add(kind, inputs, rows[kind]) for kind in chunk.kinds])

    def _done(self, number: int, inputs: str, shards: list[Shard]) -> None:
        self.marks.mark(number, inputs)
        self.progress.add(len(self.chunks[number].items))
        self.shards[number] = shards


class Marks:
    """The chunks that one **round** of extraction has made or checked: a small file each, until the store is finished.

    Workers of one round skip marked chunks without reading an image; another round checks them again, because images
    may have changed.

    Args:
        plan: a hash of the round's work: content key and names of every chunk.
    """

    def __init__(self, folder: Path, round_name: str, plan: str) -> None:
        self.stem = layout.extraction_round(folder, round_name) / plan[:16]

    def inputs(self, chunk: int) -> str | None:
        """The hash of the inputs that a chunk was made from, or None: not done."""
        path = self._path(chunk)
        return path.read_text(encoding="ascii") if path.is_file() else None

    def mark(self, chunk: int, inputs: str) -> None:
        """Record that the shards of a chunk are complete and made from `inputs`."""
        files.write_text(self._path(chunk), inputs)

    def _path(self, chunk: int) -> Path:
        return self.stem.with_name(f"{self.stem.name}-{chunk}")


@dataclass(frozen=True)
class Chunk:
    """The content of one shard of each of `kinds`: images (id and file) or texts."""

    kinds: tuple[str, ...]
    items: Sequence[Any]

    @property
    def of_images(self) -> bool:
        return bool(self.items) and isinstance(self.items[0], ImageRef)


@dataclass(frozen=True)
class Plan:
    """All chunks of a store in the order of the manifest; the same in every worker."""

    images: Sequence[ImageRef]
    texts: Sequence[str]
    words: Sequence[str]
    chunks: Sequence[Chunk]

    @classmethod
    def of(cls, instances: pl.DataFrame, shard_size: int, kinds: Sequence[str] = ("image", "text")) -> "Plan":
        """Every distinct image, text and word of `instances` that a teacher of `kinds` reads, in shards."""
        images = distinct_images(instances) if "image" in kinds else []
        texts = sorted(set(instances["text"].to_list())) if "text" in kinds else []
        words = sorted({word for text in texts for word in split_words(text)})
        listed: list[tuple[tuple[str, ...], Sequence[Any]]] = [
            (("image", "patch") if "patch" in kinds else ("image",), images),
            (("text", "state", "count"), texts),
            (("word",), words),
        ]
        return cls(
            images,
            texts,
            words,
            [Chunk(kinds, some) for kinds, items in listed for some in pieces(items, shard_size)],
        )

    @property
    def names(self) -> list[list[Any]]:
        """The identity of a plan (JSON)."""
        return [[[name, str(path)] for name, path in self.images], list(self.texts), list(self.words)]

    def index(self) -> pl.DataFrame:
        """``kind, name, row`` of every image, text and word."""
        names = {"image": [name for name, _ in self.images], "text": self.texts, "word": self.words}
        rows = [(kind, name, row) for kind, listed in names.items() for row, name in enumerate(listed)]
        return pl.DataFrame(rows, schema={"kind": pl.String, "name": pl.String, "row": pl.Int64}, orient="row")


class Maker(Protocol):
    """Makes the rows of chunks.

    Attributes:
        KEY: the name of the model's identity in the content key.
        SHARD, BATCH: rows per shard and per batch (defaults). Both are in the content key, because other
            batches round differently.
        STORE: the class of the finished store.
        stop: checked between two batches.
    """

    KEY: ClassVar[str]
    SHARD: ClassVar[int]
    BATCH: ClassVar[int]
    STORE: ClassVar[type[FeatureStore]]
    batch_size: int
    stop: StopRequest

    def __init__(self, model: Any, batch_size: int, stop: StopRequest) -> None: ...

    @staticmethod
    def plan(model: Any, instances: pl.DataFrame, shard_size: int) -> Plan:
        """All chunks of the store."""

    def inputs(self, chunk: Chunk) -> str:
        """A hash of everything that the chunk's rows depend on."""

    def content(self, image: ImageRef) -> str:
        """A hash of everything that the rows of one image depend on; called in the processes of `data.loader`."""

    def load(self, images: Sequence[ImageRef]) -> Any:
        """Read a batch of images; called in the processes of `data.loader`."""

    def image_rows(self, chunk: Chunk, loaded: Iterable[Any]) -> dict[str, np.ndarray]:
        """Rows of each kind for a chunk of images; `loaded` has the results of `load`, batch by batch."""

    def text_rows(self, chunk: Chunk) -> dict[str, np.ndarray]:
        """Rows of each kind for a chunk of texts."""


@dataclass
class Embedding:
    """Makes a teacher's rows of chunks."""

    teacher: Teacher
    batch_size: int
    stop: StopRequest

    KEY: ClassVar = "teacher"
    SHARD: ClassVar = 1024
    BATCH: ClassVar = 64
    STORE: ClassVar = FeatureStore

    @staticmethod
    def plan(model: Teacher, instances: pl.DataFrame, shard_size: int) -> Plan:
        return Plan.of(instances, shard_size, getattr(model, "kinds", ("image", "text")))

    def inputs(self, chunk: Chunk) -> str:
        """A hash of the chunk's images, by their bytes, or texts."""
        return hashed(chunk.items, self.content, self.stop) if chunk.of_images else files.digest(list(chunk.items))

    def content(self, image: ImageRef) -> str:
        return raw_files.sha256(image.path)

    def load(self, images: Sequence[ImageRef]) -> Any:
        """The images, as one tensor if they are tensors, which takes a single file descriptor between processes."""
        loaded = [read(lambda image: self.teacher.load_image(image.path), image) for image in images]
        return torch.stack(loaded) if isinstance(loaded[0], torch.Tensor) else loaded

    def image_rows(self, chunk: Chunk, loaded: Iterable[Any]) -> dict[str, np.ndarray]:
        """v of each image and, if the teacher has them, its patches."""
        if chunk.kinds == ("image",):
            return {"image": np.concatenate([self.teacher.embed_images(images) for images in loaded])}
        both = [self.teacher.embed_patches(images) for images in loaded]  # type: ignore[attr-defined]  # a teacher with patches has it
        return {kind: np.concatenate(rows) for kind, rows in zip(chunk.kinds, zip(*both, strict=True), strict=True)}

    def text_rows(self, chunk: Chunk) -> dict[str, np.ndarray]:
        """u, word states and their counts; for words, only u."""
        if chunk.kinds == ("word",):
            return {"word": self._embedded(chunk.items, self._embed_words)[0]}
        pooled, states = self._embedded(chunk.items, self.teacher.embed_texts)
        counts = np.array([[len(state)] for _, state in states], dtype=np.int64)
        return {"text": pooled, "state": np.concatenate([state for _, state in states]), "count": counts}

    def _embed_words(self, words: Sequence[str]) -> tuple[np.ndarray, list[Any]]:
        if hasattr(self.teacher, "embed_words"):
            return self.teacher.embed_words(words), []
        return self.teacher.embed_texts(words)

    def _embedded(
        self, texts: Sequence[str], embed: Callable[[Sequence[str]], tuple[np.ndarray, list[Any]]]
    ) -> tuple[np.ndarray, list[Any]]:
        """What `embed` makes of texts, in their order, from batches of texts of like length."""
        lengths = self.teacher.text_lengths(texts) if hasattr(self.teacher, "text_lengths") else [0] * len(texts)
        order = np.argsort(lengths, kind="stable").tolist()
        pooled, found = [], []
        for batch in pieces(order, self.batch_size):
            self.stop.raise_if_set()
            vectors, per_text = embed([texts[number] for number in batch])
            pooled.append(vectors)
            found += per_text
        back = np.argsort(order)
        return np.concatenate(pooled)[back], [found[number] for number in back] if found else []


def check_finite(chunk: Chunk, made: Mapping[str, np.ndarray], rows: Mapping[str, np.ndarray], label: str) -> None:
    """Check that every value to be written is a finite number.

    Args:
        made: rows of each kind as the model returns them; rows: the same in the store's dtype.
        label: the start of the message; it names the teacher.

    Raises:
        UserError: a value is not; names the first.
    """
    for kind, values in rows.items():
        wrong = ~np.isfinite(values).reshape(len(values), -1).all(1) if len(values) else np.zeros(0, bool)
        if not wrong.any():
            continue
        row = int(wrong.argmax())
        per_item = [1] * len(chunk.items) if kind not in SEVERAL else made["count"][:, 0]
        item = chunk.items[int(np.searchsorted(np.cumsum(per_item), row, side="right"))]
        of = f"image {item.image_id!r} ({item.path})" if isinstance(item, ImageRef) else f"text {item!r}"
        if np.isfinite(made[kind][row]).all():
            most, limit = np.abs(made[kind][row]).max(), np.finfo(values.dtype).max
            why = f"has {most:.4g}, and the largest {values.dtype} is {limit:.4g}; set the teacher's `dtype` to float32"
        else:
            why = "has values that are not finite numbers; its weights or inputs are damaged: replace them"
        raise UserError(f"{label}: field {kind} of {of} {why}")


class Progress:
    """A line every five seconds: this worker's finished rows, their rate, and the time left."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.count = label, total, 0
        self.started = self.said = time.monotonic()

    def add(self, rows: int) -> None:
        self.count += rows
        now = time.monotonic()
        if now - self.said >= 5 or self.count == self.total:
            self.said = now
            rate = self.count / max(now - self.started, 1e-9)
            left = int((self.total - self.count) / rate)
            step.log.info(
                f"[{self.label}] {self.count}/{self.total} images, texts and words  {rate:.0f}/s  "
                f"left {left // 60}:{left % 60:02d}"
            )


def distinct_images(instances: pl.DataFrame) -> list[ImageRef]:
    """Every distinct image id with its file, by id; the first of several, which hold equal bytes (`prepare`)."""
    found = instances.select("image_id", "image_path").unique("image_id", keep="first", maintain_order=True)
    return [ImageRef(name, Path(path)) for name, path in found.sort("image_id").iter_rows()]


def hashed(images: Sequence[ImageRef], content: Callable[[ImageRef], str], stop: StopRequest) -> str:
    """`inputs_of` some images, whose contents are hashed by `content`."""
    contents = []
    with ThreadPoolExecutor(max(1, loader.workers())) as pool:  # ends before `data.loader` forks
        for found in pool.map(lambda image: read(content, image), images):
            stop.raise_if_set()
            contents.append(found)
    return inputs_of(images, contents)


def inputs_of(images: Sequence[ImageRef], contents: Sequence[str]) -> str:
    """A hash of the ids of some images and of their contents' hashes."""
    return files.digest([[image.image_id, found] for image, found in zip(images, contents, strict=True)])


def read(reader: Callable[[ImageRef], Any], image: ImageRef) -> Any:
    """The result of `reader` for an image.

    Raises:
        UserError: its file is missing, or cannot be read.
    """
    try:
        return reader(image)
    except FileNotFoundError:
        raise UserError(
            f"the image {image.path} (image id {image.image_id!r}) is missing; download or prepare the data again"
        ) from None
    except OSError as error:
        raise UserError(
            f"the image {image.path} (image id {image.image_id!r}) cannot be read: {error}; replace the file"
        ) from error


def pieces(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
