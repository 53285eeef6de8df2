"""ViLT (Kim et al. 2021) as a student, on transformers' `ViltModel`, with patches in a fixed order.

transformers' own `visual_embed` draws the order of the patches from the global random state at every call, in
evaluation too: token features differ from call to call and the state is consumed (ANCHORS 40). Here the patches
are embedded with the model's own weights, row by row, and everything after that is transformers' code.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoTokenizer, ViltConfig, ViltModel

from vlkd_steps import files, layout
from vlkd_steps.errors import UserError
from vlkd_steps.students import heads
from vlkd_steps.students import tokenizer as text
from vlkd_steps.students.inputs import Inputs
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.training.seeds import derive

TYPES = 4  # question, image, answer, rationale


class ViltStudent(nn.Module):
    """A ViLT with the head of a task.

    Args:
        vilt: with its pooling layer.
        tokenizer: a fast tokenizer.
        task: as in a data set's configuration.
        labels: the classes (or choices) in index order.
        image_size: side of the square images, in pixels; other than the model's own, positions are interpolated
            as transformers does it.
        visual_width: of the patches of a plugged-in teacher, which the student then sees as `regions`, on a square
            grid, instead of pixels (method plug_in).
    """

    def __init__(
        self,
        vilt: ViltModel,
        tokenizer: Any,
        task: str,
        labels: Sequence[str],
        image_size: int | None = None,
        visual_width: int | None = None,
    ) -> None:
        super().__init__()
        self.vilt = vilt
        self.head = heads.create(task, labels, vilt.config.hidden_size, vilt.config.initializer_range)
        self.tokenizer = tokenizer
        self.task = task
        self.labels = list(labels)
        config: Any = vilt.config  # `build` has refused images and patches that are not square
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
            visual=states[:, length + 1 :],  # behind the text stands the image's own class token
            text=states[:, :length],
            embedded_text=embedded[:, :length],
        )

    def embed_images(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] -> [B, 1 + P, H]: class token and patches with positions, before the modality type."""
        embeddings, size = self.vilt.embeddings, self.patch_size
        side = self.patches_per_side
        # A convolution whose stride is its size is a matrix product over cut-out patches; on a CPU that is faster,
        # and cutting bytes moves a quarter of what cutting floats would.
        patches = (
            images.reshape(-1, 3, side, size, side, size).permute(0, 2, 4, 1, 3, 5).reshape(len(images), side**2, -1)
        )
        patches = patches.float().div_(127.5).sub_(1.0)  # mean and deviation 0.5, ViLT's normalisation
        projection = embeddings.patch_embeddings.projection
        patches = functional.linear(patches, projection.weight.flatten(1), projection.bias)
        return self._placed(patches, side)

    def embed_patches(self, features: Tensor) -> Tensor:
        """A teacher's patches, float [B, P, W] on a square grid, LN and projected: as `embed_images`."""
        patches = self.plugged(functional.layer_norm(features, features.shape[-1:]))
        return self._placed(patches, round(features.shape[1] ** 0.5))

    def _placed(self, patches: Tensor, side: int) -> Tensor:
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


def build(conf: Mapping[str, Any], task: str, labels: Sequence[str], seed: int) -> ViltStudent:
    """A student from its configuration (`conf/student/*.yaml`): pre-trained weights where it names some.

    Args:
        conf: ``weights`` (a folder or a Hugging Face name) or, from scratch, ``architecture`` and ``vocabulary``;
            ``pretrained: true`` takes the folder that `pretrain` made for ``name``; ``visual_width`` as `ViltStudent`.
        task: whose head it gets.
        labels: the classes (or choices) in index order.
        seed: new weights are drawn from ``derive(seed, "student")``, so all methods of a seed start alike.

    Raises:
        UserError: weights that are missing, cannot be fetched or are no ViLT; a bad architecture or vocabulary.
    """
    source = str(layout.model(conf["name"])) if conf.get("pretrained") else conf.get("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "student"))
        vilt, tokenizer = load_weights(source, conf["name"]) if source else from_scratch(conf)
        _check_image_size(conf, vilt.config)
        if task == "vcr":
            add_types(vilt)
        return ViltStudent(vilt, tokenizer, task, labels, conf.get("image_size"), conf.get("visual_width"))


def from_scratch(conf: Mapping[str, Any]) -> tuple[ViltModel, Any]:
    """A new ViLT of ``conf["architecture"]`` (keys of transformers' `ViltConfig`) and its word-level tokenizer."""
    tokenizer = text.word_tokenizer(vocabulary(conf.get("vocabulary"), conf["name"]))
    architecture = dict(conf.get("architecture") or {})
    unknown = sorted(set(architecture) - set(ViltConfig().to_dict()))
    if unknown:
        raise UserError(
            f"student {conf['name']}: architecture has no key {unknown[0]!r}; its keys are those of "
            "transformers.ViltConfig"
        )
    try:
        config = ViltConfig(**architecture, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
        vilt = ViltModel(config)
    except Exception as error:  # transformers' checks raise errors of several libraries
        raise UserError(f"student {conf['name']}: transformers refuses its architecture: {error}") from error
    spread(vilt, **(conf.get("spread") or {}))
    return vilt, tokenizer


@torch.no_grad()
def spread(vilt: ViltModel, words: float | None = None, places: float | None = None) -> None:
    """Give words, and rows and columns of patches, start vectors that stand apart.

    transformers starts the patches' positions at zero and words close to it, which 200,000 pairs of pre-training mend
    and a few hundred questions do not: whatever joins a word with a place stays at chance.

    Args:
        words: standard deviation of the word vectors; None leaves them alone.
        places: standard deviation of the vectors of rows and of columns, whose sum is a patch's position.
    """
    embeddings = vilt.embeddings
    if words is not None:
        vectors = embeddings.text_embeddings.word_embeddings.weight
        vectors.normal_(0.0, words)
        vectors[embeddings.text_embeddings.word_embeddings.padding_idx].zero_()
    if places is not None:
        positions = embeddings.position_embeddings
        side = round((positions.shape[1] - 1) ** 0.5)
        rows, columns = torch.randn(2, side, positions.shape[2]) * places
        positions[0, 1:] = (rows[:, None] + columns[None, :]).flatten(0, 1)


@torch.no_grad()
def add_types(vilt: ViltModel) -> None:
    """Give the text the four types of VCR (PAPERS 3); those that are new start as copies of the first (choice)."""
    embeddings, number = vilt.embeddings.text_embeddings, TYPES
    old = embeddings.token_type_embeddings
    if old.num_embeddings < number:
        first = old.weight[:1].expand(number - old.num_embeddings, -1)
        embeddings.token_type_embeddings = nn.Embedding.from_pretrained(torch.cat([old.weight, first]), freeze=False)
        vilt.config.type_vocab_size = number


def load_weights(source: str, name: str) -> tuple[ViltModel, Any]:
    """A pre-trained ViLT and its tokenizer from a folder or, by name, from the Hugging Face hub or its cache."""
    folder = Path(source)
    if layout.model(name) == folder and not (folder / "config.json").is_file():
        raise UserError(
            f"student {name}: {folder} holds no pre-trained weights; make them: snakemake {folder}/model.safetensors"
        )
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(
            f"student {name}: weights: {source} is a folder without config.json; give one that save_pretrained wrote"
        )
    try:
        kind = ViltConfig.get_config_dict(source)[0].get("model_type")
        if kind != "vilt":
            raise UserError(
                f"student {name}: weights: {source} is a {kind or 'model of unknown kind'}, not a ViLT; choose another"
            )
        return ViltModel.from_pretrained(source, use_safetensors=True), AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"student {name}: weights: {source!r} cannot be loaded ({first}). It is no folder here with config.json, "
            "model.safetensors and a tokenizer, and the Hugging Face hub did not give it; without network, put such a "
            "folder below models/ and name it"
        ) from error


def vocabulary(source: str | None, name: str) -> list[str]:
    """The words of a tiny student: a data set's ``vocabulary`` module by name, or a text file, one word a line."""
    if source is None:
        raise UserError(f"student {name}: a student from scratch needs vocabulary: (scenes, or a file of words)")
    if source.endswith(".txt"):
        try:
            return Path(source).read_text(encoding="utf-8").split()
        except OSError as error:
            raise UserError(f"student {name}: vocabulary: cannot read {source}: {error.strerror}") from error
    try:
        return list(importlib.import_module(f"vlkd_steps.datasets.{source}.vocabulary").words())
    except ModuleNotFoundError as error:
        raise UserError(
            f"student {name}: vocabulary: {source!r} is no data set with a vocabulary; try scenes or words.txt"
        ) from error


def _check_image_size(conf: Mapping[str, Any], config: ViltConfig) -> None:
    size = conf.get("image_size") or config.image_size
    if not isinstance(size, int) or not isinstance(config.patch_size, int) or size % config.patch_size:
        raise UserError(
            f"student {conf['name']}: image_size is {size}; "
            f"write one number, a multiple of patch_size {config.patch_size}"
        )


def save(student: ViltStudent, path: Path) -> None:
    """Write all weights and what is needed to build the student again to one safetensors file, atomically."""
    description = {
        "architecture": student.vilt.config.to_diff_dict(),
        "tokenizer": text.to_json(student.tokenizer),
        "task": student.task,
        "labels": student.labels,
        "image_size": student.image_size,
    } | ({} if student.visual_width is None else {"visual_width": student.visual_width})
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in student.state_dict().items()}
    with files.atomic(path) as temporary:
        # One metadata key only: safetensors writes several in an order that changes from run to run.
        save_file(tensors, temporary, metadata={"student": files.canonical(description)})


def load(path: Path) -> ViltStudent:
    """The student of a run's ``model.safetensors``, in evaluation mode; needs nothing but the file."""
    with safe_open(path, framework="pt") as stream:
        description = json.loads((stream.metadata() or {}).get("student", "null"))
        if description is None:
            raise UserError(
                f"{path} was not written by a training run: it does not describe its student; name a run's file"
            )
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (no dictionary)
    architecture = {key: value for key, value in description["architecture"].items() if key != "model_type"}
    with torch.random.fork_rng(devices=[]):
        student = ViltStudent(
            ViltModel(ViltConfig(**architecture)),
            text.from_json(description["tokenizer"]),
            description["task"],
            description["labels"],
            description["image_size"],
            description.get("visual_width"),
        )
    student.load_state_dict(tensors)
    return student.eval()


def export(run_folder: Path, out: Path) -> None:
    """Turn a run into a folder for ``ViltModel.from_pretrained(out)``.

    The head lies beside it in ``head.safetensors``, its classes in ``labels.json``.
    """
    student = load(run_folder / "model.safetensors")
    student.vilt.save_pretrained(out)
    student.tokenizer.save_pretrained(out)
    with files.atomic(out / "head.safetensors") as temporary:
        save_file(student.head.state_dict(), temporary)
    files.write_json(out / "labels.json", student.labels)
