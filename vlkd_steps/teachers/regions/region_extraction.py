"""From a source of regions and a data set's pictures to a region store: chunk by chunk, as `extraction` does it.

Three kinds of sources are teachers in the graph: `regions_files` (features that others have extracted), `regions_boxes`
(boxes that come with the data, or a grid) and `regions_detector`. Their configurations say ``splits: used``: a student
looks at its regions at evaluation too.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.teachers.features.claims import round_name
from vlkd_steps.teachers.features.extraction import Chunk, Plan, make
from vlkd_steps.teachers.features.store import Shard, Writer
from vlkd_steps.teachers.regions.region_store import LOCATION, RegionStore

BATCH = 8
SHARD = 128
"""Pictures per batch and per shard (defaults): 128 pictures of 100 regions are 50 MiB of float16."""

KINDS = ("region", "location", "count")


class Picture(NamedTuple):
    """A distinct picture of a data set."""

    image_id: str
    path: Path


class Regions(NamedTuple):
    """What a picture shows: float32 features [R, D] and locations [R, 7], R at least 1."""

    features: np.ndarray
    locations: np.ndarray


class Source(Protocol):
    """Where regions come from.

    Attributes:
        identity: what they depend on beside the pictures (JSON).
        dim: width D of the features.
    """

    identity: dict[str, Any]
    dim: int

    def inputs(self, picture: Picture) -> str:
        """A hash of all that the picture's regions are made from; called from several threads."""

    def load(self, picture: Picture) -> Any:
        """Read what one picture's regions are made from; called from several threads."""

    def regions(self, loaded: Sequence[Any]) -> list[Regions]:
        """The regions of some pictures."""


def extract(
    source: Source,
    instances: pl.DataFrame,
    folder: Path,
    settings: Mapping[str, Any],
    label: str,
    *,
    shared_round: str | None = None,
    stop: StopRequest | None = None,
    on_finish: Callable[[RegionStore], None] = lambda store: None,
    **facts: Any,
) -> RegionStore:
    """Store the regions of every distinct picture of `instances`; arguments and errors as for `extraction.extract`."""
    shard_size, batch_size = settings.get("shard_size", SHARD), settings.get("batch_size", BATCH)
    rounding = {"batch_size": batch_size, "shard_size": shard_size, "threads": settings.get("threads", 1)}
    parts, dtype = {"regions": source.identity, **rounding}, settings.get("dtype", "float32")
    found = Plan.of(instances.with_columns(text=pl.lit("")), shard_size).pictures
    pictures = [Picture(*picture) for picture in found]
    chunks = [Chunk(KINDS, pictures[start : start + shard_size]) for start in range(0, len(pictures), shard_size)]
    plan = Plan(pictures, [], [], chunks)
    stop, name = StopRequest() if stop is None else stop, shared_round or round_name()
    writer = Writer(folder, parts, dtype)

    def finish(shards: Sequence[Shard]) -> None:
        last = Writer(folder, parts, dtype)
        last.keep(shards)
        names = [("image", picture.image_id, row) for row, picture in enumerate(pictures)]
        index = pl.DataFrame(names, schema={"kind": pl.String, "name": pl.String, "row": pl.Int64}, orient="row")
        store = last.finish(index, source.dim, **facts)
        on_finish(RegionStore(folder, store.manifest))

    with ThreadPoolExecutor(settings.get("workers", 2)) as pool:
        try:
            make(Reading(source, pool, batch_size, stop), writer, plan, name, label, finish)
        finally:
            pool.shutdown(cancel_futures=True)
    return RegionStore(folder, writer.finished().manifest)


@dataclass
class Reading:
    """A source at work on whole chunks."""

    source: Source
    pool: ThreadPoolExecutor
    batch_size: int
    stop: StopRequest

    def inputs(self, chunk: Chunk) -> str:
        contents = []
        for content in self.pool.map(lambda picture: _told(self.source.inputs, picture), chunk.items):
            self.stop.raise_if_set()
            contents.append(content)
        return files.digest([[picture.image_id, c] for picture, c in zip(chunk.items, contents, strict=True)])

    def rows(self, chunk: Chunk) -> dict[str, np.ndarray]:
        """Read and embed batch after batch."""
        found: list[Regions] = []
        for start in range(0, len(chunk.items), self.batch_size):
            self.stop.raise_if_set()
            batch = chunk.items[start : start + self.batch_size]
            loaded = list(self.pool.map(lambda picture: _told(self.source.load, picture), batch))
            for picture, regions in zip(batch, self.source.regions(loaded), strict=True):
                found.append(checked(regions, self.source.dim, picture))
        return {
            "region": np.concatenate([regions.features for regions in found]),
            "location": np.concatenate([regions.locations for regions in found]),
            "count": np.array([[len(regions.features)] for regions in found], dtype=np.int64),
        }


def checked(regions: Regions, dim: int, picture: Picture) -> Regions:
    """The regions as float32, if they are what the store wants.

    Raises:
        UserError: another width than `dim`, no region, or a value that is no number.
    """
    features, locations = (np.asarray(part, np.float32) for part in regions)
    where = f"the regions of picture {picture.image_id!r} ({picture.path})"
    if features.ndim != 2 or not len(features) or features.shape[1] != dim:
        raise UserError(f"{where} have shape {list(features.shape)}; wanted are at least one of width dim: {dim}")
    if locations.shape != (len(features), LOCATION):
        raise UserError(f"{where} have {len(features)} features and locations of shape {list(locations.shape)}")
    if not (np.isfinite(features).all() and np.isfinite(locations).all()):
        raise UserError(f"{where} hold values that are no finite numbers; replace their file")
    return Regions(features, locations)


def locations(boxes: np.ndarray) -> np.ndarray:
    """Relative boxes [R, 4] (x1, y1, x2, y2) -> [R, 7], with width, height and their product (official)."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes, sides, sides[:, :1] * sides[:, 1:]], axis=1)


def named(pattern: str, picture: Picture, where: str) -> str:
    """A name made of a picture's: ``{image_id}``, its file's ``{stem}``, the ``{folder}`` it lies in, and ``{number}``,
    the digits at the stem's end.

    >>> named("coco_{folder}_{number:012d}.npz", Picture("7", Path("train2014/COCO_train2014_000000000007.jpg")), "")
    'coco_train2014_000000000007.npz'

    Raises:
        UserError: another field, or no digits where a number is asked for.
    """
    stem = picture.path.stem
    digits = stem[len(stem.rstrip("0123456789")) :]
    fields: dict[str, Any] = {"image_id": picture.image_id, "stem": stem, "folder": picture.path.parent.name}
    if digits:
        fields["number"] = int(digits)
    try:
        return pattern.format(**fields)
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(
            f"{where} {pattern!r} cannot name picture {picture.image_id!r} ({picture.path}): {error}; its fields are "
            "{image_id}, {stem}, {folder} and, where the file's name ends in digits, {number}"
        ) from error


def _told(reader: Callable[[Picture], Any], picture: Picture) -> Any:
    try:
        return reader(picture)
    except FileNotFoundError:
        raise UserError(
            f"the picture {picture.path} (image id {picture.image_id!r}) is missing; download or prepare the data again"
        ) from None
    except OSError as error:
        raise UserError(
            f"the picture {picture.path} (image id {picture.image_id!r}) cannot be read: {error}; replace the file"
        ) from error
