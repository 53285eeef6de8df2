"""Published formats of region features: UNITER's npz and LMDB files, and the bottom-up-attention TSV.

- **npz**: one file per image with ``features`` [N, D], ``norm_bb`` [N, 6] (x1, y1, x2, y2, width, height, relative),
  ``conf`` [N] and others that are not read (ChenRocks/UNITER, BUTD docker image).
- **lmdb**: a folder with ``data.mdb``; keys are the npz files' names, values an npz's bytes (``*_compressed``) or
  msgpack with msgpack_numpy's arrays (`scripts/convert_imgdir.py` writes both).
- **tsv**: lines of image_id, image_w, image_h, num_boxes, boxes, features, the last two base64 of float32
  (peteanderson80/bottom-up-attention, `read_tsv.py`).

Nothing is unpickled: arrays of objects are refused.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vlkd_steps.core import arrays, inside
from vlkd_steps.core.errors import UserError

Arrays = Mapping[str, np.ndarray]


FREED = 16 << 20
"""Bytes at an LMDB's end that were freed before they were written, and may be missing from a whole one."""


class Reader(Protocol):
    """Features of images by name."""

    def get(self, name: str) -> bytes | None:
        """The content stored under a name; None: nothing."""

    def decode(self, content: bytes) -> Arrays:
        """``features`` [N, D], ``norm_bb`` [N, 4 or more] and, if present, ``conf`` [N].

        Raises:
            ValueError: the content is damaged.
        """


class NpzFolder:
    """A folder of npz files."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"the folder of region features {folder} is missing; put the .npz files there")
        self.folder = folder

    def get(self, name: str) -> bytes | None:
        path = inside.path(self.folder, name, f"the name of an image's features in {self.folder}", links=True)
        return path.read_bytes() if path.is_file() else None

    def decode(self, content: bytes) -> Arrays:
        return from_npz(content)


class Lmdb:
    """An LMDB environment."""

    def __init__(self, folder: Path) -> None:
        try:
            import lmdb
        except ModuleNotFoundError as error:
            raise UserError("reading LMDB needs the package lmdb; install it: pip install lmdb msgpack") from error
        if not (folder / "data.mdb").is_file():
            raise UserError(
                f"the LMDB folder {folder} has no data.mdb; name the folder with it, such as "
                "img_db/coco_train2014/feat_th0.2_max100_min10"
            )
        self.folder, self._error = folder, lmdb.Error
        try:
            self._environment = lmdb.open(str(folder), readonly=True, lock=False, create=False, readahead=False)
        except lmdb.Error as error:
            raise UserError(f"the LMDB {folder} cannot be opened ({error}); copy it again") from error
        there = (folder / "data.mdb").stat().st_size
        whole = (self._environment.info()["last_pgno"] + 1) * self._environment.stat()["psize"]
        if there < whole - min(FREED, whole // 10):  # to read beyond the end would kill the process
            raise UserError(f"the LMDB {folder} is cut off: data.mdb has {there} of {whole} bytes; copy it again")

    def get(self, name: str) -> bytes | None:
        try:
            with self._environment.begin() as transaction:
                return transaction.get(name.encode())
        except self._error as error:
            raise UserError(f"the LMDB {self.folder} cannot be read at {name!r} ({error}); copy it again") from error

    def decode(self, content: bytes) -> Arrays:
        return from_npz(content) if content[:2] == b"PK" else from_msgpack(content)


class Tsv:
    """One or several TSV files with one line per image; one pass finds the offsets of the lines."""

    def __init__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            if not path.is_file():
                raise UserError(f"the file of region features {path} is missing; put it there")
        self.paths = paths

    @cached_property
    def _lines(self) -> dict[str, tuple[Path, int, int]]:
        """For each image id its file, and the first byte and length of its line."""
        lines = {}
        for path in self.paths:
            with path.open("rb") as stream:
                start = 0
                for line in stream:
                    lines[line[: line.find(b"\t")].decode("utf-8", "replace")] = (path, start, len(line))
                    start += len(line)
        return lines

    def get(self, name: str) -> bytes | None:
        if name not in self._lines:
            return None
        path, start, length = self._lines[name]
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)

    def decode(self, content: bytes) -> Arrays:
        return from_tsv(content)


def from_npz(content: bytes) -> Arrays:
    return arrays.from_npz(content, ("features", "norm_bb", "conf"))


def from_msgpack(content: bytes) -> Arrays:
    try:
        import msgpack
    except ModuleNotFoundError as error:
        raise UserError("this LMDB's values need the package msgpack; install it: pip install msgpack") from error

    def array(value: dict[Any, Any]) -> Any:
        if b"nd" not in value:
            return value
        if value.get(b"kind", b"") != b"" or not isinstance(value.get(b"type"), str):
            raise ValueError("an array of objects or records")
        return np.frombuffer(value[b"data"], np.dtype(value[b"type"])).reshape(value.get(b"shape", ()))

    try:
        stored = msgpack.unpackb(content, object_hook=array, raw=False, strict_map_key=False)
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"neither an npz nor msgpack: {error}") from error
    if not isinstance(stored, dict):
        raise ValueError("no dictionary of arrays")
    return {name: value for name, value in stored.items() if isinstance(value, np.ndarray)}


def from_tsv(content: bytes) -> Arrays:
    parts = content.rstrip(b"\r\n").split(b"\t")
    if len(parts) != 6:
        raise ValueError(
            f"a line of {len(parts)} columns; wanted: image_id, image_w, image_h, num_boxes, boxes, features"
        )
    try:
        width, height, number = (int(part) for part in parts[1:4])
        boxes, features = (np.frombuffer(base64.b64decode(part, validate=True), "<f4") for part in parts[4:])
    except (ValueError, binascii.Error) as error:
        raise ValueError(f"a damaged line: {error}") from error
    if number < 1 or width < 1 or height < 1 or len(boxes) != 4 * number or len(features) % number:
        raise ValueError(f"{number} boxes of {len(boxes)} numbers and {len(features)} features")
    scale = np.array([width, height, width, height], np.float32)
    return {"features": features.reshape(number, -1), "norm_bb": boxes.reshape(number, 4) / scale}


FORMATS: dict[str, Callable[[Sequence[Path]], list[Reader]]] = {
    "npz": lambda paths: [NpzFolder(path) for path in paths],
    "lmdb": lambda paths: [Lmdb(path) for path in paths],
    "tsv": lambda paths: [Tsv(paths)],
}
"""By the configuration's ``format``."""
