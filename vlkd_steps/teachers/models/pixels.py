"""Image transforms of frozen encoders: resized and cropped in 8 bits by the process that reads the file, normalised on
the model's device.

``transform`` of a teacher's configuration says how images are resized:

- ``exact`` (default): by Pillow, as in open_clip and timm;
- ``fast``: by torch's 8-bit kernels. Pixels of photos differ by at most one level; at hard edges of upright images that
  are squeezed into a square by more, since Pillow resizes these vertically first. `benchmarks/transforms.py` prints how
  much features differ.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Normalize, Resize, v2
from torchvision.transforms.functional import InterpolationMode

from vlkd_steps.core import hardware, image_file
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.decoding import shorter_side
from vlkd_steps.teachers.models.computing import Computing


class Pixels:
    """An evaluation transform of open_clip or timm in two parts.

    Attributes:
        identity: a part of the teacher's identity (JSON).
    """

    def __init__(self, transform: Any, config: Mapping[str, Any], computing: Computing) -> None:
        """
        Raises:
            UserError: ``transform`` is neither exact nor fast, or fast does not know the model's steps.
        """
        way = config.get("transform", "exact")
        if way not in ("exact", "fast"):
            raise UserError(f"a teacher's transform is {way!r}; write exact or fast")
        *steps, last = transform.transforms
        assert isinstance(last, Normalize)
        self._side = shorter_side(transform)
        self._fast = way == "fast"
        self._shaping = [step for step in steps if not type(step).__name__.startswith(("Maybe", "ToTensor"))]
        if self._fast:
            self._shaping = [_on_tensors(step) for step in self._shaping]
        self._white, self._mean, self._std = (
            torch.as_tensor(part, dtype=torch.float32).view(-1, 1, 1).to(computing.device)
            for part in (255, last.mean, last.std)
        )  # 255 as a tensor: for a plain number, a GPU multiplies by the reciprocal
        self.identity = f"fast {transform!r}" if self._fast else repr(transform)

    def of(self, content: bytes, name: Path | str) -> Tensor:
        """The bytes of an image file as uint8 [3, S, S]; never on a GPU, so that any process can run it.

        Raises:
            ImageError: as `image_file.decode`, or an image that is too thin for the model's transform.
        """
        image = image_file.decode(content, name)
        image_file.check_side(image.size, self._side, name)
        try:
            return self._shaped(image)
        except ValueError as error:  # from Pillow, for an image so thin that a side would have no pixels
            raise image_file.thin(image.size, name, error) from error

    def read(self, path: Path) -> Tensor:
        """An image file, as `of`."""
        return self.of(image_file.read_bytes(path), path)

    def blank(self) -> Tensor:
        """A black image, uint8 [3, S, S]."""
        return self._shaped(Image.new("RGB", (8, 8)))

    def batch(self, images: Sequence[Tensor] | Tensor) -> Tensor:
        """B images from `of` -> the model's input, float32 [B, 3, S, S] on its device."""
        stacked = images if isinstance(images, Tensor) else torch.stack(list(images))
        shown = hardware.moved(stacked, self._white.device).float()
        return shown.div_(self._white).sub_(self._mean).div_(self._std)

    def _shaped(self, image: Image.Image) -> Tensor:
        found: Any = _tensor(image) if self._fast else image
        for step in self._shaping:
            found = step(found)
        return (found if self._fast else _tensor(found)).contiguous()


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _on_tensors(step: Any) -> Any:
    """A step of a transform with torch's 8-bit kernels.

    Raises:
        UserError: there is none for it.
    """
    smooth = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)
    if type(step) is Resize and step.interpolation in smooth:
        return v2.Resize(step.size, step.interpolation, step.max_size, antialias=True)
    if type(step) is CenterCrop:
        return step
    raise UserError(f"transform: fast does not know a step of this model's transform, {step}; write exact")
