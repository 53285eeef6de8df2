"""Pre-train a tiny BART as a language model, by text infilling on texts about scenes, without images.

The texts are those of `benchmarks.scenes.texts`, a new batch at every step. Each is masked as in BART (`infilling`, but
never completely, because that would leave no context) and reconstructed. Writes a folder for
`BartForConditionalGeneration.from_pretrained`, its curve, and the weights last; only the first process writes.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from vlkd_steps.benchmarks.scenes import texts
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import distributed, hardware, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.infilling import Infilling, padded
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.runs import pretraining
from vlkd_steps.runs.model_dir import ModelDir
from vlkd_steps.students import bart, saved

OWN = ("stream", "seed")  # of `pretrain:`; the rest is the recipe
POOL = 8  # batches drawn together and sorted by length, which leaves a third of the padding


class LanguageModel(nn.Module):
    """A BART student that reconstructs masked texts, without images; returns the loss ``infilling``."""

    def __init__(self, student: bart.BartStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        masked, mask = batch.extra["masked"], batch.extra["masked_mask"]
        logits = self.student.write(self.student.encode(masked, mask), mask, batch.inputs.tokens)
        loss = bart.infilling_loss(logits, batch.inputs.tokens, batch.inputs.mask, batch.extra["written"])
        return {"infilling": loss}


def text_batch(tokenizer: Any, words: list[str], noise: Infilling, seed: int, first: int, longest: int) -> Batch:
    """This process's rows of a batch of texts, clean and masked.

    Args:
        words: the texts of the whole batch.
        first: the index of its first text among all of the run.
        longest: tokens to which a text is truncated.
    """
    rows = tokenizer(words, truncation=True, max_length=longest).input_ids
    written = sum(map(len, rows)) / distributed.count()
    own = range(len(rows))[distributed.share()]
    tokens, mask = padded([rows[row] for row in own], tokenizer.pad_token_id)
    masked, masked_mask = padded([noise(rows[row], seed, first + row) for row in own], tokenizer.pad_token_id)
    number = torch.arange(first, first + len(rows))[distributed.share()]
    extra = {"masked": masked, "masked_mask": masked_mask, "written": torch.full((len(own),), written)}
    return Batch(Inputs(tokens, mask, torch.zeros_like(tokens)), torch.zeros(len(own), 0), number, number, extra=extra)


def alike(seed: int, number: int, size: int) -> list[str]:
    """The texts of a batch, all of similar length."""
    pool, position = divmod(number, POOL)
    drawn = sorted(texts.texts(derive(seed, "texts", pool), POOL * size), key=lambda text: (text.count(" "), text))
    order = Random(derive(seed, "order of texts", pool)).sample(range(POOL), POOL)
    return drawn[order[position] * size :][:size]


def pretrain(config: Mapping[str, Any]) -> None:
    """Pre-train the student ``config`` (`conf/student/*.yaml` with a ``pretrain`` section).

    Writes ``models/<name>/``: ``config.json`` and ``model.safetensors`` as `save_pretrained` does, tokenizer files,
    ``curve.json`` (points of step, loss). Resumes after an interruption.

    Raises:
        UserError: the stream is not ``scenes``, or a key of ``pretrain`` is unknown.
        SystemExit: stopped by a signal, after saving (143 for TERM).
    """
    name, settings = config["name"], config["pretrain"]
    recipe = Recipe.of({key: value for key, value in settings.items() if key not in OWN})
    if settings.get("stream") != "scenes":
        raise UserError(f"student {name}: pretrain.stream is {settings.get('stream')!r}; for a BART set it to scenes")
    accelerator = hardware.accelerator(settings)
    seed = settings["seed"]
    student = bart.build({**config, "pretrained": False}, 1, seed)
    student.to_clip.requires_grad_(False)  # part of VLKD, not of the language model
    student.from_clip.requires_grad_(False)
    noise = Infilling(student.tokenizer.mask_token_id)

    def batch(number: int) -> Batch:
        words = alike(seed, number, recipe.batch_size)
        first = number * recipe.batch_size
        made = text_batch(student.tokenizer, words, noise, seed, first, student.max_tokens)
        return made.to(accelerator.device)

    curve = pretraining.train(
        name,
        ModelDir.of(config).key,
        LanguageModel(student),
        lambda numbers: map(batch, numbers),
        recipe,
        seed,
        accelerator,
    )
    if curve is not None:
        own = {key.removeprefix("bart."): t for key, t in saved.tensors(student).items() if key.startswith("bart.")}
        pretraining.write(student.bart, own, student.tokenizer, layout.model(name), curve)
    distributed.leave()
