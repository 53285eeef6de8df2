"""BART (Lewis et al. 2020) with image input: two linear maps connect it to a frozen CLIP (VLKD).

- ``to_clip``: the encoder's state of the EOS token -> CLIP's joint space. Normalised, it is e, the text's embedding.
- ``from_clip``: CLIP's normalised image embedding v -> one position before the encoder's states; the attention mask
  grows by one.

Nothing else is new, as the published parameter counts show (**stated**). Where the embedding is taken is a **choice**
(docs/papers.md, "VLKD"). CLIP itself is not part of this module: it is named by ``clip`` and never trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast
from transformers import logging as transformers_logging

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import tokenizer as text
from vlkd_steps.pretrained import hugging_face, report
from vlkd_steps.students import exported, initialization, saved

SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token", "mask_token", "cls_token", "sep_token")
PROJECTIONS = ("to_clip.", "from_clip.")
TABLE = "model.shared.weight"  # word embeddings, shared by encoder, decoder and head; saved once
SHARED = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")


class BartStudent(nn.Module):
    """A BART with its two maps to and from a CLIP.

    Args:
        bart: with its language-model head.
        tokenizer: a fast one that wraps a text in BOS and EOS and has a mask token.
        clip_width: width D of CLIP's joint space.
        clip: configuration of the teacher (``conf/teacher/*.yaml``) that embeds images; None: the student takes only
            embeddings.
    """

    sees = "embedding"

    def __init__(
        self,
        bart: BartForConditionalGeneration,
        tokenizer: Any,
        clip_width: int,
        clip: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.bart = bart
        self.tokenizer = tokenizer
        self.clip_width = clip_width
        self.clip = dict(clip) if clip else None
        self.to_clip = nn.Linear(self.width, clip_width)
        self.from_clip = nn.Linear(clip_width, self.width)
        # The new position starts at the scale of the others, which are layer-normalised; v has length 1.
        nn.init.normal_(self.from_clip.weight, std=1.0)
        nn.init.normal_(self.to_clip.weight, std=self.width**-0.5)
        for layer in (self.from_clip, self.to_clip):
            nn.init.zeros_(layer.bias)
        bart.register_state_dict_post_hook(_name_the_table_once)
        bart.register_load_state_dict_pre_hook(_name_the_table_again)

    @property
    def config(self) -> Any:
        return self.bart.config

    @property
    def width(self) -> int:
        return self.config.d_model

    @property
    def max_tokens(self) -> int:
        return self.config.max_position_embeddings

    def encode(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The encoder's states [B, T, H] of int64 [B, T]."""
        return self.bart.model.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state

    def embed(self, states: Tensor, mask: Tensor) -> Tensor:
        """e [B, D] of length 1: the last token's state (EOS), projected."""
        last = states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
        return functional.normalize(self.to_clip(last).float(), dim=-1)

    def see(self, v: Tensor, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Put the image, v [B, D] of length 1, before the states: [B, 1 + T, H] and its mask."""
        image = self.from_clip(v)[:, None].to(states.dtype)
        return torch.cat([image, states], dim=1), torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)

    def write(self, memory: Tensor, memory_mask: Tensor, target: Tensor) -> Tensor:
        """Logits [B, T, V] of every token of `target`, given those before it and the encoder's states.

        Args:
            memory: the states that the decoder attends to, [B, S, H].
            target: int64 [B, T], padded; its first token is predicted too.
        """
        start = target.new_full((len(target), 1), self.config.decoder_start_token_id)
        decoded = self.bart.model.decoder(
            input_ids=torch.cat([start, target[:, :-1]], dim=1),
            encoder_hidden_states=memory,
            encoder_attention_mask=memory_mask,
            use_cache=False,
        ).last_hidden_state
        return self.bart.lm_head(decoded) + self.bart.final_logits_bias


def _name_the_table_once(_: nn.Module, state: dict[str, Tensor], prefix: str, __: Any) -> None:
    for name in SHARED:
        del state[prefix + name]


def _name_the_table_again(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: Any) -> None:
    for name in SHARED:
        state[prefix + name] = state[prefix + TABLE]


def infilling_loss(logits: Tensor, target: Tensor, mask: Tensor, tokens: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the tokens of `target` [B, T] where `mask` is 1.

    Args:
        tokens: float32 [B], in every row the whole batch's number of tokens divided by the number of processes, so
            that the mean of the processes' losses is the loss of one process; None: this process has the whole batch.
    """
    losses = functional.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none")
    return (losses * mask.flatten()).sum() / (mask.sum() if tokens is None else tokens[0])


def text_loss(student: BartStudent, batch: Mapping[str, Tensor]) -> Tensor:
    """`infilling_loss` of a batch of texts without images; its tensors are those of `runs.text_batches`."""
    read, mask = batch["text_read"], batch["text_read_mask"]
    logits = student.write(student.encode(read, mask), mask, batch["text"])
    return infilling_loss(logits, batch["text"], batch["text_scored"], batch["text_total"])


def build(conf: Mapping[str, Any], clip_width: int, seed: int, clip: Mapping[str, Any] | None = None) -> BartStudent:
    """A student from its configuration (`conf/student/bart_*.yaml`).

    Args:
        conf: ``weights`` (a folder, a Hugging Face name or ``asset:NAME``, shipped with this package) or, from scratch,
            ``architecture`` and ``vocabulary``; ``pretrained: true`` takes the folder that `pretrain` made for
            ``name``.
        clip_width: width D of the teacher's joint space.
        seed: new weights are drawn from ``derive(seed, "student")``.
        clip: see `BartStudent`.

    Raises:
        UserError: the weights are missing, cannot be fetched or are not a BART's, or architecture or vocabulary is
            invalid.
    """
    source = initialization.source(conf)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "student"))
        bart, tokenizer = load_weights(source, conf["name"]) if source else from_scratch(conf)
        torch.manual_seed(derive(seed, "projections"))
        return BartStudent(bart, tokenizer, clip_width, clip)


def from_scratch(conf: Mapping[str, Any]) -> tuple[BartForConditionalGeneration, Any]:
    """A new BART of ``conf["architecture"]`` (keys of transformers' `BartConfig`) and its word-level tokenizer."""
    tokenizer = word_tokenizer(initialization.vocabulary(conf.get("vocabulary"), conf["name"]))
    special = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.eos_token_id,  # as BART's own
        "forced_eos_token_id": None,
    }
    bart = initialization.from_scratch(conf, BartForConditionalGeneration, **special)
    return bart, tokenizer


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """The tiny students' word tokenizer, with [CLS] and [SEP] as BOS and EOS, and with a decoder that joins words."""
    tokenizer = text.word_tokenizer(words)
    tokenizer.backend_tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.bos_token, tokenizer.eos_token = tokenizer.cls_token, tokenizer.sep_token
    return tokenizer


def load_weights(source: str, name: str) -> tuple[BartForConditionalGeneration, Any]:
    """A pre-trained BART and its tokenizer."""
    bart = initialization.load(source, name, BartForConditionalGeneration, "BART")
    tokenizer = initialization.tokenizer(source, name, bart)
    if isinstance(tokenizer.backend_tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel):
        # BART's own takes the space before a mask as its part, which vocab.json and merges.txt do not say.
        mask = AddedToken(str(tokenizer.mask_token), lstrip=True, normalized=False, special=True)
        tokenizer.add_special_tokens({"mask_token": mask})
    return bart, tokenizer


def save(student: BartStudent, path: Path) -> None:
    """Write all weights and what is needed to rebuild the student to one safetensors file, atomically."""
    description = {
        "architecture": student.bart.config.to_diff_dict(),
        "tokenizer": text.to_json(student.tokenizer),
        "special": {name: getattr(student.tokenizer, name) for name in SPECIAL if getattr(student.tokenizer, name)},
        "clip_width": student.clip_width,
        "clip": student.clip,
    }
    saved.write(student, description, path)


def load(path: Path) -> BartStudent:
    """The student in a run's ``model.safetensors``, in evaluation mode; needs no other file."""
    description, found = saved.read(path)
    if "clip_width" not in description:
        raise UserError(f"{path} does not describe a BART of a training run; name the file of such a run")
    with saved.rebuilding(path):
        config = hugging_face.stored(BartConfig, description["architecture"], path)
        special = {name: token for name, token in description["special"].items() if name in SPECIAL}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(description["tokenizer"]), **special)
        student = BartStudent(
            BartForConditionalGeneration(config), tokenizer, description["clip_width"], description["clip"]
        )
    saved.restore(student, found, path)
    return student.eval()


def export(student: BartStudent, out: Path) -> None:
    """Write a folder for ``BartForConditionalGeneration.from_pretrained(out)`` and for `load_folder`.

    The two maps are stored in ``projections.safetensors``, the CLIP's configuration in ``vlkd.json``.
    """
    transformers_logging.disable_progress_bar()
    weights = saved.tensors(student)
    whole = {name.removeprefix("bart."): t for name, t in weights.items() if name.startswith("bart.")}
    student.bart.save_pretrained(out, state_dict=whole)
    exported.write_tokenizer(student, out)
    with files.atomic(out / "projections.safetensors") as temporary:
        save_file({k: v for k, v in weights.items() if k.startswith(PROJECTIONS)}, temporary)
    files.write_json(out / "vlkd.json", {"clip": student.clip, "clip_width": student.clip_width})


def load_folder(folder: Path) -> BartStudent:
    """The student that `export` wrote, in evaluation mode.

    Raises:
        UserError: `export` did not write the folder.
    """
    path, maps = folder / "vlkd.json", folder / "projections.safetensors"
    description = files.read_json(path, "name a folder that bart.export wrote")
    bart, tokenizer = load_weights(str(folder), folder.name)
    with saved.rebuilding(path):
        student = BartStudent(bart, tokenizer, description["clip_width"], description["clip"])
    body = {name: tensor for name, tensor in student.state_dict().items() if not name.startswith(PROJECTIONS)}
    saved.restore(student, {**body, **report.tensors(maps, "the weights")}, maps)
    return student.eval()
