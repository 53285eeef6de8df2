"""Pre-train a tiny ViLT from scratch by masked language modelling and image-text matching (Kim et al. 2021).

The corpus is a data set of captions whose instances `prepare` has written. Each step shows every pair of the batch
twice: its caption with masked words and its image (MLM), and its caption with its own or, for a share of the pairs,
another item's image (ITM). Writes a folder for `ViltModel.from_pretrained`, its curve, and the weights last; only
the first process writes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import artifacts, distributed, hardware, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data.batches import Batch, Encoded, order
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.data.items import read_items
from vlkd_steps.runs import pretraining
from vlkd_steps.runs.model_dir import ModelDir
from vlkd_steps.students import vilt

OWN = ("corpus", "split", "seed", "mask_rate", "mismatched")  # of `pretrain:`; the rest is the recipe
IGNORED = -100  # cross_entropy's ignore_index, for tokens that are not predicted


class MaskedLanguageAndMatching(nn.Module):
    """A ViLT student with its two pre-training heads; returns the losses ``mlm`` and ``itm``.

    Args:
        student: a student without a head.
    """

    def __init__(self, student: vilt.ViltStudent) -> None:
        super().__init__()
        config = student.vilt.config
        self.student = student
        self.transform = nn.Sequential(
            nn.Linear(config.hidden_size, config.hidden_size), nn.GELU(), nn.LayerNorm(config.hidden_size, eps=1e-12)
        )
        self.word_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.matching = nn.Linear(config.hidden_size, 2)

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The losses of a batch that `Exercises` made."""
        words, matches, hidden = batch.extra["words"], batch.extra["matches"], batch.extra["hidden"]
        # Both tasks in one pass: one large batch costs less than two small ones.
        output = self.student(batch.inputs)
        here = words != IGNORED
        states = self.transform(output.text[: len(words)][here])
        table = self.student.vilt.embeddings.text_embeddings.word_embeddings.weight
        # With tied embeddings, as in BERT and ViLT; a batch without a masked word gives 0, not NaN.
        scores = functional.linear(states, table, self.word_bias)
        mlm = functional.cross_entropy(scores, words[here], reduction="sum") / hidden[0]
        itm = functional.cross_entropy(self.matching(output.pooled[len(words) :]), matches)
        return {"mlm": mlm, "itm": itm}


class Exercises:
    """Pre-training batches: every pair twice, once with masked words and once with a right or wrong image.

    Masks and mismatches are a function of (seed, number), drawn for the whole batch, of which each process then takes
    its rows. The images and tokens of a batch are those of its B pairs for MLM, then for ITM. Its extras are ``words``,
    int64 [B, T], to be predicted (`IGNORED` elsewhere); ``matches``, int64 [B], 1 or 0; and ``hidden``, float32 [B], in
    every row the whole batch's number of masked words divided by the number of processes, so that the mean of the
    processes' losses is the mean over all words.
    """

    def __init__(self, data: Encoded, mask_rate: float, mismatched: float, seed: int) -> None:
        self.data, self.mask_rate, self.mismatched, self.seed = data, mask_rate, mismatched, seed

    def batch(self, index: Tensor, number: int) -> Batch:
        """This process's rows of the batch of this number, made of the items at `index`, int64 [whole batch]."""
        generator = torch.Generator().manual_seed(derive(self.seed, "masks", number))
        images, texts = self.data.items.image_rows[index], self.data.items.passage_rows[index, 0]
        tokens, mask, types = self.data.text(texts)
        masked, words = self.mask_words(tokens.cpu(), mask.cpu(), generator)
        shown, matches = self.swap_images(images, texts, generator)
        hidden = float((words != IGNORED).sum().clamp(min=1)) / distributed.count()
        own = distributed.share()
        images = torch.cat([images[own], shown[own]])
        extra = {"words": words[own], "matches": matches[own], "hidden": torch.full((len(words[own]),), hidden)}
        return Batch(
            inputs=Inputs(
                tokens=torch.cat([masked.to(tokens.device)[own], tokens[own]]),
                mask=torch.cat([mask[own], mask[own]]),
                types=torch.cat([types[own], types[own]]),
                images=self.data.pixels(images),
            ),
            labels=self.data.items.soft_labels(index[own].to(tokens.device)),
            image_rows=images.to(tokens.device),
            text_rows=texts[own].repeat(2).to(tokens.device),
            extra={name: value.to(tokens.device) for name, value in extra.items()},
        )

    def mask_words(self, tokens: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """BERT's masking of int64 [B, T]: the changed tokens, and the words to predict (`IGNORED` elsewhere)."""
        tokenizer = self.data.tokenizer
        special = torch.tensor(tokenizer.all_special_ids)
        chosen = (torch.rand(tokens.shape, generator=generator) < self.mask_rate) & mask.bool()
        chosen &= ~torch.isin(tokens, special)
        kind = torch.rand(tokens.shape, generator=generator)
        others = torch.randint(len(tokenizer), tokens.shape, generator=generator)
        changed = torch.where(chosen & (kind < 0.8), tokenizer.mask_token_id, tokens)
        changed = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), others, changed)
        return changed, torch.where(chosen, tokens, IGNORED)

    def swap_images(self, images: Tensor, texts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The rows [B] of the texts' images, a share of them of other items; and whether they match (1) or not (0)."""
        swap = torch.rand(len(images), generator=generator) < self.mismatched
        swap &= (images.roll(1) != images) & (texts.roll(1) != texts)
        return torch.where(swap, images.roll(1), images), (~swap).long()


def pretrain(config: Mapping[str, Any]) -> None:
    """Pre-train the student ``config`` (`conf/student/*.yaml` with a ``pretrain`` section) on its corpus.

    Writes ``models/<name>/``: ``config.json`` and ``model.safetensors`` as `save_pretrained` does, tokenizer files,
    ``curve.json`` (points of step, losses). Resumes after an interruption.

    Raises:
        UserError: the corpus or file group does not exist, or a key of ``pretrain`` is unknown.
        SystemExit: stopped by a signal, after saving (143 for TERM).
    """
    name, settings = config["name"], config["pretrain"]
    recipe = Recipe.of({key: value for key, value in settings.items() if key not in OWN})
    accelerator = hardware.accelerator(settings)
    corpus = artifacts.instances(settings["corpus"])
    items = read_items(corpus, None, [], only=settings.get("split"))
    if not len(items):
        raise UserError(f"student {name}: pretrain.split: {corpus} has no file group {settings.get('split')!r}")

    seed = settings["seed"]
    student = vilt.build({**config, "pretrained": False}, None, [], seed)
    data = Encoded(items, student.tokenizer, student.max_tokens, student.image_size).to(accelerator.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "pre-training heads"))
        model = MaskedLanguageAndMatching(student)
    exercises = Exercises(data, settings["mask_rate"], settings["mismatched"], seed)
    numbered = order(len(data), recipe.batch_size, seed)

    def batch(number: int) -> Batch:
        return exercises.batch(numbered(number), number)

    curve = pretraining.train(
        name,
        ModelDir.of(config).key,
        model,
        lambda numbers: data.batches(batch, numbers, accelerator.device),
        recipe,
        seed,
        accelerator,
    )
    if curve is not None:
        weights = {key: tensor.detach().cpu().contiguous() for key, tensor in student.vilt.state_dict().items()}
        pretraining.write(student.vilt, weights, student.tokenizer, layout.model(name), curve)
    distributed.leave()
