"""Where a record's image lies: the name pattern of a data set's conf, checked against the folder."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.datasets.records import complaint
from vlkd_steps.errors import UserError


class ImageFolder:
    """The images of one split. ``images: null`` in the conf means text only: every path is empty."""

    def __init__(self, folder: Path | None) -> None:
        """List the folder once: a listing is much cheaper than asking for 80,000 files one by one.

        Raises:
            UserError: the folder does not exist.
        """
        self.folder = folder
        self.sizes: dict[str, int] = {}
        if folder is None:
            return
        try:
            with os.scandir(folder) as entries:
                self.sizes = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except OSError as error:
            raise UserError(
                f"{folder}: the folder of images cannot be read ({error.strerror}); check `files.<split>.images` "
                "in the data set's conf (null means: text only)"
            ) from error

    def path(self, name: str, records: Path, where: str) -> str:
        """The path of the image `name` that a record in the file `records` asks for.

        Raises:
            UserError: there is no such image, or it is empty.
        """
        if self.folder is None:
            return ""
        size = self.sizes.get(name)
        if size is None:
            raise complaint(records, where, f"the image {self.folder / name} is missing", "add it, or check image_name")
        if size == 0:
            raise complaint(records, where, f"the image {self.folder / name} is empty", "fetch it again")
        return (self.folder / name).as_posix()

    def names(self, pattern: str, image_ids: Sequence[Any]) -> list[str]:
        """File names for image ids by a format pattern with ``{image_id}`` and ``{folder}``.

        Raises:
            UserError: the pattern does not fit.
        """
        folder = self.folder.name if self.folder is not None else ""
        try:
            return [pattern.format(image_id=image_id, folder=folder) for image_id in image_ids]
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(
                f"image_name {pattern!r} is no pattern for image ids such as {image_ids[0]!r} ({error}); write e.g. "
                "'COCO_{folder}_{image_id:012d}.jpg', where {folder} is the name of the folder of images"
            ) from error
