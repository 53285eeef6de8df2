"""VLKD runs from their seeds to their answers, with a BART, a frozen CLIP and a caption corpus.

Unlike in `classify`, the training items are image-caption pairs, CLIP's embeddings are the student's image input,
and answers are generated text, also on data sets that were not trained on. On a data set of questions the same
objective fine-tunes the student (`question_batches`), from ``init``, an aligned model, or from plain BART. A method
without any loss trains nothing: plain BART, without images.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional

from vlkd_steps import tasks
from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import artifacts, distributed, hardware, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted, StopRequest
from vlkd_steps.core.step import log
from vlkd_steps.data import loader
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.infilling import Infilling, padded
from vlkd_steps.data.items import read_items
from vlkd_steps.datasets.caption_shards import MAX_SKIPPED, Stream, open_shards
from vlkd_steps.engine import loop
from vlkd_steps.methods import objective
from vlkd_steps.methods.vlkd import Vlkd
from vlkd_steps.methods.vlkd.objective import Alignment
from vlkd_steps.runs import answering, caption_batches, measures, question_batches, vocabulary_fit
from vlkd_steps.runs.caption_batches import Maker, StoredCaptions, StreamedCaptions
from vlkd_steps.runs.question_batches import Questions
from vlkd_steps.runs.run_dir import RunDir, initial
from vlkd_steps.runs.seeds import RunSeed
from vlkd_steps.runs.text_batches import Texts
from vlkd_steps.students import bart, generation
from vlkd_steps.students.prompts import CAPTION, QUESTION, Prompt
from vlkd_steps.teachers.features.store import FeatureStore
from vlkd_steps.teachers.models import clip

BEAMS = 4  # BART's own default
Batches = Callable[[Sequence[int]], Iterator[Batch]]  # this process's rows of the batches of these numbers
ANSWER, DESCRIPTION = 20, 40  # maximum tokens of an answer, of a caption


def prepare(config: Mapping[str, Any], accelerator: Accelerator) -> RunSeed:
    """The function that trains one seed of a job and writes its answers (`seeds.train_seeds`)."""
    if config.get("teacher") is None:
        raise UserError(f"variant {config['variant']}: method vlkd needs a CLIP; name one as its teacher")
    recipe = Recipe.of(config["training"])
    teacher = clip.ClipTeacher(config["teacher"], str(accelerator.device))
    eyes = Eyes(teacher)

    def run_seed(run: RunDir, stop: StopRequest, context: loop.RunContext) -> None:
        if not distributed.decided(run.trained):
            train(run, recipe, teacher, accelerator, stop, context)
        answer(run, eyes, accelerator, stop)

    return run_seed


def train(
    run: RunDir,
    recipe: Recipe,
    teacher: clip.ClipTeacher,
    accelerator: Accelerator,
    stop: StopRequest,
    context: loop.RunContext,
) -> None:
    """Train one seed and save its weights. CLIP has no gradient and stays unchanged."""
    config, seed = run.config, run.config["seed"]
    method: Any = objective.create(config["method"], recipe.steps)
    method.take_temperature(teacher.logit_scale)
    student = started(config, teacher, seed)
    hardware.adapt(student, config["training"])
    items = 0
    if method.learns:
        corpus = items_of(config, student, method.settings, teacher, seed, recipe.batch_size, accelerator.device)
        if isinstance(corpus, StreamedCaptions):
            corpus.count_in(run.work / "broken_images.txt")
        items = len(corpus)
        batches: Batches = corpus.batches
        if method.settings.rehearsal:
            texts = rehearsal(method.settings, student, recipe.batch_size, seed)
            batches = rehearsed(corpus.batches, texts, accelerator.device)
        loop.train(
            Alignment(student, method),
            batches,
            recipe,
            context,
            seed,
            accelerator,
            stop,
            epoch_steps=items / (recipe.batch_size * recipe.accumulation),
        )
    if distributed.is_main():
        student.eval()
        bart.save(student, run.model)
        parameters = sum(p.numel() for p in student.parameters())
        run.describe(student_parameters=parameters, precision=hardware.precision(accelerator), train_items=items)
    distributed.wait()


Rehearsal = Callable[[int, Batch], Mapping[str, Tensor]]
"""A batch's number and the batch -> what `methods.vlkd` rehearses beside it, the tensors of `runs.text_batches`."""


def rehearsal(settings: Vlkd, student: bart.BartStudent, size: int, seed: int) -> Rehearsal:
    """The texts about scenes of a batch's number, or else the batch's own.

    Own texts are masked as captions are, but none whole, as that would leave a text without context.
    """
    made = Texts(student.tokenizer, student.max_tokens, size, seed)
    if settings.rehearsal_texts == "scenes":
        return lambda number, _: made.infilling(number)
    noise = Infilling(student.tokenizer.mask_token_id, settings.mask_share, settings.mean_span)

    def own(number: int, batch: Batch) -> Mapping[str, Tensor]:
        draws = range(number * size, (number + 1) * size)[distributed.share()]
        lengths = batch.inputs.mask.sum(1).tolist()
        rows = [row[:length] for row, length in zip(batch.inputs.tokens.tolist(), lengths, strict=True)]
        masked = [noise(row, seed, draw) for row, draw in zip(rows, draws, strict=True)]
        read, mask = padded(masked, student.tokenizer.pad_token_id)
        return {
            "text": batch.inputs.tokens,
            "text_scored": batch.inputs.mask,
            "text_read": read,
            "text_read_mask": mask,
            "text_total": batch.extra["written"],
        }

    return own


def rehearsed(batches: Batches, texts: Rehearsal, device: torch.device) -> Batches:
    """The same batches, each with a batch of texts in ``extra``."""

    def both(numbers: Sequence[int]) -> Iterator[Batch]:
        for number, batch in zip(numbers, batches(numbers), strict=True):
            found = {name: part.to(device) for name, part in texts(number, batch).items()}
            yield replace(batch, extra={**batch.extra, **found})

    return both


def started(config: Mapping[str, Any], teacher: clip.ClipTeacher, seed: int) -> bart.BartStudent:
    """The student before training: from ``init``, or a BART with new maps."""
    if not config.get("init"):
        return bart.build(config["student"], teacher.dim, seed, config["teacher"])
    student = bart.load(initial(config))
    if student.clip_width != teacher.dim:
        raise UserError(
            f"variant {config['variant']}: init is a model for embeddings of width {student.clip_width}, but teacher "
            f"{config['teacher']['name']} has width {teacher.dim}; name the teacher of the run that trained it"
        )
    return student.train()


def items_of(
    config: Mapping[str, Any],
    student: bart.BartStudent,
    settings: Vlkd,
    teacher: clip.ClipTeacher,
    seed: int,
    size: int,
    device: torch.device,
) -> StoredCaptions | StreamedCaptions | Questions:
    """The training items: a corpus's pairs (`pairs`), or questions with their images' stored embeddings.

    Raises:
        UserError: ttdm or itcl is enabled for questions, which have no caption.
    """
    dataset = config["dataset"]
    if tasks.load(dataset["task"]).head == "written":
        return pairs(config, student, settings, teacher, seed, size, device)
    rows = question_batches.training_rows(dataset["name"], dataset["task"], config["shot"], seed)
    if settings.ttdm or settings.itcl:
        raise UserError(
            f"variant {config['variant']}: ttdm and itcl compare captions, and {dataset['name']} has questions; set "
            f"both to 0 for this task (variants.<name>.by_task.{dataset['task']})"
        )
    label = f"vlkd {dataset['name']} s{seed}"
    vocabulary_fit.warn(student.tokenizer, rows["text"].to_list(), config["student"]["name"], label)
    store = FeatureStore.open(layout.features(config["teacher"]["name"], dataset["name"]))
    v = torch.from_numpy(store.images(rows["image_id"].to_list()))
    return Questions(rows, v, student.tokenizer, student.max_tokens, size, seed, device)


def pairs(
    config: Mapping[str, Any],
    student: bart.BartStudent,
    settings: Vlkd,
    teacher: clip.ClipTeacher,
    seed: int,
    size: int,
    device: torch.device,
) -> StoredCaptions | StreamedCaptions:
    """The corpus: streamed from shards, or in memory with embeddings from the store or, if large, computed online.

    Raises:
        UserError: stored embeddings of another text template than the bare caption.
    """
    dataset = config["dataset"]
    noise = Infilling(student.tokenizer.mask_token_id, settings.mask_share, settings.mean_span, settings.masked_whole)
    maker = Maker(student.tokenizer, student.max_tokens, noise, seed, device)
    if teacher.template != "{}":
        raise UserError(
            f"teacher {config['teacher']['name']}: its text template is {teacher.template!r}, but VLKD compares whole "
            'captions; give a teacher with template: "{}"'
        )
    prefix = f"[vlkd {dataset['name']} s{seed}]"
    if dataset.get("shards") or dataset.get("tsv"):
        stream = Stream(open_shards(dataset, layout.raw(dataset["source"])), seed, settings.shuffle_window)
        log.info(f"{prefix} {len(stream)} pairs are streamed; CLIP embeds them online")
        return StreamedCaptions(stream, teacher, maker, size, dataset.get("max_skipped", MAX_SKIPPED))
    items = read_items(
        artifacts.instances(dataset["name"]), layout.train_split(dataset["name"], config["shot"], seed), []
    )
    vocabulary_fit.warn(student.tokenizer, items.passages.segments, config["student"]["name"], prefix.strip("[]"))
    if len(items) <= settings.stored_pairs:
        log.info(f"{prefix} {len(items)} pairs, at most stored_pairs {settings.stored_pairs}: features from the store")
        store = FeatureStore.open(layout.features(config["teacher"]["name"], dataset["name"]))
        return StoredCaptions(items, caption_batches.stored_features(items, store), maker, size)
    log.info(f"{prefix} {len(items)} pairs, more than stored_pairs {settings.stored_pairs}: CLIP embeds them online")
    return StoredCaptions(items, caption_batches.made_features(items, teacher), maker, size)


class Eyes:
    """CLIP's normalised embeddings of image files, each computed once; files are read ahead."""

    def __init__(self, teacher: clip.ClipTeacher) -> None:
        self.teacher = teacher
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, paths: Sequence[str]) -> Tensor:
        """v, float32 [N, D] of length 1."""
        new = sorted(set(paths) - set(self.known))
        parts = [new[start : start + 64] for start in range(0, len(new), 64)]
        for part, images in zip(parts, loader.ahead(self._read, parts), strict=True):
            self.known |= dict(zip(part, self.teacher.embed_images(images), strict=True))
        return functional.normalize(torch.from_numpy(np.stack([self.known[path] for path in paths])), dim=1)

    def _read(self, paths: Sequence[str]) -> Tensor:
        return torch.stack([self.teacher.load_image(Path(path)) for path in paths])


def answer(run: RunDir, eyes: Eyes, accelerator: Accelerator, stop: StopRequest) -> None:
    """Answer what is still missing, with the saved weights; without images if no loss was trained."""
    if not distributed.decided(run.finished) and distributed.is_main():
        student = bart.load(run.model).to(accelerator.device)
        learned = objective.create(run.config["method"], 1).learns
        with contextlib.suppress(Interrupted):  # all processes stop together
            answering.answer_all(run, Written(student, eyes if learned else None), stop)
    if distributed.agree(stop):
        stop.raise_if_set()


class Written:
    """Answers that a BART generates.

    Args:
        eyes: image embeddings; None: text only.
    """

    def __init__(self, student: bart.BartStudent, eyes: Eyes | None) -> None:
        self.student, self.eyes = student, eyes

    def answers(self, rows: pl.DataFrame, evaluation: Evaluation) -> list[str]:
        captions = tasks.load(evaluation.task).head == "written"
        prompt = Prompt.of(evaluation.how.get("prompt") or (CAPTION if captions else QUESTION))
        questions = [""] * len(rows) if captions else rows["text"].to_list()
        v = self.eyes(rows["image_path"].to_list()) if self.eyes else None
        most = evaluation.how.get("most_tokens", DESCRIPTION if captions else ANSWER)
        listed = artifacts.labels(evaluation.dataset) if evaluation.how.get("answers") == "listed" else None
        return generation.write(self.student, v, prompt, questions, evaluation.how.get("beams", BEAMS), most, listed)

    def measure(self, measure: Mapping[str, Any], seed: int) -> dict[str, Any]:
        if measure["measure"] != "retrieval":
            return measures.of_text(self.student, measure, seed)
        eyes = self.eyes
        if eyes is None:
            return {}
        return measures.recalls(
            measure, lambda texts: measures.embedded(self.student, texts), lambda paths: eyes(paths).numpy()
        )
