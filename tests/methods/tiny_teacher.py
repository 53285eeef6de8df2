"""A teacher's features small enough to compute with by hand, shared by the methods' tests."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from vlkd_steps.config import targets as of_config
from vlkd_steps.data.batches import Batch, Encoded
from vlkd_steps.data.words import split_words
from vlkd_steps.methods import objective
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers.targets import compute
from vlkd_steps.teachers.targets.target_file import Targets

V = {"i0": [1.0, 2.0, 3.0, 4.0], "i1": [0.0, 0.0, 1.0, -1.0], "i2": [2.0, -2.0, 0.5, 0.0]}


class TinyStore:
    """A feature store of width 4, with word states of width 3."""

    temperature = 0.2

    def images(self, image_ids: list[str]) -> np.ndarray:
        return np.array([V[i] for i in image_ids], np.float32)

    def texts(self, texts: list[str]) -> np.ndarray:
        return np.array([[len(t), t.count("e"), 1.0, -t.count("a")] for t in texts], np.float32)

    def words(self, words: list[str]) -> np.ndarray:
        return np.array([[len(w), w.count("a"), 1.0, 0.5] for w in words], np.float32)

    def word_states(self, text: str) -> tuple[list[str], np.ndarray]:
        words = split_words(text)
        return words, np.array([[i + 1.0, len(w), -2.0] for i, w in enumerate(words)], np.float32)


def targets_of(settings: dict[str, Any], data: Encoded, store: TinyStore, seed: int = 1) -> Targets | None:
    """What the phase `targets` computes for a method with these settings."""
    wanted = of_config.wanted(objective.checked(settings, 10**6))
    return compute.compute(wanted, data.items, store, seed) if wanted else None


def all_items(data: Encoded) -> Batch:
    return data.batch(torch.arange(len(data)))


class TwoTowers(NamedTuple):
    """A method made to distil a CLIP, with the embeddings that it compares, of length 1, in numpy: [4, 4] each."""

    method: objective.Objective
    image: np.ndarray
    text: np.ndarray
    v: np.ndarray
    u: np.ndarray


def two_towers(name: str, data: Encoded, store: TinyStore, output: StudentOutput, **changed: Any) -> TwoTowers:
    """The method with the settings that the package ships but for `changed`, in a run of 10 steps."""
    path = Path(__file__).parents[2] / "vlkd_steps/conf/method" / f"{name}.yaml"
    method = objective.create(yaml.safe_load(path.read_text()) | changed, steps=10)
    data.extra = method.prepare(data, store, seed=1)
    torch.manual_seed(7)
    method.project(5, data.extra)

    def projected(layer: str, features: torch.Tensor) -> np.ndarray:
        weights = {key: value.detach().numpy() for key, value in method.get_submodule(layer).named_parameters()}
        return unit(features.detach().numpy() @ weights["weight"].T + weights["bias"])

    v = unit(np.array([V[i] for i in ("i0", "i1", "i0", "i2")]))
    u = unit(store.texts([data.items.texts[i] for i in (0, 1, 1, 0)]).astype(float))
    return TwoTowers(method, projected("to_image", output.visual.mean(1)), projected("to_text", output.cls), v, u)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over each row."""
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def check_gradients(method: objective.Objective, output: StudentOutput, batch: Batch) -> None:
    """The distilled terms train the student's image and text features and all that the method adds, and no more."""
    losses = method(output, batch, 0)
    torch.stack([loss for name, loss in losses.items() if name != "task"]).sum().backward()
    assert not any(value.requires_grad for value in batch.extra.values())
    touched = {name for name, value in vars(output).items() if value is not None and value.grad is not None}
    assert touched == {"visual", "cls"}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())
