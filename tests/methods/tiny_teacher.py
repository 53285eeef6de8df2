"""A teacher's features small enough to compute with by hand, shared by the methods' tests."""

from typing import Any

import numpy as np
import torch

from vlkd_steps.config import targets as of_config
from vlkd_steps.data.batches import Batch, Encoded
from vlkd_steps.data.words import split_words
from vlkd_steps.methods import objective
from vlkd_steps.teachers.targets import compute
from vlkd_steps.teachers.targets.target_file import Targets

V = {"i0": [1.0, 2.0, 3.0, 4.0], "i1": [0.0, 0.0, 1.0, -1.0], "i2": [2.0, -2.0, 0.5, 0.0]}


class TinyStore:
    """A feature store of width 4, with word states of width 3."""

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
