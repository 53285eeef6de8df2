"""A unimodal text teacher from transformers: any encoder by name, from a folder or from a package.

A teacher's configuration (``conf/teacher/*.yaml``, ``kind: text``) names

- ``model``: a Hugging Face name, or a folder that `save_pretrained` wrote (inside the distribution ``package`` where
  that is named); weights are read from safetensors only;
- ``pooling``: ``mean`` over all tokens of the text (default), or ``cls``, the first one;
- ``max_tokens``: where longer texts are truncated; left out: the limit of the tokenizer and the model, 512 at most;
- ``template``: the text around every text and word, as for CLIP; usually ``{}``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import words
from vlkd_steps.pretrained import hugging_face
from vlkd_steps.pretrained.folder import located
from vlkd_steps.teachers.models.computing import Computing, device_of
from vlkd_steps.teachers.models.weights import resolve, weights_digest

POOLINGS = ("mean", "cls")
LONGEST = 512


class TextTeacher:
    """A frozen text encoder.

    Attributes:
        kinds: what it gives, for `extraction`.
        identity: what the features depend on (JSON).
        dim: width D of u, of word vectors and of states.
    """

    kinds = ("text",)

    def __init__(self, config: Mapping[str, Any], device: str = "cpu") -> None:
        """Build the encoder that `config` names and load its weights.

        Raises:
            UserError: the weights are missing or unreachable, the tokenizer cannot pad or has no offsets, the pooling
                is unknown, the template has no ``{}``, or the model has no positions for ``max_tokens``.
        """
        name = config["name"]
        self.template: str = config.get("template", "{}")
        if "{}" not in self.template:
            raise UserError(
                f"the teacher's text template {self.template!r} has no {{}}; write {{}} where the text goes"
            )
        self.pooling: str = config.get("pooling", "mean")
        if self.pooling not in POOLINGS:
            raise UserError(f"teacher {name}: pooling is {self.pooling!r}; write one of {', '.join(POOLINGS)}")
        self.computing = Computing(config, device)
        self.device = self.computing.device
        self.model, self.tokenizer = create(str(resolve(config.get("package"), config["model"], name)), name)
        self.model.eval().requires_grad_(False).to(self.computing.device)
        self.max_tokens = most_tokens(config.get("max_tokens"), self.model, self.tokenizer, name)
        self.dim: int = self.model.config.hidden_size
        self.identity: dict[str, Any] = {
            "model": self.model.config.model_type,
            "weights": weights_digest(self.model),
            "architecture": architecture(self.model),
            "tokenizer": tokenizer_digest(self.tokenizer, self.max_tokens),
            "pooling": self.pooling,
            "template": self.template,
            **self.computing.identity,
        }

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text in its template."""
        return [len(tokens) for tokens in self._tokens(texts)["input_ids"]]

    def embed_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, list[tuple[list[str], np.ndarray]]]:
        """Texts, each put into the template -> u and the last layer's states, averaged per word.

        Returns:
            u, float32 [B, D], and for each text its first words and their states, float32 [words, D]: the words of
            ``split_words(text)`` within `max_tokens`, without those of the template. u of a text without any token, as
            an empty one is to a tokenizer without special tokens, is zero.
        """
        encoded = self._tokens(texts, padding=True, return_offsets_mapping=True)
        spans = encoded.pop("offset_mapping")
        if not spans[0]:  # of no text
            nothing = np.zeros((len(texts), self.dim), np.float32)
            return nothing, [([], nothing[:0]) for _ in texts]
        encoded = encoded.convert_to_tensors("pt")
        with self.computing():
            states = self.model(**encoded.to(self.computing.device)).last_hidden_state.float()
            mask = encoded["attention_mask"][:, :, None].float()
            pooled = states[:, 0] if self.pooling == "cls" else (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            pooled = pooled.where(mask.any(1), 0.0)
        rows = zip(texts, self.in_template(texts), spans, states.cpu().numpy(), strict=True)
        return pooled.cpu().numpy(), [self._word_states(*row) for row in rows]

    def _tokens(self, texts: Sequence[str], **options: Any) -> Any:
        return self.tokenizer(self.in_template(texts), truncation=True, max_length=self.max_tokens, **options)

    def in_template(self, texts: Sequence[str]) -> list[str]:
        """Each text in the teacher's template."""
        return [self.template.replace("{}", text) for text in texts]

    def _word_states(
        self, text: str, frame: str, spans: Sequence[Sequence[int]], states: np.ndarray
    ) -> tuple[list[str], np.ndarray]:
        """Average the token `states` [L, D] of one text over its words, as far as the model reads."""
        skip = len(words.split_words(self.template.split("{}")[0]))
        means: list[np.ndarray] = []
        for tokens in words.token_words(frame, [(start, stop) for start, stop in spans], skip):
            if not tokens:
                break
            means.append(states[tokens].mean(0))
        known = words.split_words(text)[: len(means)]
        return known, np.array(means[: len(known)], np.float32).reshape(len(known), self.dim)


def load(config: Mapping[str, Any]) -> TextTeacher:
    """The teacher of a configuration of kind ``text``, on its ``device`` (default: the best available)."""
    torch.set_num_threads(config.get("threads", 1))
    return TextTeacher(config, device_of(config))


def architecture(model: Any) -> str:
    """A hash of an encoder's configuration: the same weights may fit several (heads, activation, epsilons)."""
    of_files = {"transformers_version", "_name_or_path", "dtype", "torch_dtype", "architectures"}
    return files.digest({key: value for key, value in model.config.to_diff_dict().items() if key not in of_files})


def tokenizer_digest(tokenizer: Any, most: int) -> str:
    """A hash of a tokenizer with its vocabulary and of how it cuts texts to `most` tokens and pads them."""
    sides = [tokenizer.truncation_side, tokenizer.padding_side]
    return files.digest([tokenizer.backend_tokenizer.to_str(), most, *sides])


def most_tokens(wanted: int | None, model: Any, tokenizer: Any, name: str) -> int:
    """Where texts are truncated.

    Raises:
        UserError: the model cannot read `wanted` tokens, or they are none but special ones.
    """
    limit, least = positions(model), tokenizer.num_special_tokens_to_add() + 1
    if wanted is None:
        return min(tokenizer.model_max_length, LONGEST, limit or LONGEST)
    if limit and wanted > limit:
        raise UserError(f"teacher {name}: max_tokens is {wanted}, and its model has positions for {limit}; write fewer")
    if wanted < least:
        raise UserError(f"teacher {name}: max_tokens is {wanted}, which leaves none for a text; write {least} or more")
    return wanted


def positions(model: Any) -> int | None:
    """The tokens that the encoder has positions for; None where it counts distances, without a limit (T5)."""
    stated = getattr(model.config, "max_position_embeddings", None) or 0
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)  # RoBERTa and its kin count on from there
    return None if stated < 1 else stated if padding is None else stated - padding - 1


def create(source: str, name: str) -> tuple[Any, Any]:
    """The encoder (of an encoder-decoder model, its encoder) and the fast tokenizer of `source`."""
    where = f"teacher {name}"
    try:
        folder = located(source)
        if not (folder / "config.json").is_file():
            raise OSError(f"{folder / 'config.json'} is missing")
    except OSError as error:
        raise UserError(
            f"{where}: {source!r} cannot be loaded ({error}). It is no folder with config.json, "
            "model.safetensors and a tokenizer, and it could not be fetched from the Hugging Face hub; "
            "without network, put such a folder below models/ and set `model` to its path"
        ) from error
    tokenizer = hugging_face.tokenizer(folder, where)
    model = hugging_face.model(folder, where, may_be_new=lambda tensor: tensor.startswith("pooler."))  # not used here
    if not tokenizer.is_fast or tokenizer.pad_token is None:
        raise UserError(
            f"teacher {name}: the tokenizer of {source} has no token offsets, or cannot pad; choose an "
            "encoder with a fast tokenizer (BERT, RoBERTa, MiniLM, ...)"
        )
    hugging_face.check_vocabulary(tokenizer, model.get_input_embeddings().num_embeddings, f"{where}: {source}")
    tokenizer.padding_side = "right"  # on the left, padding would move a text to other positions in a longer batch
    return (model.get_encoder() if model.config.is_encoder_decoder else model), tokenizer
