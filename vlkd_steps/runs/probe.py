"""Runs that train no student but fit a probe on the teacher's stored features (`methods.clip_probe`).

They are laid out and evaluated like a student's runs, for the same tables; ``model.safetensors`` has the probe.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from accelerate import Accelerator
from safetensors.numpy import save_file
from scipy import sparse

from vlkd_steps.core import artifacts, distributed, files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted, StopRequest
from vlkd_steps.core.seeds import derive
from vlkd_steps.data.items import Items, read_items
from vlkd_steps.methods import objective
from vlkd_steps.pretrained import report
from vlkd_steps.runs import predict
from vlkd_steps.runs.classify import features as stored
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.runs.seeds import RunSeed
from vlkd_steps.teachers.targets import compute, confidence, probe
from vlkd_steps.teachers.targets.cross_fit import Features


def prepare(config: Mapping[str, Any], accelerator: Accelerator) -> RunSeed:
    """The function that fits and evaluates the probe of one seed of a job (`seeds.train_seeds`)."""
    objective.checked(config["method"], 1)
    store = stored(config)
    return lambda run, stop, _: fit_and_predict(run, store, stop)


def fit_and_predict(run: RunDir, store: Any, stop: StopRequest) -> None:
    """Make what is missing; one process does."""
    if distributed.is_main():
        with contextlib.suppress(Interrupted):
            if not run.trained():
                train(run, store)
            predict_all(run, store, stop)
    if distributed.agree(stop):
        stop.raise_if_set()


def train(run: RunDir, store: Any) -> None:
    """Fit the probe of one seed on its training split, and save it."""
    config = run.config
    items = _items(config, layout.train_split(config["dataset"]["name"], config["shot"], config["seed"]))
    fitted = fit(items, store, config["method"]["probe_items"], derive(config["seed"], "confidence"))
    fitted.save(run.model)
    parameters = fitted.probe.weights.size + fitted.probe.bias.size
    run.describe(student_parameters=parameters, train_items=len(items))


def predict_all(run: RunDir, store: Any, stop: StopRequest) -> None:
    """Predict every evaluation set that has no predictions yet.

    Raises:
        Interrupted: stopped by a signal; finished sets are kept.
    """
    fitted = Fitted.load(run.model)
    for name in run.unpredicted():
        stop.raise_if_set()
        items = _items(run.config, layout.eval_split(run.config["dataset"]["name"], name))
        predict.write_answers(items, *fitted.answers(items, store), run.predictions(name))
        run.finish(run.predictions(name))


@dataclass(frozen=True)
class Fitted:
    """A probe and the classes that it knows, int64 [C]; of items with choices wrong (0) and right (1)."""

    probe: probe.Probe
    classes: np.ndarray

    def save(self, path: Path) -> None:
        with files.atomic(path) as temporary:
            save_file({**vars(self.probe), "classes": self.classes}, temporary)

    @classmethod
    def load(cls, path: Path) -> Self:
        tensors = {name: tensor.numpy() for name, tensor in report.tensors(path, "probe", pickles=False).items()}
        if set(tensors) != {field.name for field in fields(probe.Probe)} | {"classes"}:
            raise UserError(f"{path} has no probe (it has {', '.join(sorted(tensors))}); train its run again")
        classes = tensors.pop("classes")
        return cls(probe.Probe(**tensors), classes)

    def answers(self, items: Items, store: Any) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest class or choice of each item, int64 [N], and its probability, float32 [N]."""
        seen, choices = _features(items, store), items.choices
        found, sure = np.zeros(len(items), np.int64), np.zeros(len(items), np.float32)
        for start in range(0, len(items), probe.BLOCK):
            here = np.arange(start, min(start + probe.BLOCK, len(items)))
            likely = self.probe.probabilities(seen(_rows(here, choices)))
            if choices > 1:
                likely = likely[:, 1].reshape(-1, choices)
            best = likely.argmax(1)
            found[here] = best if choices > 1 else self.classes[best]
            sure[here] = likely[np.arange(len(here)), best]
        return found, sure


def fit(items: Items, store: Any, most: int, seed: int) -> Fitted:
    """The probe of a training split, or of `most` of its items, drawn at random.

    Raises:
        UserError: no item has an answer that is a class.
    """
    soft, choices = compute.sparse_labels(items), items.choices
    known = np.flatnonzero(soft.sum(1).A1)
    if not len(known):
        raise UserError(
            f"none of the {len(items)} training items has an answer in the vocabulary, so no probe can be fitted; "
            "take a larger shot, or set the data set's `vocabulary`"
        )
    drawn = np.sort(np.random.default_rng(seed).permutation(known)[:most])
    soft = soft[drawn]
    if choices > 1:
        right = soft.toarray().reshape(-1, 1)
        soft = sparse.csr_matrix(np.concatenate([1 - right, right], axis=1))
    classes = np.unique(soft.indices).astype(np.int64)
    seen = _features(items, store)(_rows(drawn, choices))
    if len(classes) > 1:
        return Fitted(probe.fit(seen, soft[:, classes]), classes)
    only = np.zeros((seen.shape[1], 1), np.float32)  # which has the probability 1, whatever is seen
    return Fitted(probe.Probe(only[:, 0], only[:, 0] + 1, only, only[0]), classes)


def _features(items: Items, store: Any) -> Features:
    """What the probe sees of rows: of the items, or of items' choices one after another."""
    images, texts = items.image_rows.numpy().repeat(items.choices), items.passage_rows.numpy().flatten()
    return confidence.both(store.images(items.image_ids), images, store.texts(items.passages.texts()), texts)


def _rows(items: np.ndarray, choices: int) -> np.ndarray:
    """The rows of the items: one each, or as many as an item has choices."""
    return (items[:, None] * choices + np.arange(choices)).flatten()


def _items(config: Mapping[str, Any], split: Path) -> Items:
    name = config["dataset"]["name"]
    return read_items(artifacts.instances(name), split, artifacts.labels(name))
