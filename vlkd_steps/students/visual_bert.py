"""VisualBERT (Li et al. 2019) as a student, on transformers' `VisualBertModel`.

A configuration names ``regions`` and ``weights`` (a folder that `save_pretrained` wrote, or a Hugging Face name;
``tokenizer`` if it is stored elsewhere) or, from scratch, ``architecture`` (keys of `VisualBertConfig`), ``vocabulary``
and ``spread``. VisualBERT gets no region locations; ``locations: true`` (choice) appends a region's seven location
values to its features, so ``visual_embedding_dim`` is then the feature width plus seven. ``visual_width`` as in
`uniter`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import VisualBertConfig, VisualBertModel

from vlkd_steps import tasks
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import tokenizer as text
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.pretrained import hugging_face
from vlkd_steps.students import attention, exported, initialization, saved
from vlkd_steps.students.region_student import RegionStudent, named_regions, projection

LOCATION = 7
VCR_TYPES = 4


class VisualBertStudent(RegionStudent):
    """A VisualBERT with the head of a task; see `RegionStudent`.

    Args:
        locations: whether the regions' locations are appended to their features.
    """

    encoder_name = "visual_bert"
    visual_bert: VisualBertModel

    def __init__(
        self,
        visual_bert: VisualBertModel,
        tokenizer: Any,
        task: str,
        labels: Sequence[str],
        regions: str,
        locations: bool = False,
    ) -> None:
        config: Any = visual_bert.config
        super().__init__(visual_bert, config.hidden_size, config.initializer_range, tokenizer, task, labels, regions)
        attention.fuse(visual_bert)
        self.max_tokens = config.max_position_embeddings
        self.types: int = config.type_vocab_size
        self.locations = locations
        self.region_width = config.visual_embedding_dim - (LOCATION if locations else 0)

    def see_patches(self, width: int) -> None:
        config: Any = self.visual_bert.config
        read = width + (LOCATION if self.locations else 0)
        self.visual_bert.embeddings.visual_projection = projection(read, self.width, config.initializer_range)
        config.visual_embedding_dim = read
        self.region_width = width

    def encode(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        regions = inputs.regions
        assert regions is not None
        features = regions.features
        if self.locations:
            features = torch.cat([features, regions.locations.to(features.dtype)], dim=2)
        embedded = self.visual_bert.embeddings(
            input_ids=inputs.tokens,
            # The authors' models have two types: a VCR answer or rationale has the second, as in a sentence pair.
            token_type_ids=inputs.types.clamp(max=self.types - 1),
            visual_embeds=features,
            visual_token_type_ids=torch.ones_like(regions.mask),
        )
        mask = torch.cat([inputs.mask, regions.mask], dim=1)[:, None, None, :]
        hidden = (1.0 - mask.to(embedded.dtype)) * torch.finfo(embedded.dtype).min
        states = self.visual_bert.encoder(embedded, attention_mask=hidden).last_hidden_state
        assert self.visual_bert.pooler is not None
        return embedded, states, self.visual_bert.pooler(states)


def build(conf: Mapping[str, Any], task: str, labels: Sequence[str], seed: int) -> VisualBertStudent:
    """A student from its configuration; arguments as for `uniter.build`.

    Raises:
        UserError: weights or tokenizer are missing or of another model, or architecture or vocabulary is invalid.
    """
    regions = named_regions(conf)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "student"))
        if conf.get("weights"):
            model = load_weights(conf["weights"], conf["name"])
            tokenizer = initialization.tokenizer(conf.get("tokenizer") or conf["weights"], conf["name"], model)
        else:
            model, tokenizer = from_scratch(conf, task)
        student = VisualBertStudent(model, tokenizer, task, labels, regions, bool(conf.get("locations")))
        if conf.get("visual_width"):
            student.see_patches(conf["visual_width"])
        return student


def from_scratch(conf: Mapping[str, Any], task: str) -> tuple[VisualBertModel, Any]:
    """A new VisualBERT of ``conf["architecture"]`` and its word-level tokenizer."""
    name = conf["name"]
    tokenizer = text.word_tokenizer(initialization.vocabulary(conf.get("vocabulary"), name))
    words = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    types = {"type_vocab_size": VCR_TYPES} if tasks.load(task).head == "choices" else {}
    model = initialization.from_scratch(conf, VisualBertModel, **words, **types)
    spread(model, **(conf.get("spread") or {}))
    return model, tokenizer


@torch.no_grad()
def spread(model: VisualBertModel, words: float | None = None, positions: float | None = None) -> None:
    """Initialise word vectors, and the projection of region locations, with a larger standard deviation.

    Args:
        words: standard deviation of the word vectors; None leaves them as they are.
        positions: standard deviation of the projection's last seven columns, which read a region's location if
            ``locations`` appends it.
    """
    embeddings: Any = model.embeddings
    if words is not None:
        initialization.spread_words(embeddings.word_embeddings, words)
    if positions is not None:
        embeddings.visual_projection.weight[:, -LOCATION:].normal_(0.0, positions)


def load_weights(source: str, name: str) -> VisualBertModel:
    """A pre-trained VisualBERT (`pretrained`)."""
    model: VisualBertModel = initialization.load(source, name, VisualBertModel, "VisualBERT")
    if model.config.bypass_transformer:
        raise UserError(f"student {name}: weights: {source} bypasses its transformer, which no task here supports")
    return model


def save(student: VisualBertStudent, path: Path) -> None:
    """Write all weights and what is needed to rebuild the student to one safetensors file, atomically."""
    architecture = student.visual_bert.config.to_diff_dict()
    saved.write(student, {"architecture": architecture, "locations": student.locations, **student.described()}, path)


def load(path: Path) -> VisualBertStudent:
    """The student in a run's ``model.safetensors``, in evaluation mode; needs no other file."""
    return rebuilt(*saved.read(path), path)


def rebuilt(description: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> VisualBertStudent:
    """The student from the content of a file of `save`."""
    with saved.rebuilding(path):
        student = VisualBertStudent(
            VisualBertModel(hugging_face.stored(VisualBertConfig, description["architecture"], path)),
            text.from_json(description["tokenizer"]),
            description["task"],
            description["labels"],
            description["regions"],
            description["locations"],
        )
    saved.restore(student, tensors, path)
    return student.eval()


def export(student: VisualBertStudent, out: Path) -> None:
    """Write a folder for ``VisualBertModel.from_pretrained(out)``; the head is in ``head.safetensors`` (`exported`)."""
    student.visual_bert.save_pretrained(out)
    exported.write_tokenizer(student, out)
    exported.write_rest(student, "visual_bert.", out)
