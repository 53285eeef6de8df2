from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tiny_teacher import TinyStore, V, all_items, targets_of

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods import objective
from vlkd_steps.methods.distances import info_nce
from vlkd_steps.students import vilt
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers.targets import compute

STEPS, STAGE = 110, 10
WEIGHTS = np.array([0.5, 1.5, 1.2, 0.8], np.float32)


@pytest.fixture
def settings(root: Any) -> dict[str, Any]:
    return yaml.safe_load((root / "vlkd_steps/conf/method/clip_td.yaml").read_text()) | {"adaptive_steps": STAGE}


@pytest.fixture(autouse=True)
def given_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confidence needs many items; here it says what the test computes with."""
    monkeypatch.setattr(compute.confidence, "weights", lambda *_: WEIGHTS)


def made(settings: dict[str, Any], data: Encoded, store: TinyStore) -> objective.Objective:
    method = objective.create(settings, STEPS)
    data.extra = method.prepare(data, store, 1, targets_of(settings, data, store))
    torch.manual_seed(7)
    method.project(5, data.extra)
    return method


def ln(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def teacher(data: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """v and u of the four items."""
    v = np.array([V[i] for i in ("i0", "i1", "i0", "i2")], np.float32)
    return v, TinyStore().texts([data.items.texts[row] for row in (0, 1, 1, 0)])


def projected(method: objective.Objective, name: str, features: np.ndarray) -> np.ndarray:
    layer = method.get_submodule(f"to_teacher.{name}")
    return features @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()  # type: ignore[operator]


@pytest.mark.parametrize(("step", "strength"), [(STAGE, 10.0), (STAGE + 25, 7.5), (STEPS - 1, 0.1)])
@pytest.mark.parametrize("block", [3, objective.BLOCK])
def test_image_and_joint_terms_in_numpy(
    settings: dict[str, Any],
    data: Encoded,
    store: TinyStore,
    output: StudentOutput,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    strength: float,
    block: int,
) -> None:
    monkeypatch.setattr(objective, "BLOCK", block)
    method = made(settings, data, store)
    losses = method(output, all_items(data), step)
    assert set(losses) == {"task", "image", "joint", "tokens"}
    v, u = teacher(data)
    image = np.abs(projected(method, "image", output.visual.detach().numpy().mean(1)) - ln(v)).mean(-1)
    joint = np.abs(projected(method, "joint", output.cls.detach().numpy()) - ln(ln(v) + ln(u))).mean(-1)
    assert losses["image"].item() == pytest.approx(strength * (WEIGHTS * image).mean(), rel=1e-4)
    assert losses["joint"].item() == pytest.approx(strength * (WEIGHTS * joint).mean(), rel=1e-4)


def test_a_margin_is_over_a_probe_on_the_texts(
    settings: dict[str, Any], data: Encoded, store: TinyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    v, u = teacher(data)
    every, seen = np.arange(4), []

    def margins(both: Any, text: Any, *_: Any) -> np.ndarray:
        seen.extend([both(every), text(every)])
        return WEIGHTS[::-1].copy()

    monkeypatch.setattr(compute.confidence, "margin_weights", margins)
    made(settings | {"weight": "margin"}, data, store)
    assert all_items(data).extra["weight"].tolist() == WEIGHTS[::-1].tolist()
    np.testing.assert_allclose(seen[0], np.concatenate([ln(v), ln(u), ln(v) * ln(u)], 1), rtol=1e-4)
    np.testing.assert_allclose(seen[1], ln(u), rtol=1e-4)


@pytest.mark.parametrize("layer", ["embedding", "last"])
def test_token_term_in_numpy(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput, layer: str
) -> None:
    """All content words: "color ball" (1 + 4 pieces) and "red cube large"."""
    method = made(settings | {"selection": "all", "token_target": "text", "token_layer": layer}, data, store)
    found = method(output, all_items(data), STAGE)["tokens"].item()
    tokens = (output.embedded_text if layer == "embedding" else output.text).detach().numpy()
    positions = [[2, 5, 6, 7, 8], [3, 4, 5], [3, 4, 5], [2, 5, 6, 7, 8]]
    words = [[1, 4, 4, 4, 4], [2, 3, 4], [2, 3, 4], [1, 4, 4, 4, 4]]
    terms = []
    for item, (places, numbers) in enumerate(zip(positions, words, strict=True)):
        states = store.word_states(data.items.texts[(0, 1, 1, 0)[item]])[1]
        terms.append(np.abs(projected(method, "tokens", tokens[item, places]) - ln(states[numbers])).mean(-1).mean())
    assert found == pytest.approx(10.0 * (WEIGHTS * np.array(terms)).mean(), rel=1e-4)


@pytest.mark.parametrize("target", ["image", "fused"])
def test_token_term_with_the_items_own_target_in_numpy(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput, target: str
) -> None:
    changed = {"selection": "all", "token_layer": "last", "token_target": target}
    method = made(settings | changed, data, store)
    found = method(output, all_items(data), STAGE)["tokens"].item()
    v, u = teacher(data)
    wanted = ln(v) if target == "image" else ln(ln(v) * ln(u))
    positions = [[2, 5, 6, 7, 8], [3, 4, 5], [3, 4, 5], [2, 5, 6, 7, 8]]
    tokens = output.text.detach().numpy()
    terms = [
        np.abs(projected(method, "tokens", tokens[item, places]) - wanted[item]).mean(-1).mean()
        for item, places in enumerate(positions)
    ]
    assert found == pytest.approx(10.0 * (WEIGHTS * np.array(terms)).mean(), rel=1e-4)


@pytest.mark.parametrize("target", ["text", "image", "fused"])
@pytest.mark.parametrize("selection", ["both", "random"])
def test_only_the_last_layers_token_term_trains_the_transformer(
    settings: dict[str, Any], data: Encoded, store: TinyStore, tmp_path: Any, target: str, selection: str
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("what color is the red cube large")
    architecture = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16}
    architecture |= {"patch_size": 8, "intermediate_size": 8, "max_position_embeddings": 16}
    conf = {"name": "toy", "vocabulary": str(words), "architecture": architecture}
    for layer, reached in (("embedding", 0), ("last", 2)):
        student = vilt.build(conf, "vqa", data.items.labels, seed=1)
        changed = {"selection": selection, "token_target": target, "token_layer": layer, "targets": ["tokens"]}
        method = objective.create(settings | changed, STEPS)
        data.extra = method.prepare(data, store, 1, targets_of(settings | changed, data, store))
        method.project(student.width, data.extra)
        objective.Distillation(student, method)(all_items(data), STAGE)["tokens"].backward()
        trained = {
            name.split("encoder.layer.")[1][0]
            for name, parameter in student.named_parameters()
            if "encoder.layer." in name and parameter.grad is not None and parameter.grad.abs().sum() > 0
        }
        assert len(trained) == reached
        embedded = [p.grad for n, p in student.named_parameters() if "word_embeddings" in n]
        assert len(embedded) == 1
        assert embedded[0] is not None
        assert embedded[0].abs().sum() > 0


def test_the_joint_target_is_whitened_as_a_whole(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    method = made(settings | {"whitening": "standardise", "adaptive": False}, data, store)
    v, u = teacher(data)
    joint = ln(ln(v) + ln(u))
    expected = np.abs(projected(method, "joint", output.cls.detach().numpy()) - (joint - joint.mean(0)) / joint.std(0))
    found = method(output, all_items(data), 0)["joint"].item()
    assert found == pytest.approx(10.0 * (WEIGHTS * expected.mean(-1)).mean(), rel=1e-4)


def test_text_target_is_the_layer_normalised_text(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    method = made(settings | {"targets": ["text"], "weight": "uniform", "distance": "mse"}, data, store)
    losses = method(output, all_items(data), STAGE)
    difference = projected(method, "text", output.cls.detach().numpy()) - ln(teacher(data)[1])
    assert losses["text"].item() == pytest.approx(10.0 * (difference**2).mean(), rel=1e-4)


def test_adaptive_stage_is_the_contrast_and_nothing_else(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    method = made(settings, data, store)
    losses = method(output, all_items(data), STAGE - 1)
    assert set(losses) == {"contrast_image", "contrast_text"}
    v, u = (torch.tensor(part) for part in teacher(data))
    # Items 0 and 2 share their image; 0 and 3, and 1 and 2, their text.
    same = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 1]], dtype=torch.bool)
    image = torch.tensor(projected(method, "image", output.visual.detach().numpy().mean(1)))
    text = torch.tensor(projected(method, "contrast", output.cls.detach().numpy()))
    assert losses["contrast_image"].item() == pytest.approx(info_nce(image, v, same, 0.07).item(), rel=1e-4)
    assert losses["contrast_text"].item() == pytest.approx(info_nce(text, u, same, 0.07).item(), rel=1e-4)


def test_every_component_can_be_switched_off(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    off = made(settings | {"adaptive": False}, data, store)
    assert "task" in off(output, all_items(data), 0)
    assert "tokens" not in made(settings | {"selection": "none"}, data, store)(output, all_items(data), STAGE)
    uniform = made(settings | {"weight": "uniform"}, data, store)
    assert all_items(data).extra["weight"].tolist() == [1.0] * 4
    core = made(settings | {"weight": "uniform", "targets": ["image", "joint"]}, data, store)
    assert set(core(output, all_items(data), STAGE)) == {"task", "image", "joint"}
    assert sum(p.numel() for p in core.parameters()) < sum(p.numel() for p in uniform.parameters())


@pytest.mark.parametrize("selection", ["both", "relevance", "keyness", "random"])
def test_a_selection_takes_few_content_words(
    settings: dict[str, Any], data: Encoded, store: TinyStore, selection: str
) -> None:
    made(settings | {"selection": selection, "tokens_per_text": 1}, data, store)
    positions = data.extra["positions"]
    assert isinstance(positions, torch.Tensor)
    for places, allowed in zip(positions.tolist(), ((2, 5), (3, 4, 5), (3, 4, 5), (2, 5)), strict=True):
        assert places[0] in allowed  # the first piece of one content word


@pytest.mark.parametrize(("schedule", "factor"), [("linear", 0.75), ("constant", 1.0), ("cosine", 0.853553)])
def test_schedules_of_lambda(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput, schedule: str, factor: float
) -> None:
    method = made(settings | {"lambda_schedule": schedule}, data, store)
    first = method(output, all_items(data), STAGE)["joint"].item()
    assert method(output, all_items(data), STAGE + 25)["joint"].item() == pytest.approx(factor * first, rel=1e-4)


@pytest.mark.parametrize("relevance", ["plain", "centred", "regression"])
def test_relevance_is_a_switch(settings: dict[str, Any], data: Encoded, store: TinyStore, relevance: str) -> None:
    made(settings | {"relevance": relevance, "selection": "relevance"}, data, store)
    positions = data.extra["positions"]
    assert isinstance(positions, torch.Tensor)
    assert (positions >= 0).sum(1).tolist()[1:3] == [2, 2]  # two words of one piece each


def test_patches_are_matched_on_the_students_grid(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids = np.random.default_rng(0).normal(size=(3, 16, 7)).astype(np.float32)  # 4 x 4 patches of width 7
    monkeypatch.setattr(TinyStore, "patches", lambda *_: grids, raising=False)
    output = StudentOutput(**{**vars(output), "visual": torch.randn(4, 4, 5)})
    method = made(settings | {"targets": ["patches"], "distance": "mse"}, data, store)
    losses = method(output, all_items(data), STAGE)
    areas = ln(grids).reshape(3, 2, 2, 2, 2, 7).mean((2, 4)).reshape(3, 4, 7)[[0, 1, 0, 2]]
    distance = ((projected(method, "patches", output.visual.numpy()) - areas) ** 2).mean((1, 2))
    assert losses["patches"].item() == pytest.approx(10 * (WEIGHTS * distance).mean(), rel=1e-4)


def test_gradients_reach_the_students_parts_and_no_target(
    settings: dict[str, Any], data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    method = made(settings, data, store)
    batch = all_items(data)
    losses = method(output, batch, STAGE)
    torch.stack([losses[name] for name in ("image", "joint", "tokens")]).sum().backward()
    assert not any(value.requires_grad for value in batch.extra.values())
    touched = {name: value.grad is not None for name, value in vars(output).items() if value is not None}
    assert touched == {
        "visual": True,
        "cls": True,
        "embedded_text": True,
        "logits": False,
        "pooled": False,
        "text": False,
    }
    only = output.embedded_text.grad
    assert only is not None
    assert only[:, 0].abs().sum() == 0  # [CLS] is no selected word


def test_impossible_settings_are_named(settings: dict[str, Any]) -> None:
    for change, message in (
        ({"adaptive_steps": STEPS}, "adaptive_steps is 110, but the whole run has 110 steps"),
        ({"temperature": 0}, "temperature is 0"),
        ({"targets": ["image", "patch"]}, "targets.1 is 'patch'; choose from: image, joint, tokens, text, patches"),
        ({"weight": "above_prior"}, "weight is 'above_prior'; choose from: confidence, margin, uniform"),
        ({"token_target": "joint"}, "token_target is 'joint'; choose from: text, image, fused"),
        (
            {"distance": "relation"},
            "distance: relation compares whole items .* targets has tokens; name only image, joint",
        ),
        (
            {"targets": ["tokens"], "selection": "none"},
            "targets is .tokens., but selection is none .* nothing would be",
        ),
        ({"targets": ["tokens"], "tokens_per_text": 0}, "tokens_per_text is 0, so nothing would be distilled"),
        ({"lambda_schedule": "step"}, "lambda_schedule is 'step'; choose from: linear, constant, cosine"),
        ({"selecton": "both"}, "unknown key 'selecton' .*; did you mean 'selection'"),
    ):
        with pytest.raises(UserError, match=message):
            objective.create(settings | change, STEPS)
