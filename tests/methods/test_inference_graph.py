"""Distillation changes nothing at inference: the same parameters, the same operations, for every method."""

from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tiny_teacher import TinyStore, targets_of
from torch.utils._python_dispatch import TorchDispatchMode

from vlkd_steps.config.models import method
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import components
from vlkd_steps.data.batches import Encoded
from vlkd_steps.engine import loop
from vlkd_steps.methods import objective
from vlkd_steps.students import vilt
from vlkd_steps.teachers.targets import compute
from vlkd_steps.teachers.targets.soft_answers import SoftAnswers

DECLARED = {name: method.declaration(name) for name in components.names("method")}
TAUGHT = [
    name
    for name, each in DECLARED.items()
    if each.runner == "classify" and not each.keeps_teacher and each.needs_teacher is method.always
]
"""All that train a student with a teacher that is not there at inference."""


class Operations(TorchDispatchMode):
    """The names and output shapes of all tensor operations, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.seen.append((str(func), getattr(result, "shape", None)))
        return result


def trained(name: str, root: Any, words: Any, data: Encoded, store: TinyStore) -> vilt.ViltStudent:
    """A student after one step of a method with the settings that the package ships."""
    conf = {
        "name": "toy",
        "vocabulary": str(words),
        "architecture": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16}
        | {"patch_size": 8, "intermediate_size": 16, "max_position_embeddings": 16},
    }
    student = vilt.build(conf, "vqa", data.items.labels, seed=1)
    settings = yaml.safe_load((root / "vlkd_steps/conf/method" / f"{name}.yaml").read_text())
    taught_by = objective.create(settings, steps=200)
    data.extra = taught_by.prepare(data, store, 1, targets_of(settings, data, store))
    taught_by.project(student.width, data.extra)
    model = objective.Distillation(student, taught_by)
    optimizer = loop.adamw(model, Recipe(steps=200, batch_size=4, learning_rate=1e-2))
    losses = model(data.batch(torch.arange(4)), 170)
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    return student.eval()


def test_graph_and_parameters_are_finetunes(
    tmp_path: Any, root: Any, data: Encoded, store: TinyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute.confidence, "weights", lambda *_: [1.0] * 4)
    answers = SoftAnswers(np.zeros((4, 1), np.int32), np.ones((4, 1), np.float32))
    monkeypatch.setattr(compute.soft_answers, "by_probe", lambda *_: answers)
    words = tmp_path / "words.txt"
    words.write_text("what color is the red cube large")
    batch = data.batch(torch.arange(4))
    seen = {}
    for name in ("finetune", *TAUGHT):
        student = trained(name, root, words, data, store)
        parameters = {key: tuple(value.shape) for key, value in student.state_dict().items()}
        with torch.inference_mode(), Operations() as operations:
            logits = student(batch.inputs).logits
        seen[name] = (parameters, operations.seen, logits)
    assert {"naive_kd", "clip_td", "mad", "interactive_contrast"} <= set(TAUGHT)
    for name in TAUGHT:
        assert seen[name][0] == seen["finetune"][0]
        assert seen[name][1] == seen["finetune"][1]
        assert not torch.equal(seen[name][2], seen["finetune"][2])  # it was trained otherwise
    assert len(seen["finetune"][1]) > 30
