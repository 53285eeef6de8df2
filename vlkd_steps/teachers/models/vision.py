"""A unimodal vision teacher, over timm: any of its models by name, from a local file, a package or the hub.

A teacher's configuration (``conf/teacher/*.yaml``, ``kind: vision``) names

- ``model``: a timm model name;
- ``weights``: a .safetensors or .pth file (read with ``weights_only``), inside the distribution ``package`` where that
  is named; left out: the weights that timm fetches from the hub;
- ``image_size``: pixels; left out: the model's own;
- ``crop``: ``whole`` (default) squeezes the image into the square, as students see it; ``centre`` is timm's own
  evaluation transform, which cuts the edges off;
- ``transform``: ``exact`` or ``fast`` (`pixels`);
- ``patches: true``: stores the last feature map as well, [P, W] row by row.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor

from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.hardware import resolve_device
from vlkd_steps.pretrained import report, timm_models
from vlkd_steps.teachers.models.computing import Computing
from vlkd_steps.teachers.models.pixels import Pixels
from vlkd_steps.teachers.models.weights import resolve, weights_digest


class VisionTeacher:
    """A frozen image encoder.

    Attributes:
        kinds: what it gives, for `extraction`.
        identity: what the features depend on (JSON).
        dim: width D of the pooled features v.
    """

    def __init__(self, config: Mapping[str, Any], device: str = "cpu") -> None:
        """Build the model that `config` names and load its weights.

        Raises:
            UserError: an unknown model or crop, weights that are missing, unreachable or of another model, or a model
                without the square feature map that ``patches`` asks for.
        """
        self.name: str = config["name"]
        self.computing = Computing(config, device)
        self.model: Any = create(config)
        self.model.eval().requires_grad_(False).to(self.computing.device)
        self.pixels = Pixels(transform(self.model, config), config, self.computing)
        self.kinds = ("image", "patch") if config.get("patches") else ("image",)
        blank = self.pixels.blank()
        self.dim = self.embed_images([blank]).shape[1]
        if "patch" in self.kinds:
            self.embed_patches([blank])
        self.identity: dict[str, Any] = {
            "model": config["model"],
            "weights": weights_digest(self.model),
            "transform": self.pixels.identity,
            "patches": "patch" in self.kinds,
            **self.computing.identity,
        }

    def load_image(self, path: Path) -> Tensor:
        """Read one image, and give it the shape that the model expects: uint8 [3, S, S]."""
        return self.pixels.read(path)

    def embed_images(self, images: Sequence[Tensor] | Tensor) -> np.ndarray:
        """B images of `load_image` -> pooled features v, float32 [B, D]."""
        with self.computing():
            return self.model(self.pixels.batch(images)).float().cpu().numpy()

    def embed_patches(self, images: Sequence[Tensor] | Tensor) -> tuple[np.ndarray, np.ndarray]:
        """As `embed_images`, and the last feature map row by row, float32 [B, P, W] with P a square number."""
        with self.computing():
            features = self.model.forward_features(self.pixels.batch(images))
            pooled = self.model.forward_head(features)
            return pooled.float().cpu().numpy(), patches(self.model, features, self.name).float().cpu().numpy()


def patches(model: Any, features: Tensor, name: str) -> Tensor:
    """The feature map of a timm `model`, [B, C, h, w], [B, h, w, C] or [B, tokens, C] with class tokens in front, as
    [B, P, C].

    Raises:
        UserError: it is no square grid; `name` is the teacher's.
    """
    if features.ndim == 3:
        found = features[:, getattr(model, "num_prefix_tokens", 0) :]
        square = round(found.shape[1] ** 0.5) ** 2 == found.shape[1] > 0
    else:
        first = features.ndim == 4 and features.shape[1] == model.num_features
        grid = features.permute(0, 2, 3, 1) if first else features
        square = grid.ndim == 4 and grid.shape[1] == grid.shape[2]
        found = grid.flatten(1, -2)
    if not square:
        raise UserError(
            f"teacher {name}: features of shape {tuple(features.shape[1:])} are no square grid; "
            "take another model or image_size, or leave `patches` out"
        )
    return found


def load(config: Mapping[str, Any]) -> VisionTeacher:
    """The teacher that a configuration of kind ``vision`` describes, on its ``device`` (default: the best there is)."""
    torch.set_num_threads(config.get("threads", 1))
    return VisionTeacher(config, resolve_device(config.get("device", "auto")))


def create(config: Mapping[str, Any]) -> Any:
    """The timm model of `config` with its weights, without its classifier."""
    name, model, weights = config["name"], config["model"], config.get("weights")
    if ":" not in model and not timm.is_model(model.split(".")[0]):
        hint = nearest(model, timm.list_models(), "timm.list_models() names them all")
        raise UserError(f"teacher {name}: model {model!r} is unknown to timm; {hint}")
    if weights is None:
        try:
            return body(timm_models.pretrained(model, f"teacher {name}"), config)
        except OSError as error:
            raise UserError(
                f"teacher {name}: the weights of {model} cannot be fetched ({report.brief(error)}); connect this "
                "machine to the hub, or copy a file of them here and set `weights` to its path"
            ) from error
    built: Any = timm_models.unweighted(model)
    path = resolve(config.get("package"), weights, name)
    where = f"teacher {name}: {path}"
    report.load(built, fitting(report.tensors(path, f"teacher {name}: weights"), built, where), where)
    return body(built, config)


def body(model: Any, config: Mapping[str, Any]) -> Any:
    """A timm `model` without its classifier, for images of the configuration's size."""
    model.reset_classifier(0)
    if config.get("image_size") and hasattr(model, "set_input_size"):  # a transformer, which resamples its positions
        model.set_input_size(img_size=config["image_size"])
    return model


def transform(model: Any, config: Mapping[str, Any]) -> Any:
    """timm's evaluation transform of `model` for the configuration's size and crop."""
    crop = config.get("crop", "whole")
    if crop not in ("whole", "centre"):
        raise UserError(f"teacher {config['name']}: crop is {crop!r}; write whole or centre")
    data = timm.data.resolve_data_config({}, model=model)
    if config.get("image_size"):
        data["input_size"] = (3, config["image_size"], config["image_size"])
    if crop == "whole":
        data |= {"crop_pct": 1.0, "crop_mode": "squash"}
    return timm.data.create_transform(**data)


def fitting(held: Mapping[str, Tensor], model: Any, where: str) -> dict[str, Tensor]:
    """`held` under the names of `model`, whose classifier is left as it is.

    A file of another library names the layers differently; it fits where all tensors, in order, agree in shape and in
    the last part of their names (weight, bias, running_mean, ...).

    Raises:
        UserError: the file belongs to another model.
    """
    own: dict[str, Tensor] = model.state_dict()
    classifier = str(model.default_cfg.get("classifier") or "classifier")
    body = [name for name in own if not name.startswith(f"{classifier}.")]
    if not set(body) <= set(held):
        in_order = list(zip(own.items(), held.items(), strict=False))
        alike = len(own) == len(held) and all(
            mine.shape == theirs.shape and name.rsplit(".", 1)[-1] == other.rsplit(".", 1)[-1]
            for (name, mine), (other, theirs) in in_order
        )
        if not alike:
            lost = next(name for name in body if name not in held)
            raise UserError(
                f"{where} holds the weights of another model: {lost} is not there, and its {len(held)} tensors do not "
                f"fit the {len(own)} of this one in order; name the file's own model"
            )
        held = {name: theirs for (name, _), (_, theirs) in in_order}
    wrong = [name for name in body if held[name].shape != own[name].shape]
    if wrong:
        raise UserError(
            f"{where} holds the weights of another model: {wrong[0]} has shape {tuple(held[wrong[0]].shape)}, "
            f"this one's {tuple(own[wrong[0]].shape)}; name the file's own model"
        )
    return {**own, **{name: held[name] for name in body}}
