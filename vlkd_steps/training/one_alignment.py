"""A VLKD run from its seed to its predictions: a BART, a frozen CLIP and a caption corpus put together for the loop.

As `one_run`, with what differs: the training items are image-caption pairs, CLIP's embeddings are the student's view
of an image, and what it is asked afterwards it answers in words of its own, also on data sets that it never trained on.

A job's configuration is that of a `distill` job with

- ``teacher``: its whole configuration, for images without stored features;
- ``dataset``: with ``pairs``, the corpus's size, and ``shards`` or ``tsv`` where it is streamed;
- ``asks``: list of ``{dataset, task, set, prompt?, answers?}``: what the run is to answer, or to caption.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional

from vlkd_steps import files, layout
from vlkd_steps.datasets.caption_shards import Stream, open_shards
from vlkd_steps.errors import UserError
from vlkd_steps.methods import objective
from vlkd_steps.methods.vlkd import Alignment
from vlkd_steps.step import log
from vlkd_steps.students import bart, generation
from vlkd_steps.students.prompts import CAPTION, QUESTION, Prompt
from vlkd_steps.teachers import clip
from vlkd_steps.teachers.store import FeatureStore
from vlkd_steps.tracking.journal import Journal
from vlkd_steps.training import caption_batches, hardware, loop, processes
from vlkd_steps.training.batches import read_items
from vlkd_steps.training.caption_batches import Maker, StoredCaptions, StreamedCaptions
from vlkd_steps.training.infilling import Infilling
from vlkd_steps.training.interruption import Interrupted, StopRequest, stop_request

BEAMS = 4  # BART's own default


def align(config: Mapping[str, Any], seed: int, folder: Path) -> int:
    """Train one seed, keep its weights in `folder`, and answer what the configuration asks.

    Returns:
        0, or 128 + the signal's number when told to stop (143 for TERM): the next call goes on from there.
    """
    recipe = loop.Recipe.of(config["training"])
    accelerator = hardware.accelerator(config["training"])
    model = folder / "model.safetensors"
    teacher = clip.ClipTeacher(config["teacher"], str(accelerator.device))
    with stop_request() as stop, contextlib.ExitStack() as held:
        tell = held.enter_context(Journal(folder / "journal.jsonl")).append if processes.is_main() else loop.unheard
        try:
            if not processes.decided(model.is_file):
                student = train(config, seed, folder, recipe, teacher, accelerator, stop, tell)
                if processes.is_main():
                    bart.save(student, model)
                processes.wait()
            if processes.is_main():
                student = bart.load(model).to(accelerator.device)
                eyes = Eyes(teacher)
                for ask in config["asks"]:
                    answer(student, eyes, ask, predictions(folder, ask), stop)
        except Interrupted as interruption:
            log.info(f"[vlkd {config['dataset']['name']} s{seed}] {interruption}")
            processes.leave()
            return interruption.exit_status
    processes.leave()
    return 0


def train(
    config: Mapping[str, Any],
    seed: int,
    folder: Path,
    recipe: loop.Recipe,
    teacher: clip.ClipTeacher,
    accelerator: Accelerator,
    stop: StopRequest,
    tell: loop.Tell,
) -> bart.BartStudent:
    """Train a student of the configuration's seed. CLIP has no gradient and stays what it was."""
    method: Any = objective.create(config["method"], recipe.steps)
    method.take_temperature(teacher.logit_scale)
    student = bart.build(config["student"], teacher.dim, seed, config["teacher"])
    corpus = pairs(config, student, method.settings, teacher, seed, recipe.batch_size, accelerator.device)
    identity = files.digest([_trained_by(config), seed])
    name = config["dataset"]["name"]
    loop.train(
        Alignment(student, method),
        corpus.batch,
        recipe,
        loop.Place(folder / "checkpoints", folder / "nan_batch.safetensors", identity, f"vlkd {name} s{seed}", tell),
        seed,
        accelerator,
        stop,
        epoch_steps=len(corpus) / (recipe.batch_size * recipe.accumulation),
    )
    return student.eval()


def _trained_by(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("asks", "experiment", "variant", "seeds")}


def pairs(
    config: Mapping[str, Any],
    student: bart.BartStudent,
    settings: Mapping[str, Any],
    teacher: clip.ClipTeacher,
    seed: int,
    size: int,
    device: torch.device,
) -> StoredCaptions | StreamedCaptions:
    """The corpus: streamed from shards, or in memory with embeddings from the store or, if it is large, made online.

    Raises:
        UserError: stored embeddings of another text template than the bare caption.
    """
    dataset = config["dataset"]
    noise = Infilling(
        student.tokenizer.mask_token_id, settings["mask_share"], settings["mean_span"], settings["masked_whole"]
    )
    maker = Maker(student.tokenizer, student.max_tokens, noise, seed, device)
    if teacher.template != "{}":
        raise UserError(
            f"teacher {config['teacher']['name']}: its text template is {teacher.template!r}, but VLKD compares whole "
            'captions; give a teacher with template: "{}"'
        )
    label = f"[vlkd {dataset['name']} s{seed}]"
    if dataset.get("shards") or dataset.get("tsv"):
        stream = Stream(open_shards(dict(dataset), layout.raw(dataset["source"])), seed, settings["shuffle_window"])
        log.info(f"{label} {len(stream)} pairs are streamed; CLIP embeds them online")
        return StreamedCaptions(stream, teacher, maker, size)
    items = read_items(layout.instances(dataset["name"]), layout.train_split(dataset["name"], config["shot"], seed), [])
    if len(items) <= settings["stored_pairs"]:
        log.info(
            f"{label} {len(items)} pairs, at most stored_pairs {settings['stored_pairs']}: features from the store"
        )
        store = FeatureStore.open(layout.features(config["teacher"]["name"], dataset["name"]))
        return StoredCaptions(items, caption_batches.stored_features(items, store), maker, size)
    log.info(f"{label} {len(items)} pairs, more than stored_pairs {settings['stored_pairs']}: CLIP embeds them online")
    return StoredCaptions(items, caption_batches.made_features(items, teacher), maker, size)


class Eyes:
    """CLIP's normalised embeddings of image files; each is looked at once."""

    def __init__(self, teacher: clip.ClipTeacher) -> None:
        self.teacher = teacher
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, paths: Sequence[str]) -> Tensor:
        """v, float32 [N, D] of length 1."""
        new = sorted(set(paths) - set(self.known))
        for start in range(0, len(new), 64):
            part = new[start : start + 64]
            rows = self.teacher.embed_images([self.teacher.load_image(Path(path)) for path in part])
            self.known |= dict(zip(part, rows, strict=True))
        return functional.normalize(torch.from_numpy(np.stack([self.known[path] for path in paths])), dim=1)


def predictions(folder: Path, ask: Mapping[str, Any]) -> Path:
    """Where the answers to an evaluation set stand, by the prompt that was used."""
    return folder / "predictions" / f"{ask['dataset']}-{ask['set']}-{ask.get('name', 'default')}.parquet"


def answer(student: bart.BartStudent, eyes: Eyes | None, ask: Mapping[str, Any], path: Path, stop: StopRequest) -> None:
    """Answer, or caption, an evaluation set: ``instance_id, prediction (null), answer`` in the split's order.

    Args:
        eyes: None: without the image, for the language model alone.
    """
    if path.is_file():
        return
    rows = pl.read_parquet(layout.eval_split(ask["dataset"], ask["set"]), columns=["instance_id"])
    table = pl.read_parquet(layout.instances(ask["dataset"]), columns=["instance_id", "image_id", "image_path", "text"])
    rows = rows.join(table, on="instance_id", how="left", maintain_order="left")
    captioning = ask["task"] == "captioning"
    prompt = Prompt.of(ask.get("prompt") or (CAPTION if captioning else QUESTION))
    shown = rows.unique("image_id", keep="first", maintain_order=True) if captioning else rows
    candidates = (
        json.loads(layout.labels(ask["dataset"]).read_text("utf-8")) if ask.get("answers") == "listed" else None
    )
    v = eyes(shown["image_path"].to_list()) if eyes else None
    stop.raise_if_set()
    questions = [""] * len(shown) if captioning else shown["text"].to_list()
    written = generation.write(
        student, v, prompt, questions, ask.get("beams", BEAMS), ask.get("most_tokens", 20), candidates
    )
    if captioning:
        said = dict(zip(shown["image_id"], written, strict=True))
        written = [said[image] for image in rows["image_id"]]
    frame = pl.DataFrame(
        {
            "instance_id": rows["instance_id"],
            "prediction": pl.Series([None] * len(rows), dtype=pl.Int64),
            "answer": pl.Series(written, dtype=pl.String),
            "probability": pl.Series([None] * len(rows), dtype=pl.Float64),
        }
    )
    with files.atomic(path) as temporary:
        frame.write_parquet(temporary)
