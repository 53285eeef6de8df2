"""Pre-train a tiny BART as a language model on texts about scenes, without images (`text_batches`).

The first steps have answers only: looking up an attribute in a text is what a tiny model learns last, and not at all
if most of what it is scored for are words that need no looking up. From then on answers and infilling take turns.
Writes a folder for `BartForConditionalGeneration.from_pretrained`, its curve, and the weights last; only the first
process writes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import distributed, hardware, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.runs import pretraining
from vlkd_steps.runs.model_dir import ModelDir
from vlkd_steps.runs.text_batches import Texts
from vlkd_steps.students import bart, lookup_start, saved

OWN = ("stream", "seed", "answers_first")  # of `pretrain:`; the rest is the recipe


class LanguageModel(nn.Module):
    """A BART student that reconstructs masked texts, without images; returns the loss ``infilling``."""

    def __init__(self, student: bart.BartStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return {"infilling": bart.text_loss(self.student, batch.extra)}


def pretrain(config: Mapping[str, Any]) -> None:
    """Pre-train the student ``config`` (`conf/student/*.yaml` with a ``pretrain`` section).

    Writes ``models/<name>/``: ``config.json`` and ``model.safetensors`` as `save_pretrained` does, tokenizer files,
    ``curve.json`` (points of step, loss). Resumes after an interruption.

    Raises:
        UserError: the stream is not ``scenes``, a key of ``pretrain`` is unknown, or a text is too long for the BART.
        SystemExit: stopped by a signal, after saving (143 for TERM).
    """
    name, settings = config["name"], config["pretrain"]
    recipe = Recipe.of({key: value for key, value in settings.items() if key not in OWN})
    if settings.get("stream") != "scenes":
        raise UserError(f"student {name}: pretrain.stream is {settings.get('stream')!r}; for a BART set it to scenes")
    accelerator = hardware.accelerator(settings)
    seed, answers_first = settings["seed"], settings["answers_first"]
    student = bart.build({**config, "pretrained": False}, 1, seed)
    student.to_clip.requires_grad_(False)  # part of VLKD, not of the language model
    student.from_clip.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "look-up start"))
        lookup_start.set_weights(student.bart, name)
    texts = Texts(student.tokenizer, student.max_tokens, recipe.batch_size, seed)

    def batch(number: int) -> Batch:
        extra = (texts.answers if number < answers_first else texts)(number)
        tokens, mask = extra["text"], extra["text_scored"]
        row = torch.arange(len(tokens))
        inputs = Inputs(tokens, mask, torch.zeros_like(tokens))
        return Batch(inputs, torch.zeros(len(row), 0), row, row, extra=extra).to(accelerator.device)

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
