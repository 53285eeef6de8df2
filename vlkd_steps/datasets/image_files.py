"""The path of a record's image: the name pattern of a data set's conf, checked against the folder."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.core import inside, layout, patterns, raw_files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.records import complaint
from vlkd_steps.datasets.tally import Unusable


class ImageFolder:
    """The images of one split. ``images: null`` in the conf means text only: every path is empty."""

    def __init__(self, folder: Path | None) -> None:
        """List the folder once: a listing is much cheaper than a stat of each of 80,000 files.

        Raises:
            UserError: the folder does not exist.
        """
        self.folder = folder
        self.known: dict[str, str] = {}  # paths by name: many records share an image
        self.sizes: dict[str, dict[str, int]] = {}  # by subfolder, listed when the first record names it
        self.composed: dict[str, dict[str, str]] = {}  # by subfolder: names in one form of Unicode (NFC) -> as they are
        if folder is None:
            return
        try:
            self.sizes[""] = _listing(folder)
        except OSError as error:
            raise UserError(
                f"{folder}: the folder of images cannot be read ({error.strerror}); check `files.<split>.images` "
                "in the data set's conf (null means: text only)"
            ) from error

    def path(self, name: str, records: Path, where: str) -> str:
        """The path of the image `name` that a record in the file `records` names; it may be in a subfolder.

        Raises:
            Unusable: there is no such image, or it is empty.
            UserError: its name leaves the folder, or it was there when its source was downloaded.
        """
        if self.folder is None:
            return ""
        if name in self.known:
            return self.known[name]
        size = self._size(name, records, where)
        if size is None and (other := self._composed_otherwise(name)):
            self.known[name] = self.path(other, records, where)
            return self.known[name]
        if size is None:
            raw_files.check_missing(self.folder / name)
            problem = f"the image {self.folder / name} is missing"
            raise Unusable("image is missing", records, where, problem, "add it, or check image_name")
        if size == 0:
            raw_files.check(self.folder / name, b"")
            problem = f"the image {self.folder / name} is empty"
            raise Unusable("image is empty", records, where, problem, "fetch it again")
        self.known[name] = (self.folder / name).as_posix()
        return self.known[name]

    def _size(self, name: str, records: Path, where: str) -> int | None:
        assert self.folder is not None
        if problem := inside.fault(name):
            raise complaint(
                records,
                where,
                f"the image {name[: inside.SHOWN]!r} is outside the folder of images, or cannot be in it: it {problem}",
                "correct it",
            )
        subfolder, _, last = name.rpartition("/")
        if subfolder not in self.sizes:
            inner = inside.folder(self.folder, subfolder, f"{records}: {where}")
            try:
                self.sizes[subfolder] = _listing(inner)
            except OSError:
                self.sizes[subfolder] = {}
        return self.sizes[subfolder].get(last)

    def _composed_otherwise(self, name: str) -> str | None:
        """The file whose name is the same text in another form of Unicode: macOS writes e and an accent for é."""
        subfolder, slash, last = name.rpartition("/")
        if name.isascii():
            return None
        if subfolder not in self.composed:
            listed = sorted(self.sizes[subfolder], reverse=True)
            self.composed[subfolder] = {unicodedata.normalize("NFC", each): each for each in listed}
        found = self.composed[subfolder].get(unicodedata.normalize("NFC", last))
        return f"{subfolder}{slash}{found}" if found else None

    def names(self, pattern: str, image_ids: Sequence[Any], **columns: Sequence[Any]) -> list[str]:
        """File names for image ids by a format pattern with ``{image_id}`` and ``{folder}``.

        Args:
            pattern: e.g. ``COCO_{folder}_{image_id:012d}.jpg``.
            image_ids: one per record.
            columns: further fields of the records that the pattern may name, in the same order.

        Raises:
            UserError: the pattern does not fit.
        """
        folder = self.folder.name if self.folder is not None else ""
        try:
            patterns.check(pattern, ("image_id", "folder", *columns))
            return [
                pattern.format(image_id=image_id, folder=folder, **{key: columns[key][n] for key in columns})
                for n, image_id in enumerate(image_ids)
            ]
        except ValueError as error:
            fields = "".join(f", {{{name}}} is a field of the records" for name in columns)
            raise UserError(
                f"image_name {pattern!r} is no pattern for image ids such as {image_ids[0]!r} ({error}); write e.g. "
                f"'COCO_{{folder}}_{{image_id:012d}}.jpg', where {{folder}} is the name of the folder of images{fields}"
            ) from error


def of(dataset: Mapping[str, Any], paths: Mapping[str, Any], folder: Path) -> ImageFolder:
    """The images of one entry of the conf's ``files``.

    They are in the source's raw folder, or in that of ``image_source`` where several data sets share images.
    """
    root = layout.raw(dataset["image_source"]) if dataset.get("image_source") else folder
    where = f"data set {dataset.get('name')}: images"
    return ImageFolder(inside.folder(root, paths["images"], where) if paths.get("images") else None)


def _listing(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
