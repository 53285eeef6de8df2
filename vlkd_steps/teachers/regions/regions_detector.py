"""Regions found by a torchvision detector: boxes, and their features from its box head.

A configuration of kind ``regions_detector`` names

- ``model``: a Faster R-CNN of torchvision, such as ``fasterrcnn_resnet50_fpn``;
- ``weights``: a file of its state dict (.pth, .safetensors), or one of torchvision's names (``COCO_V1``), fetched;
- ``classes``: their number, background included (default: 91, COCO's);
- ``confidence``, ``min_regions``, ``max_regions``, ``overlap``: as in bottom-up attention (0.2, 10, 100, 0.3):
  proposals of one class that overlap more are merged, and the most confident ones stay.

As in bottom-up attention, a region is the proposal itself, not the box refined for a class, so that its features belong
to exactly that box.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor
from torchvision.ops import batched_nms

from vlkd_steps.core import hardware, image_file, raw_files
from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import report
from vlkd_steps.teachers.features.extraction import ImageRef
from vlkd_steps.teachers.models.computing import device_of
from vlkd_steps.teachers.models.weights import weights_digest
from vlkd_steps.teachers.regions.region_extraction import Reading, Regions, locations

OVERLAP = 0.3
CONFIDENCE, MINIMUM, MAXIMUM = 0.2, 10, 100


class DetectorSource:
    """Regions from a detector; see `region_extraction.Source`."""

    maker = Reading

    def __init__(self, config: Mapping[str, Any], device: str) -> None:
        self.device = torch.device(device)
        model: Any = create(config).eval().requires_grad_(False).to(self.device)
        self.model = model
        self.longest = int(model.transform.max_size)
        self.confidence = float(config.get("confidence", CONFIDENCE))
        self.minimum = int(config.get("min_regions", MINIMUM))
        self.maximum = int(config.get("max_regions", MAXIMUM))
        self.overlap = float(config.get("overlap", OVERLAP))
        self.dim = int(model.roi_heads.box_predictor.cls_score.in_features)
        self.identity: dict[str, Any] = {
            "kind": "detector",
            "model": config["model"],
            "weights": weights_digest(self.model),
            "take": [self.confidence, self.minimum, self.maximum, self.overlap],
        }

    def inputs(self, ref: ImageRef) -> str:
        return raw_files.sha256(ref.path)

    def load(self, ref: ImageRef) -> Tensor:
        """uint8 [3, H, W].

        Raises:
            ImageError: it cannot be read, or is so thin that a side would have no pixels.
        """
        image = image_file.read(ref.path)
        if max(image.size) >= min(image.size) * self.longest:
            raise image_file.thin(image.size, ref.path, f"{self.longest} pixels on its longer side leave none for both")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    @torch.inference_mode()
    def regions(self, loaded: Sequence[Tensor]) -> list[Regions]:
        white = torch.tensor(255.0, device=self.device)  # for a plain number, a GPU multiplies by the reciprocal
        with hardware.tf32(self.device.type, allowed=False):
            return [self._found(image.to(self.device).float() / white) for image in loaded]  # sizes differ: one by one

    def _found(self, image: Tensor) -> Regions:
        images, _ = self.model.transform([image])
        maps = self.model.backbone(images.tensors)
        proposals, _ = self.model.rpn(images, maps)
        height, width = images.image_sizes[0]
        if not len(proposals[0]):  # nothing found: the whole image
            proposals = [torch.tensor([[0.0, 0.0, width, height]], device=self.device)]
        heads = self.model.roi_heads
        features = heads.box_head(heads.box_roi_pool(maps, proposals, images.image_sizes))
        scores = heads.box_predictor(features)[0].softmax(1)[:, 1:]  # without the background
        kept = chosen(proposals[0], scores, self.confidence, self.minimum, self.maximum, self.overlap)
        boxes = proposals[0][kept].cpu().numpy() / np.array([width, height, width, height], np.float32)
        return Regions(features[kept].float().cpu().numpy(), locations(boxes.clip(0, 1)))


def chosen(boxes: Tensor, scores: Tensor, confidence: float, minimum: int, maximum: int, overlap: float) -> Tensor:
    """The boxes to keep, of [P, 4] with class scores [P, C], by falling confidence, int64 [R].

    They are those above `confidence`, but at least `minimum` (if there are as many) and at most `maximum`.
    """
    sure, classes = scores.max(1)
    apart = batched_nms(boxes, sure, classes, overlap)  # by falling score
    number = min(maximum, max(minimum, int((sure[apart] > confidence).sum())))
    return apart[:number]


def create(config: Mapping[str, Any]) -> torch.nn.Module:
    """The torchvision detector that a configuration names, with its weights.

    Raises:
        UserError: there is no such model, or its weights are missing, unreachable or of another model.
    """
    name, model, weights = config["name"], str(config.get("model")), config.get("weights")
    known = [other for other in torchvision.models.list_models(torchvision.models.detection) if "fasterrcnn" in other]
    if model not in known:
        raise UserError(f"extractor {name}: model is {model!r}; torchvision's Faster R-CNNs are {', '.join(known)}")
    if not weights:
        raise UserError(f"extractor {name} needs weights: a .pth or .safetensors file of {model}, or COCO_V1")
    path, published = Path(str(weights)), torchvision.models.get_model_weights(model).__members__
    if not path.is_file() and weights not in published:
        raise UserError(
            f"extractor {name}: the weights {weights} are missing; put the file there, or name {', '.join(published)}"
        )
    return from_file(config, path) if path.is_file() else fetched(name, model, str(weights))


def fetched(name: str, model: str, weights: str) -> torch.nn.Module:
    """A detector with weights that torchvision publishes, by their name; torch keeps the file."""
    try:
        with report.restricted():
            built: torch.nn.Module = torchvision.models.get_model(model, weights=weights)
            return built
    except UnpicklingError as error:  # its own message advises to unpickle all the same
        raise UserError(
            f"extractor {name}: the file of {model}, {weights}, below {torch.hub.get_dir()} is damaged or holds more "
            "than tensors; delete it"
        ) from error
    except Exception as error:  # torch and urllib raise errors of their own
        raise UserError(
            f"extractor {name}: {model} cannot be loaded from {weights} ({report.brief(error)}); connect this machine "
            f"to the network, or delete its file below {torch.hub.get_dir()} if that is damaged"
        ) from error


def from_file(config: Mapping[str, Any], path: Path) -> torch.nn.Module:
    """A detector with the state dict of a file."""
    where = f"extractor {config['name']}: {path}"
    held = report.tensors(path, f"extractor {config['name']}: the weights")
    classes = int(config.get("classes", 91))
    built: torch.nn.Module = torchvision.models.get_model(
        str(config["model"]), weights=None, weights_backbone=None, num_classes=classes
    )
    # Batch norms that were frozen in training, as torchvision's first detectors' were, have no such numbers.
    unused = {key: tensor for key, tensor in built.state_dict().items() if key.endswith(".num_batches_tracked")}
    report.load(built, {**unused, **held}, where)
    return built


def load(config: Mapping[str, Any]) -> DetectorSource:
    """The source that a configuration of kind ``regions_detector`` describes, on its ``device``."""
    torch.set_num_threads(config.get("threads", 1))
    return DetectorSource(config, device_of(config))
