"""From a teacher and a data set's instances to a feature store: what is embedded, in which order, in which shards.

The order is fixed (pictures by id, texts and words by string) and batches never cross a shard, so that the bytes do not
depend on where an extraction was interrupted or on how many threads read pictures.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from vlkd_steps import files, step
from vlkd_steps.errors import UserError
from vlkd_steps.teachers.store import FeatureStore, Writer
from vlkd_steps.teachers.words import split_words

BATCH = 64
SHARD = 1024
"""Rows per batch and per shard (defaults). Other batches round differently, so both stand in the content key."""


class Teacher(Protocol):
    """A frozen model of pictures and texts, such as `clip.ClipTeacher`."""

    identity: dict[str, Any]
    dim: int

    def load_image(self, path: Path) -> Any:
        """Read and transform one picture; called from several threads."""

    def embed_images(self, images: Sequence[Any]) -> np.ndarray:
        """v, float32 [B, D]."""

    def embed_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, list[tuple[list[str], np.ndarray]]]:
        """u, float32 [B, D], and for each text its words and their states [W, H]."""


def extract(
    teacher: Teacher, instances: pl.DataFrame, folder: Path, settings: Mapping[str, Any], label: str, **facts: Any
) -> FeatureStore:
    """Embed every distinct picture, text and word of `instances` once, going on where an earlier call was killed.

    Args:
        instances: columns ``image_id, image_path, text``.
        folder: where the store goes.
        settings: ``dtype`` (float32, float16), ``batch_size``, ``shard_size``, ``threads`` (torch's, part of the
            key), ``workers`` (threads that read pictures, not part of it).
        label: the start of progress lines.
        facts: entries of the manifest.

    Returns:
        The finished store.

    Raises:
        UserError: a picture that is missing or cannot be read, or one id that names two pictures.
    """
    shard_size, batch_size = settings.get("shard_size", SHARD), settings.get("batch_size", BATCH)
    rounding = {"batch_size": batch_size, "shard_size": shard_size, "threads": settings.get("threads", 1)}
    parts = {"teacher": teacher.identity, **rounding}
    pictures = _pictures(instances)
    texts = sorted(set(instances["text"].to_list()))
    words = sorted({word for text in texts for word in split_words(text)})
    with ThreadPoolExecutor(settings.get("workers", 2)) as pool:
        job = Extraction(
            teacher=teacher,
            writer=Writer(folder, parts, settings.get("dtype", "float32")),
            pool=pool,
            batch_size=batch_size,
            progress=Progress(label, len(pictures) + len(texts) + len(words)),
        )
        for some in _chunks(pictures, shard_size):
            job.images(some)
        for some in _chunks(texts, shard_size):
            job.texts(some)
        for some in _chunks(words, shard_size):
            job.words(some)
    names = {"image": [name for name, _ in pictures], "text": texts, "word": words}
    rows = [(kind, name, row) for kind, listed in names.items() for row, name in enumerate(listed)]
    index = pl.DataFrame(rows, schema={"kind": pl.String, "name": pl.String, "row": pl.Int64}, orient="row")
    return job.writer.finish(index, teacher.dim, **facts)


@dataclass
class Extraction:
    """One extraction under way: each method makes the shards of one chunk, unless they are there."""

    teacher: Teacher
    writer: Writer
    pool: ThreadPoolExecutor
    batch_size: int
    progress: "Progress"

    def images(self, pictures: Sequence[tuple[str, Path]]) -> None:
        """v of `pictures` (id and file)."""
        contents = self.pool.map(lambda item: _read(files.sha256, item), pictures)
        inputs = files.digest([[name, content] for (name, _), content in zip(pictures, contents, strict=True)])
        self._make({"image": inputs}, lambda: {"image": self._embed_images(pictures)})
        self.progress.add(len(pictures))

    def texts(self, texts: Sequence[str]) -> None:
        """u of `texts` and the states of their words."""
        inputs = files.digest(list(texts))
        self._make(dict.fromkeys(("text", "state", "count"), inputs), lambda: self._embed_texts(texts))
        self.progress.add(len(texts))

    def words(self, words: Sequence[str]) -> None:
        """The vectors of single `words`."""
        self._make({"word": files.digest(list(words))}, lambda: {"word": self._embed_texts(words)["text"]})
        self.progress.add(len(words))

    def _make(self, wanted: Mapping[str, str], embed: Callable[[], Mapping[str, np.ndarray]]) -> None:
        found = [self.writer.found(kind, inputs) for kind, inputs in wanted.items()]
        if all(found):
            self.writer.keep(shard for shard in found if shard)
            return
        rows = embed()
        for kind, inputs in wanted.items():
            self.writer.add(kind, inputs, rows[kind])

    def _embed_images(self, pictures: Sequence[tuple[str, Path]]) -> np.ndarray:
        """Embed batch after batch; while one is embedded, the next is read."""
        rows: list[np.ndarray] = []
        reading: list[Future[Any]] = []
        for batch in [*_chunks(pictures, self.batch_size), []]:
            ready = [future.result() for future in reading]
            reading = [self.pool.submit(_read, self.teacher.load_image, item) for item in batch]
            if ready:
                rows.append(self.teacher.embed_images(ready))
        return np.concatenate(rows)

    def _embed_texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        pooled, states = [], []
        for batch in _chunks(texts, self.batch_size):
            vectors, per_text = self.teacher.embed_texts(batch)
            pooled.append(vectors)
            states += [state for _, state in per_text]
        counts = np.array([[len(state)] for state in states], dtype=np.int64)
        return {"text": np.concatenate(pooled), "state": np.concatenate(states), "count": counts}


class Progress:
    """One line every five seconds: how many rows are done, how fast, how long it will take."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, total, 0
        self.started = self.said = time.monotonic()

    def add(self, rows: int) -> None:
        self.done += rows
        now = time.monotonic()
        if now - self.said >= 5 or self.done == self.total:
            self.said = now
            rate = self.done / max(now - self.started, 1e-9)
            left = int((self.total - self.done) / rate)
            step.log.info(
                f"[{self.label}] {self.done}/{self.total} pictures, texts and words  {rate:.0f}/s  "
                f"left {left // 60}:{left % 60:02d}"
            )


def _pictures(instances: pl.DataFrame) -> list[tuple[str, Path]]:
    """Every distinct image id with its file, by id."""
    found = instances.select("image_id", "image_path").unique().sort("image_id", "image_path")
    twice = found.filter(pl.col("image_id").is_duplicated())
    if len(twice):
        name, *paths = twice["image_id"][0], *twice["image_path"][:2]
        raise UserError(
            f"image id {name!r} names two pictures, {' and '.join(paths)}; correct the data set's image ids"
        )
    return [(name, Path(path)) for name, path in found.iter_rows()]


def _read(reader: Callable[[Path], Any], item: tuple[str, Path]) -> Any:
    name, path = item
    try:
        return reader(path)
    except FileNotFoundError:
        raise UserError(
            f"the picture {path} (image id {name!r}) is missing; download or prepare the data again"
        ) from None
    except OSError as error:
        raise UserError(f"the picture {path} (image id {name!r}) cannot be read: {error}; replace the file") from error


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
