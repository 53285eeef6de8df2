"""Regions extracted by others, such as UNITER's bottom-up-attention features.

A configuration (`conf/teacher/butd*.yaml`) of kind ``regions_files`` names

- ``format``: npz, lmdb or tsv (`region_files`), and ``files``: folders, or the TSV's parts;
- ``key``: the name of an image's features (`region_extraction.named`), or several, of which the first that exists is
  used;
- ``dim``: their width;
- ``confidence``, ``min_regions``, ``max_regions``: regions above `confidence` are used, but at least `min_regions` and
  at most `max_regions` (official: 0.2, 10, 100), the surest ones, in the file's order. Without confidences, or where
  `confidence` is -1, the first `max_regions` are;
- ``parts``: instead, a list of such mappings, whose regions are concatenated (VCR: given boxes, then detected ones);
- ``by_dataset``: any of these keys for one data set.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features.extraction import ImageRef
from vlkd_steps.teachers.regions import region_files
from vlkd_steps.teachers.regions.region_extraction import Reading, Regions, locations, named
from vlkd_steps.teachers.regions.region_files import Arrays, Reader

CONFIDENCE = 0.2
MINIMUM = 10
MAXIMUM = 100
PIXELS = 2.0
"""A corner beyond it is no share of an image's side, which may exceed 1 by rounding, but a number of pixels."""


class Part:
    """One set of files, and which of its regions are used."""

    def __init__(self, config: Mapping[str, Any], name: str) -> None:
        if config.get("format") not in region_files.FORMATS:
            known = ", ".join(region_files.FORMATS)
            raise UserError(f"extractor {name}: format is {config.get('format')!r}; there are {known}")
        if not config.get("files") or not config.get("key"):
            raise UserError(
                f"extractor {name} names no files and key for this data set; see conf/teacher/butd.yaml, by_dataset"
            )
        self.name = name
        self.keys = [config["key"]] if isinstance(config["key"], str) else list(config["key"])
        self.paths = [Path(path) for path in config["files"]]
        self.readers: list[Reader] = region_files.FORMATS[config["format"]](self.paths)
        self.confidence = float(config.get("confidence", CONFIDENCE))
        self.minimum = int(config.get("min_regions", MINIMUM))
        self.maximum = int(config.get("max_regions", MAXIMUM))
        self.identity = [config["format"], self.keys, self.confidence, self.minimum, self.maximum, "surest"]

    def content(self, ref: ImageRef) -> bytes:
        """
        Raises:
            UserError: no file has the image.
        """
        names = [named(key, ref, f"extractor {self.name}: key") for key in self.keys]
        for name in names:
            for reader in self.readers:
                content = reader.get(name)
                if content is not None:
                    return content
        raise UserError(
            f"extractor {self.name}: there are no features {' or '.join(map(repr, names))} for image "
            f"{ref.image_id!r} ({ref.path}) in {self._where}; add the files that have them, or correct `key`"
        )

    def regions(self, ref: ImageRef) -> Regions:
        """
        Raises:
            UserError: no file has the image, or its features are damaged.
        """
        content = self.content(ref)
        try:
            return self._taken(self.readers[0].decode(content))
        except ValueError as error:
            raise UserError(
                f"extractor {self.name}: the features of image {ref.image_id!r} ({ref.path}) in "
                f"{self._where} are damaged: {error}; fetch them again"
            ) from error

    def _taken(self, arrays: Arrays) -> Regions:
        missing = [name for name in ("features", "norm_bb") if name not in arrays]
        if missing:
            raise ValueError(f"no {missing[0]} among {sorted(arrays)}")
        for name, array in sorted(arrays.items()):
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are no finite floating-point numbers")
        features, boxes = arrays["features"], arrays["norm_bb"]
        if features.ndim != 2 or boxes.ndim != 2 or len(features) != len(boxes) or boxes.shape[1] not in (4, 6, 7):
            raise ValueError(f"features of shape {list(features.shape)} with boxes of shape {list(boxes.shape)}")
        if len(boxes) and (boxes[:, :4].max() > PIXELS or (boxes[:, 2:4] < boxes[:, :2]).any()):
            raise ValueError("norm_bb are no corners x1, y1, x2, y2 as shares of the image's width and height")
        sure = arrays.get("conf")
        if sure is not None and sure.shape != (len(features),):
            raise ValueError(f"conf of shape {list(sure.shape)} for {len(features)} regions")
        kept = self._kept(sure, len(features))
        features, boxes = features[kept], boxes[kept].astype(np.float32)
        if boxes.shape[1] == 4:
            return Regions(features, locations(boxes))
        return Regions(features, np.concatenate([boxes[:, :6], boxes[:, 4:5] * boxes[:, 5:6]], axis=1))

    def _kept(self, sure: np.ndarray | None, regions: int) -> np.ndarray:
        """The numbers of the regions that are used, in the file's order, of confidences `sure` [`regions`]."""
        if sure is None or self.confidence < 0:  # all, from the first on: VCR's tags are the numbers of given boxes
            return np.arange(min(self.maximum, regions))
        number = min(self.maximum, max(self.minimum, int((sure > self.confidence).sum())))
        return np.sort(np.argsort(-sure, kind="stable")[:number])

    @property
    def _where(self) -> str:
        return ", ".join(map(str, self.paths))


class FileSource:
    """Regions from files of features; see `region_extraction.Source`."""

    maker = Reading

    def __init__(self, config: Mapping[str, Any]) -> None:
        name = config["name"]
        if not config.get("dim"):
            raise UserError(f"extractor {name} does not state the width of its features; set dim (UNITER's: 2048)")
        self.dim = int(config["dim"])
        shared = {key: value for key, value in config.items() if key != "parts"}
        self.parts = [Part({**shared, **part}, name) for part in config.get("parts") or [{}]]
        self.identity: dict[str, Any] = {"kind": "files", "parts": [part.identity for part in self.parts]}

    def inputs(self, ref: ImageRef) -> str:
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(hashlib.sha256(part.content(ref)).digest())
        return digest.hexdigest()

    def load(self, ref: ImageRef) -> Regions:
        found = [part.regions(ref) for part in self.parts]
        widths = sorted({regions.features.shape[1] for regions in found})
        if len(widths) > 1:
            raise UserError(f"image {ref.image_id!r}: its parts' features are {widths} wide; take files of one kind")
        return Regions(
            np.concatenate([regions.features for regions in found]),
            np.concatenate([regions.locations for regions in found]),
        )

    def regions(self, loaded: Sequence[Regions]) -> list[Regions]:
        return list(loaded)


def load(config: Mapping[str, Any]) -> FileSource:
    """The source that a configuration of kind ``regions_files`` describes."""
    return FileSource(config)
