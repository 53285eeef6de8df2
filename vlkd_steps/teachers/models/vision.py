"""A unimodal vision teacher from timm: any of its models by name, from a local file, a package or the hub.

A teacher's configuration (``conf/teacher/*.yaml``, ``kind: vision``) names

- ``model``: a timm model name;
- ``weights``: a .safetensors or .pth file (read with ``weights_only``), inside the distribution ``package`` if that is
  named; left out: the weights that timm fetches from the hub;
- ``image_size``: pixels; left out: the model's;
- ``crop``: ``whole`` (default) squeezes the image into the square, as students see it; ``centre`` is timm's
  evaluation transform, which crops the edges;
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

from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import report, timm_models
from vlkd_steps.teachers.models.computing import Computing, device_of
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
            UserError: model or crop are unknown, the weights are missing, unreachable or of another model, or the model
                has no square feature map for ``patches``.
        """
        self.name: str = config["name"]
        self.computing = Computing(config, device)
        self.device = self.computing.device
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
            **timm_models.described(config["model"]),
            "transform": self.pixels.identity,
            "patches": "patch" in self.kinds,
            **self.computing.identity,
        }

    def load_image(self, path: Path) -> Tensor:
        """Read one image and resize it for the model: uint8 [3, S, S]."""
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
        UserError: it is not a square grid; `name` is the teacher's.
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
            f"teacher {name}: features of shape {tuple(features.shape[1:])} are not a square grid; "
            "take another model or image_size, or leave `patches` out"
        )
    return found


def load(config: Mapping[str, Any]) -> VisionTeacher:
    """The teacher of a configuration of kind ``vision``, on its ``device`` (default: the best available)."""
    torch.set_num_threads(config.get("threads", 1))
    return VisionTeacher(config, device_of(config))


def create(config: Mapping[str, Any]) -> Any:
    """The timm model of `config` with its weights, without its classifier."""
    name, model, weights = config["name"], config["model"], config.get("weights")
    timm_models.check_name(model, f"teacher {name}: model")
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
    if config.get("image_size") and hasattr(model, "set_input_size"):  # a transformer, whose positions are resampled
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
    """`held` under the names of `model`, without the classifier.

    A file of another library names the layers differently; it fits if all tensors, in order, agree in shape and in the
    last part of their names (weight, bias, running_mean, ...). What was trained beside the encoder, such as another
    head, is left out; a tensor in a part that the model has means that the file's is larger.

    Raises:
        UserError: the file belongs to another model.
    """
    own: dict[str, Tensor] = model.state_dict()
    heads = classifiers(model)
    body = [name for name in own if not name.startswith(heads)]
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
    parts = {name.partition(".")[0] for name in body}
    unsaved = dict(model.named_buffers()).keys()  # some files have what timm computes
    others = {name for name in set(held) - set(own) - unsaved if not name.startswith(heads)}
    more = sorted(name for name in others if name.partition(".")[0] in parts)
    if more:
        raise UserError(
            f"{where} holds the weights of another model: this one has no tensor {more[0]}, one of {len(more)} such; "
            "name the file's own model"
        )
    wrong = [name for name in body if held[name].shape != own[name].shape]
    if wrong:
        raise UserError(
            f"{where} holds the weights of another model: {wrong[0]} has shape {tuple(held[wrong[0]].shape)}, "
            f"this one's {tuple(own[wrong[0]].shape)}; name the file's own model"
        )
    return {**own, **{name: held[name] for name in body}}


def classifiers(model: Any) -> tuple[str, ...]:
    """How the names of a timm model's classifiers begin: a distilled DeiT has two."""
    found = model.default_cfg.get("classifier") or "classifier"
    return tuple(f"{name}." for name in ([found] if isinstance(found, str) else found))
