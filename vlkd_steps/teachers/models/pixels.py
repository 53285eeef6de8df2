"""An image as a frozen encoder takes it: resized and cropped in 8 bits where its file is read, normalised where the
model computes.

``transform`` of a teacher's configuration says how images are resized:

- ``exact`` (default): by Pillow, as open_clip and timm do it;
- ``fast``: by torch's 8-bit kernels, an ordinary JPEG decoded by libjpeg-turbo alone. Pixels may differ by a level,
  and features by more than 1e-3 (`benchmarks/transforms.py` prints by how much).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Normalize, Resize
from torchvision.transforms.functional import InterpolationMode

from vlkd_steps.core import image_file
from vlkd_steps.core.errors import UserError
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
        *steps, last = transform.transforms
        assert isinstance(last, Normalize)
        self._shaping = [step for step in steps if not type(step).__name__.startswith(("Maybe", "ToTensor"))]
        self._mean, self._std = (
            torch.as_tensor(part).view(3, 1, 1).to(computing.device) for part in (last.mean, last.std)
        )
        self._device = computing.device
        way = config.get("transform", "exact")
        if way not in ("exact", "fast"):
            raise UserError(f"a teacher's transform is {way!r}; write exact or fast")
        self._fast = way == "fast"
        if self._fast and (other := next((step for step in self._shaping if not _has_tensor_form(step)), None)):
            raise UserError(f"transform: fast does not know a step of this model's transform, {other}; write exact")
        self.identity = f"fast {transform!r}" if self._fast else repr(transform)

    def of(self, content: bytes, name: Path | str) -> Tensor:
        """The bytes of an image file as uint8 [3, S, S]; never on a GPU, so that any process may do it.

        Raises:
            ImageError: as `image_file.decode`.
        """
        return self._shaped(image_file.pixels(content, name) if self._fast else image_file.decode(content, name))

    def read(self, path: Path) -> Tensor:
        """An image file, as `of`."""
        return self.of(image_file.read_bytes(path), path)

    def blank(self) -> Tensor:
        """A black image, uint8 [3, S, S]."""
        return self._shaped(Image.new("RGB", (8, 8)))

    def batch(self, images: Sequence[Tensor] | Tensor) -> Tensor:
        """B images as `of` gives them -> what the model takes, float32 [B, 3, S, S] on its device."""
        stacked = images if isinstance(images, Tensor) else torch.stack(list(images))
        return (stacked.to(self._device, non_blocking=True).float() / 255).sub_(self._mean).div_(self._std)

    def _shaped(self, image: Any) -> Tensor:
        for step in self._shaping:
            image = step(image)
        return image if isinstance(image, Tensor) else torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _has_tensor_form(step: Any) -> bool:
    smooth = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)
    return type(step) is CenterCrop or (type(step) is Resize and step.antialias and step.interpolation in smooth)
