"""UNITER, or VILLA, as a student: with official weights, or a tiny one from scratch.

A configuration (`conf/student/uniter_*.yaml`) names

- ``regions``: the extractor whose regions it reads;
- ``weights`` (an official ``.pt``, or safetensors) and ``tokenizer`` (a folder or a Hugging Face name; BERT, cased), or
  from scratch ``architecture`` (keys of `uniter_model.UniterConfig`), ``vocabulary`` and ``spread``;
- ``visual_width``: width of a plugged-in teacher's patches, which it then reads instead of regions (method plug_in);
- ``head``: ``new``, or ``official`` to take the checkpoint's head of the task as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vlkd_steps import tasks
from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import tokenizer as text
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students import exported, initialization, saved, uniter_weights
from vlkd_steps.students.region_student import RegionStudent, named_regions, projection
from vlkd_steps.students.uniter_model import UniterConfig, UniterModel


class UniterStudent(RegionStudent):
    """A UNITER with the head of a task; see `RegionStudent`."""

    encoder_name = "uniter"
    uniter: UniterModel

    def __init__(self, uniter: UniterModel, tokenizer: Any, task: str, labels: Sequence[str], regions: str) -> None:
        config = uniter.config
        super().__init__(uniter, config.hidden_size, config.initializer_range, tokenizer, task, labels, regions)
        self.max_tokens = config.max_position_embeddings
        self.region_width = config.img_dim
        # Fine-tuning masks no region: a parameter without a gradient would stop training on several GPUs.
        uniter.img_embeddings.mask_embedding.weight.requires_grad_(False)

    def encode(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        regions = inputs.regions
        assert regions is not None
        mask = torch.cat([inputs.mask, regions.mask], dim=1)
        embedded, states = self.uniter(
            inputs.tokens, inputs.types, mask, regions.features, regions.locations, word_shift=inputs.word_shift
        )
        return embedded, states, self.uniter.pooler(states)

    def see_patches(self, width: int) -> None:
        config, embeddings = self.uniter.config, self.uniter.img_embeddings
        embeddings.img_linear = projection(width, self.width, config.initializer_range)
        embeddings.mask_embedding = nn.Embedding(2, width, padding_idx=0).requires_grad_(False)
        self.uniter.config = replace(config, img_dim=width)
        self.region_width = width

    def checkpointing(self) -> None:
        """Keep only each layer's input in training, and recompute the layer in the backward pass."""
        self.uniter.encoder.checkpointing = True


def build(conf: Mapping[str, Any], task: str, labels: Sequence[str], seed: int) -> UniterStudent:
    """A student from its configuration.

    Args:
        conf: see the module.
        task: the task whose head it gets.
        labels: the classes (or choices) in index order.
        seed: new weights are drawn from ``derive(seed, "student")``, so all methods of a seed start from the same ones.

    Raises:
        UserError: weights or tokenizer are missing or of another model, or architecture or vocabulary is invalid.
    """
    regions = named_regions(conf)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "student"))
        if conf.get("weights"):
            student = official(conf, task, labels, regions)
        else:
            student = UniterStudent(*from_scratch(conf, task), task, labels, regions)
        if conf.get("visual_width"):
            student.see_patches(conf["visual_width"])
        return student


def official(conf: Mapping[str, Any], task: str, labels: Sequence[str], regions: str) -> UniterStudent:
    """A student with the weights of an official checkpoint."""
    name, path = conf["name"], Path(conf["weights"])
    tokenizer = initialization.tokenizer(conf.get("tokenizer") or "bert-base-cased", name)
    tensors = uniter_weights.read(path)
    more = dict(conf.get("architecture") or {})
    try:
        config = uniter_weights.config_of(tensors, **more)
        if tasks.load(task).head == "choices":
            tensors = uniter_weights.for_vcr(tensors, len(tokenizer), config.initializer_range)
            uniter_weights.add_tags(tokenizer)
            config = uniter_weights.config_of(tensors, **more)
    except ValueError as error:
        raise UserError(f"student {name}: architecture: {error}") from error
    except KeyError as error:
        raise UserError(
            f"student {name}: the weights {path} have no tensor {error}; give a complete checkpoint"
        ) from error
    if config.vocab_size < len(tokenizer):
        raise UserError(
            f"student {name}: its tokenizer has {len(tokenizer)} words and {path} vectors for {config.vocab_size}; "
            "UNITER's is BERT's cased one (bert-base-cased)"
        )
    student = UniterStudent(UniterModel(config), tokenizer, task, labels, regions)
    head = conf.get("head", "new")
    if head not in ("new", "official"):
        raise UserError(f"student {name}: head is {head!r}; write new or official")
    uniter_weights.load_into(student, tensors, task, head == "official", f"student {name}: {path}")
    return student


def from_scratch(conf: Mapping[str, Any], task: str) -> tuple[UniterModel, Any]:
    """A new UNITER of ``conf["architecture"]`` and its word-level tokenizer; for choices with VCR's types and words."""
    name = conf["name"]
    tokenizer = text.word_tokenizer(initialization.vocabulary(conf.get("vocabulary"), name))
    architecture = dict(conf.get("architecture") or {})
    if tasks.load(task).head == "choices":
        uniter_weights.add_tags(tokenizer)
        architecture["type_vocab_size"] = uniter_weights.VCR_TYPES
    sizes = {"vocab_size": len(tokenizer)}
    try:
        uniter = UniterModel(UniterConfig.of({**architecture, **sizes}))
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"student {name}: architecture: {error}") from error
    words = (conf.get("spread") or {}).get("words")
    if words is not None:
        initialization.spread_words(uniter.embeddings.word_embeddings, words)
    return uniter, tokenizer


def save(student: UniterStudent, path: Path) -> None:
    """Write all weights and what is needed to rebuild the student to one safetensors file, atomically."""
    saved.write(student, {"architecture": student.uniter.config.as_dict(), **student.described()}, path)


def load(path: Path) -> UniterStudent:
    """The student in a run's ``model.safetensors``, in evaluation mode; needs no other file."""
    return rebuilt(*saved.read(path), path)


def rebuilt(description: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> UniterStudent:
    """The student from the content of a file of `save`."""
    with saved.rebuilding(path):
        uniter = UniterModel(UniterConfig.of(description["architecture"]))
        student = UniterStudent(
            uniter,
            text.from_json(description["tokenizer"]),
            description["task"],
            description["labels"],
            description["regions"],
        )
    saved.restore(student, tensors, path)
    return student.eval()


def export(student: UniterStudent, out: Path) -> None:
    """Write a folder with a file that the official code loads by its own names (``uniter.*``, ``vqa_output.*``)."""
    out.mkdir(parents=True, exist_ok=True)
    with files.atomic(out / "model.safetensors") as temporary:
        save_file(uniter_weights.official_names(student, student.task), temporary)
    exported.write_tokenizer(student, out)
