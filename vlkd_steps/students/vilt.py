"""ViLT (Kim et al. 2021) as a student, on transformers' `ViltModel`, with patches in a fixed order.

transformers' `visual_embed` shuffles the patches with the global random state at every call, also in evaluation: token
features differ from call to call and the state is consumed. Here the patches are embedded with the model's weights, row
by row, and everything after that is transformers' code.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViltConfig, ViltForQuestionAnswering, ViltModel

from vlkd_steps import tasks
from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import tokenizer as text
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.pretrained import hugging_face
from vlkd_steps.students import attention, exported, heads, initialization, saved
from vlkd_steps.students.output import StudentOutput

TYPES = 4  # question, image, answer, rationale


class ViltStudent(nn.Module):
    """A ViLT with the head of a task.

    Args:
        vilt: with its pooling layer.
        tokenizer: a fast tokenizer.
        task: as in a data set's configuration; None: without a head, for pre-training.
        labels: the classes (or choices) in index order.
        image_size: side of the square images, in pixels; if it is not the model's, positions are interpolated as in
            transformers.
        visual_width: width of a plugged-in teacher's patches, which the student then reads as `regions`, on a square
            grid, instead of pixels (method plug_in).
        head: ``uniter``, that of all students (`heads`), or ``vilt``, the authors' classifier.
    """

    def __init__(
        self,
        vilt: ViltModel,
        tokenizer: Any,
        task: str | None,
        labels: Sequence[str],
        image_size: int | None = None,
        visual_width: int | None = None,
        head: str = "uniter",
    ) -> None:
        super().__init__()
        attention.fuse(vilt)
        self.vilt = vilt
        width, std = vilt.config.hidden_size, vilt.config.initializer_range
        self.head_kind = head
        self.head = _head(head, task, labels, width, std)
        self.tokenizer = tokenizer
        self.task = task
        self.labels = list(labels)
        config: Any = vilt.config  # images and patches are square, checked in `build`
        self.patch_size: int = config.patch_size
        self.image_size: int = image_size or config.image_size
        self.patches_per_side = self.image_size // self.patch_size
        self.visual_width = visual_width
        if visual_width is not None:
            self.plugged = nn.Linear(visual_width, self.width)
            vilt.embeddings.patch_embeddings.requires_grad_(False)

    @property
    def width(self) -> int:
        return self.vilt.config.hidden_size

    @property
    def max_tokens(self) -> int:
        return self.vilt.config.max_position_embeddings

    def forward(self, inputs: Inputs) -> StudentOutput:
        tokens, mask = inputs.tokens, inputs.mask
        if self.visual_width is not None:
            assert inputs.regions is not None
            image = self.embed_patches(inputs.regions.features)
        else:
            assert inputs.images is not None
            image = self.embed_images(inputs.images)
        pixels = torch.ones(image.shape[:2], dtype=mask.dtype, device=mask.device)
        embedded, attended = self.vilt.embeddings(
            tokens, mask, inputs.types, pixel_values=None, pixel_mask=pixels, inputs_embeds=None, image_embeds=image
        )
        hidden_from = (1.0 - attended[:, None, None, :].to(embedded.dtype)) * torch.finfo(embedded.dtype).min
        states = self.vilt.layernorm(self.vilt.encoder(embedded, attention_mask=hidden_from).last_hidden_state)
        assert self.vilt.pooler is not None
        pooled = self.vilt.pooler(states)
        length = tokens.shape[1]
        return StudentOutput(
            logits=self.head(pooled),
            cls=states[:, 0],
            pooled=pooled,
            visual=states[:, length + 1 :],  # the image's own class token follows the text
            text=states[:, :length],
            embedded_text=embedded[:, :length],
        )

    def embed_images(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] -> [B, 1 + P, H]: class token and patches with positions, before the modality type."""
        embeddings, size = self.vilt.embeddings, self.patch_size
        side = self.patches_per_side
        # A convolution whose stride is its kernel size is a matrix product over patches: faster on a CPU, and
        # unfolding bytes moves a quarter of the memory that unfolding floats would.
        patches = (
            images.reshape(-1, 3, side, size, side, size).permute(0, 2, 4, 1, 3, 5).reshape(len(images), side**2, -1)
        )
        patches = patches.float().div_(127.5).sub_(1.0)  # mean and deviation 0.5, ViLT's normalisation
        projection = embeddings.patch_embeddings.projection
        patches = functional.linear(patches, projection.weight.flatten(1), projection.bias)
        return self._with_positions(patches, side)

    def embed_patches(self, features: Tensor) -> Tensor:
        """A teacher's patches, float [B, P, W] on a square grid, LN and projected: as `embed_images`."""
        patches = self.plugged(functional.layer_norm(features, features.shape[-1:]))
        return self._with_positions(patches, round(features.shape[1] ** 0.5))

    def _with_positions(self, patches: Tensor, side: int) -> Tensor:
        embeddings = self.vilt.embeddings
        tokens = torch.cat([embeddings.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return embeddings.dropout(tokens + self._positions(side))

    def _positions(self, side: int) -> Tensor:
        positions = self.vilt.embeddings.position_embeddings
        own = round((positions.shape[1] - 1) ** 0.5)
        if own == side:
            return positions
        grid = positions[:, 1:].transpose(1, 2).reshape(1, -1, own, own)
        grid = functional.interpolate(grid, size=(side, side), mode="bilinear", align_corners=True)
        return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


def _head(kind: str, task: str | None, labels: Sequence[str], width: int, std: float) -> nn.Module:
    if task is None:
        return nn.Identity()
    if kind == "uniter":
        return heads.create(task, labels, width, std)
    if tasks.load(task).head != "classes":
        raise UserError(f"student.head is vilt, a classifier, and task {task} has choices; write uniter")
    return heads.ViltHead(width, len(labels), std)


def build(conf: Mapping[str, Any], task: str | None, labels: Sequence[str], seed: int) -> ViltStudent:
    """A student from its configuration (`conf/student/*.yaml`), with pre-trained weights if it names any.

    Args:
        conf: ``weights`` (a folder or a Hugging Face name) or, from scratch, ``architecture`` and ``vocabulary``;
            ``pretrained: true`` takes the folder that `pretrain` made for ``name``; ``visual_width`` and ``head`` as
            `ViltStudent`.
        task: the task whose head it gets; None: no head.
        labels: the classes (or choices) in index order.
        seed: new weights are drawn from ``derive(seed, "student")``, so all methods of a seed start from the same ones.

    Raises:
        UserError: the weights are missing, cannot be fetched or are not a ViLT's, or architecture or vocabulary is
            invalid.
    """
    source = initialization.source(conf)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "student"))
        if source:
            vilt = initialization.load(source, conf["name"], ViltModel, "ViLT")
            tokenizer = initialization.tokenizer(source, conf["name"], vilt)
        else:
            vilt, tokenizer = from_scratch(conf)
        _check_image_size(conf, vilt.config)
        if task and tasks.load(task).head == "choices":
            add_types(vilt)
        size, width, head = conf.get("image_size"), conf.get("visual_width"), conf.get("head", "uniter")
        return ViltStudent(vilt, tokenizer, task, labels, size, width, head)


def from_scratch(conf: Mapping[str, Any]) -> tuple[ViltModel, Any]:
    """A new ViLT of ``conf["architecture"]`` (keys of transformers' `ViltConfig`) and its word-level tokenizer."""
    tokenizer = text.word_tokenizer(initialization.vocabulary(conf.get("vocabulary"), conf["name"]))
    words = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    vilt = initialization.from_scratch(conf, ViltModel, **words)
    spread(vilt, **(conf.get("spread") or {}))
    return vilt, tokenizer


@torch.no_grad()
def spread(vilt: ViltModel, words: float | None = None, positions: float | None = None) -> None:
    """Initialise word vectors, and the vectors of patch rows and columns, with a larger standard deviation.

    transformers starts patch positions at zero and words close to it. 200,000 pairs of pre-training make up for that, a
    few hundred questions do not: so any relation between a word and a position stays at chance.

    Args:
        words: standard deviation of the word vectors; None leaves them as they are.
        positions: standard deviation of the row and column vectors, whose sum is a patch's position.
    """
    embeddings = vilt.embeddings
    if words is not None:
        initialization.spread_words(embeddings.text_embeddings.word_embeddings, words)
    if positions is not None:
        vectors = embeddings.position_embeddings
        side = round((vectors.shape[1] - 1) ** 0.5)
        rows, columns = torch.randn(2, side, vectors.shape[2]) * positions
        vectors[0, 1:] = (rows[:, None] + columns[None, :]).flatten(0, 1)


@torch.no_grad()
def add_types(vilt: ViltModel) -> None:
    """Add VCR's token types (question, image, answer, rationale); new ones start as copies of the first."""
    embeddings, number = vilt.embeddings.text_embeddings, TYPES
    old = embeddings.token_type_embeddings
    if old.num_embeddings < number:
        first = old.weight[:1].expand(number - old.num_embeddings, -1)
        embeddings.token_type_embeddings = nn.Embedding.from_pretrained(torch.cat([old.weight, first]), freeze=False)
        vilt.config.type_vocab_size = number


def _check_image_size(conf: Mapping[str, Any], config: ViltConfig) -> None:
    size = conf.get("image_size") or config.image_size
    if not isinstance(size, int) or not isinstance(config.patch_size, int) or size % config.patch_size:
        raise UserError(
            f"student {conf['name']}: image_size is {size}; "
            f"write one number, a multiple of patch_size {config.patch_size}"
        )


def save(student: ViltStudent, path: Path) -> None:
    """Write all weights and what is needed to rebuild the student to one safetensors file, atomically."""
    description = {
        "architecture": student.vilt.config.to_diff_dict(),
        "tokenizer": text.to_json(student.tokenizer),
        "task": student.task,
        "labels": student.labels,
        "image_size": student.image_size,
    } | ({} if student.visual_width is None else {"visual_width": student.visual_width})
    if student.head_kind != "uniter":
        description["head"] = student.head_kind
    saved.write(student, description, path)


def load(path: Path) -> ViltStudent:
    """The student in a run's ``model.safetensors``, in evaluation mode; needs no other file."""
    return rebuilt(*saved.read(path), path)


def rebuilt(description: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> ViltStudent:
    """The student from the content of a file of `save`."""
    with saved.rebuilding(path):
        student = ViltStudent(
            ViltModel(hugging_face.stored(ViltConfig, description["architecture"], path)),
            text.from_json(description["tokenizer"]),
            description["task"],
            description["labels"],
            description["image_size"],
            description.get("visual_width"),
            description.get("head", "uniter"),
        )
    saved.restore(student, tensors, path)
    return student.eval()


def export(student: ViltStudent, out: Path) -> None:
    """Write a folder for transformers: for `ViltForQuestionAnswering` with ViLT's own head, else for `ViltModel`.

    Weights that the class lacks are in ``head.safetensors`` (`exported`).
    """
    exported.write_tokenizer(student, out)
    if student.visual_width is None:
        files.write_json(out / "preprocessor_config.json", _preprocessor(student.image_size))
    if isinstance(student.head, heads.ViltHead) and student.visual_width is None:
        _with_its_head(student).save_pretrained(out)
    else:
        student.vilt.save_pretrained(out)
        exported.write_rest(student, "vilt.", out)


def _with_its_head(student: ViltStudent) -> ViltForQuestionAnswering:
    numbered = dict(enumerate(student.labels))
    names = {"id2label": numbered, "label2id": {label: number for number, label in numbered.items()}}
    # No limit: above it transformers would sample patches at random.
    config = ViltConfig(**{**student.vilt.config.to_diff_dict(), **names, "max_image_length": -1})
    with torch.random.fork_rng(devices=[]):
        theirs = ViltForQuestionAnswering(config)
    held = saved.tensors(student).items()
    theirs.load_state_dict({re.sub("^head", "classifier", name): tensor for name, tensor in held})
    return theirs


def _preprocessor(side: int) -> dict[str, Any]:
    """A processor's settings that give the pixels of `data.decoding.decode_one` and `ViltStudent.embed_images`."""
    half = [0.5, 0.5, 0.5]
    resized = {"do_resize": True, "size": {"height": side, "width": side}, "resample": Image.Resampling.BICUBIC.value}
    scaled = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    names = {"image_processor_type": "ViTImageProcessor", "processor_class": "ViltProcessor"}  # ViLT's keeps the shape
    return {**names, **resized, **scaled, "image_mean": half, "image_std": half}
