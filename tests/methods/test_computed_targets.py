"""What the confidence weights and the soft answers of a training split are computed of."""

from typing import Any

import numpy as np
import pytest
from tiny_teacher import TinyStore, V

from vlkd_steps.data.batches import Encoded
from vlkd_steps.teachers.targets import compute, confidence

SOFT = [[0.9, 0.3, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.6, 0.0]]
IMAGES = ["i0", "i1", "i0", "i2"]


def both(data: Encoded, store: TinyStore) -> np.ndarray:
    texts = [data.items.texts[row] for row in (0, 1, 1, 0)]
    return confidence.probe_features(np.array([V[i] for i in IMAGES], np.float32), store.texts(texts))


def check(features: Any, soft: Any, data: Encoded, store: TinyStore) -> None:
    np.testing.assert_allclose(features(np.arange(4)), both(data, store), rtol=1e-5)
    np.testing.assert_allclose(soft.toarray(), SOFT, rtol=1e-6)


def test_confidence_is_asked_of_both_embeddings_soft_labels_and_images(
    data: Encoded, store: TinyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(confidence, "answer_confidence", lambda *of: asked.append(of) or np.ones(4))
    compute.compute({"words": None, "weights": {"by": "both", "probe_items": 7}}, data.items, store, 1)
    [(features, soft, images, _, most, _)] = asked
    check(features, soft, data, store)
    assert (images, most) == (IMAGES, 7)


def test_soft_answers_are_asked_of_the_same(data: Encoded, store: TinyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(compute.soft_answers, "by_probe", lambda *of: asked.append(of))
    wanted = {"words": None, "weights": None, "answers": {"probe_items": 7, "kept": 2}}
    compute.compute(wanted, data.items, store, 1)
    [(features, soft, images, _, most, kept, _)] = asked
    check(features, soft, data, store)
    assert (images, most, kept) == (IMAGES, 7, 2)
