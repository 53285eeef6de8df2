"""Features of given boxes: pooled from an image's pixels, or from a feature map of any timm model.

A configuration's ``backbone`` is ``pixels`` (choice: for images so small that their pixels are features, such as
scenes: a box is resampled to ``pool`` x ``pool`` RGB values in [-1, 1]) or ``timm:NAME`` with ``weights`` (a
safetensors or .pth file, or ``pretrained`` for those that timm fetches). The last of the model's feature maps is used
(``layer``: another), and a box is averaged over ``pool`` x ``pool`` cells, as bottom-up attention averages its last
block.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from vlkd_steps.core import hardware
from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import report, timm_models
from vlkd_steps.teachers.models.computing import device_of
from vlkd_steps.teachers.models.weights import weights_digest

POOL = {"pixels": 8, "timm": 7}
"""Sides of the pooled grid (defaults)."""

SHORTER_SIDE = 600
"""Pixels of the shorter side for timm models (default; bottom-up attention's)."""


class Backbone(Protocol):
    """Features of boxes.

    Attributes:
        identity: what they depend on besides the image (JSON).
        dim: their width D.
        side: pixels to which an image's shorter side is resized; 0: it is not.
        device: that computes them.
    """

    identity: dict[str, Any]
    dim: int
    side: int
    device: torch.device

    def pooled(self, image: Image.Image, boxes: np.ndarray) -> np.ndarray:
        """An RGB image and relative boxes [R, 4] -> float32 [R, D]."""


class Pixels:
    """The pixels themselves."""

    side = 0
    device = torch.device("cpu")

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.pool = int(config.get("pool", POOL["pixels"]))
        self.dim = 3 * self.pool**2
        self.identity: dict[str, Any] = {"backbone": "pixels", "pool": self.pool}

    def pooled(self, image: Image.Image, boxes: np.ndarray) -> np.ndarray:
        pixels = tensor(image) * 2 - 1
        return roi(pixels[None], boxes, self.pool).flatten(1).numpy()


class Timm:
    """A feature map of a timm model."""

    def __init__(self, config: Mapping[str, Any], device: str) -> None:
        """
        Raises:
            UserError: model or layer are unknown, the weights are missing, unreachable or of another model, or the
                model takes images of one size only.
        """
        where = f"extractor {config['name']}"
        self.name = str(config["backbone"]).removeprefix("timm:")
        self.device = torch.device(device)
        self.pool = int(config.get("pool", POOL["timm"]))
        self.layer = int(config.get("layer", -1))
        self.side = int(config.get("shorter_side", SHORTER_SIDE))
        timm_models.check_name(self.name, f"{where}: backbone")
        model = feature_maps(self.name, config.get("weights"), where)
        self.model = model.eval().requires_grad_(False).to(self.device)
        defaults = model.pretrained_cfg
        self.mean, self.std = (torch.tensor(defaults[key]).view(3, 1, 1) for key in ("mean", "std"))
        widths = model.feature_info.channels()
        maps = len(widths)
        if not -maps <= self.layer < maps:
            raise UserError(f"{where}: layer is {self.layer}, and {self.name} has {maps} maps; write 0 to {maps - 1}")
        self.dim = widths[self.layer]
        self._check(where)
        self.identity: dict[str, Any] = {
            "backbone": self.name,
            "weights": weights_digest(model),
            **timm_models.described(self.name),
            "pool": self.pool,
            "layer": self.layer,
            "shorter_side": self.side,
        }

    def _check(self, where: str) -> None:
        """Try a wide image: transformers assert their own size, and some have the width of their maps last."""
        shown, why = Image.new("RGB", (self.side + self.side // 3, self.side)), ""
        try:
            width = self.pooled(shown, np.array([[0, 0, 1, 1]])).shape[1]
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, RuntimeError) as error:
            width, why = 0, f" ({report.brief(error)})"
        if width != self.dim:
            raise UserError(
                f"{where}: {self.name} has no feature map of an image of any size{why}; name a convolutional model, "
                "such as resnet101"
            )

    @torch.inference_mode()
    def pooled(self, image: Image.Image, boxes: np.ndarray) -> np.ndarray:
        scale = self.side / min(image.size)
        size = (round(image.height * scale), round(image.width * scale))
        pixels = functional.interpolate(tensor(image)[None], size, mode="bilinear", antialias=True)
        with hardware.tf32(self.device.type, allowed=False):
            maps = self.model(((pixels[0] - self.mean) / self.std)[None].to(self.device))
        return roi(maps[self.layer].float(), boxes, self.pool).mean((2, 3)).cpu().numpy()


def feature_maps(name: str, weights: Any, where: str) -> Any:
    """The timm model `name` that gives its feature maps, with its weights.

    Raises:
        UserError: they are missing, unreachable or of another model.
    """
    if not weights:
        raise UserError(
            f"{where}: backbone {name} needs weights: a safetensors or .pth file, or pretrained for those that timm "
            "fetches"
        )
    if weights != "pretrained" and not Path(str(weights)).is_file():
        raise UserError(f"{where}: the weights {weights} are missing; put the file there")
    try:
        if weights == "pretrained":
            return timm_models.pretrained(name, where, features_only=True)
        return timm_models.from_file(name, Path(str(weights)), where, features_only=True)
    except (UserError, OSError) as error:
        raise UserError(f"{where}: {name} cannot be loaded from {weights} ({report.brief(error)})") from error


def tensor(image: Image.Image) -> Tensor:
    """An RGB image as float32 [3, H, W] in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def roi(maps: Tensor, boxes: np.ndarray, pool: int) -> Tensor:
    """One image's map [1, C, H, W] and relative boxes [R, 4] -> [R, C, pool, pool]."""
    height, width = maps.shape[2:]
    scaled = torch.from_numpy(np.asarray(boxes, np.float32) * np.array([width, height] * 2, np.float32))
    return roi_align(maps, [scaled.to(maps.device)], pool, aligned=True)


def create(config: Mapping[str, Any]) -> Backbone:
    """The backbone that an extractor's configuration names."""
    name = str(config.get("backbone", "pixels"))
    if name == "pixels":
        return Pixels(config)
    if name.startswith("timm:"):
        return Timm(config, device_of(config))
    raise UserError(f"extractor {config['name']}: backbone is {name!r}; write pixels or timm:NAME")
