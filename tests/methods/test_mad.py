from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import two_processes
import yaml
from tiny_teacher import TinyStore, V, all_items, targets_of
from torch import Tensor

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods import objective
from vlkd_steps.methods.distances import info_nce
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers.targets import compute

STEPS, STAGE = 110, 10
W_V = np.array([0.5, 1.5, 1.2, 0.8], np.float32)
W_T = np.array([2.0, 0.1, 0.9, 1.0], np.float32)


class TwoTeachers(TinyStore):
    """Images of width 4; texts of width 6, in another space."""

    shared_space = False

    def texts(self, texts: list[str]) -> np.ndarray:
        return np.array([[len(t), t.count("e"), 1.0, -t.count("a"), t.count("l"), 2.0] for t in texts], np.float32)


@pytest.fixture
def pair() -> TwoTeachers:
    return TwoTeachers()


@pytest.fixture
def settings(root: Any) -> dict[str, Any]:
    return yaml.safe_load((root / "vlkd_steps/conf/method/mad.yaml").read_text()) | {"adaptive_steps": STAGE}


@pytest.fixture(autouse=True)
def given_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confidence needs many items; here each teacher, known by its width, says what the test computes with."""
    first = np.zeros(1, np.int64)
    monkeypatch.setattr(compute.confidence, "weights", lambda seen, *_: W_V if seen(first).shape[1] == 4 else W_T)


def made(settings: dict[str, Any], data: Encoded, store: TinyStore) -> objective.Objective:
    method = objective.create(settings, STEPS)
    data.extra = method.prepare(data, store, 1, targets_of(settings, data, store))
    torch.manual_seed(7)
    method.project(5, data.extra)
    return method


def ln(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def teachers(data: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """v and u of the four items."""
    v = np.array([V[i] for i in ("i0", "i1", "i0", "i2")], np.float32)
    return v, TwoTeachers().texts([data.items.texts[row] for row in (0, 1, 1, 0)])


def projected(method: objective.Objective, name: str, features: np.ndarray) -> np.ndarray:
    layer = method.get_submodule(f"to_teacher.{name}")
    return features @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()  # type: ignore[operator]


@pytest.mark.parametrize(("step", "strength"), [(STAGE, 10.0), (STAGE + 25, 7.5), (STEPS - 1, 0.1)])
def test_image_and_joint_terms_in_numpy(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, output: StudentOutput, step: int, strength: float
) -> None:
    method = made(settings, data, pair)
    losses = method(output, all_items(data), step)
    assert set(losses) == {"task", "image", "joint_image", "joint_text", "tokens"}
    v, u = teachers(data)
    cls, seen = output.cls.detach().numpy(), output.visual.detach().numpy().mean(1)
    expected = {
        "image": W_V * np.abs(projected(method, "image", seen) - ln(v)).mean(-1),
        "joint_image": W_V * np.abs(projected(method, "joint_image", cls) - ln(v)).mean(-1) / 2,
        "joint_text": W_T * np.abs(projected(method, "joint_text", cls) - ln(u)).mean(-1) / 2,
    }
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(strength * value.mean(), rel=1e-4), name


def arranged(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    return centred @ centred.T


def test_relations_between_items_are_weighed_per_item_also_over_processes(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, output: StudentOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = made(settings | {"targets": ["image", "joint"], "distance": "relation"}, data, pair)
    losses = method(output, all_items(data), STAGE)
    cls = output.cls.detach().numpy()
    differences = np.abs(arranged(projected(method, "joint_text", cls)) - arranged(ln(teachers(data)[1])))
    assert losses["joint_text"].item() == pytest.approx(10 * (W_T * differences.mean(1)).mean() / 2, rel=1e-4)
    parameters = [parameter for name, parameter in method.named_parameters() if "contrast" not in name]

    def gradients(rows: slice) -> list[Tensor]:
        part = {key: value[rows] for key, value in vars(output).items() if value is not None}
        found = method(replace(output, **part), data.batch(torch.arange(4)[rows]), STAGE)
        return list(torch.autograd.grad(found["image"] + found["joint_image"] + found["joint_text"], parameters))

    expected, of_two = two_processes.compared(gradients, monkeypatch)
    torch.testing.assert_close(of_two, expected)


def test_token_text_and_patch_terms_are_weighed_by_their_own_teacher(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, output: StudentOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids = np.random.default_rng(0).normal(size=(3, 4, 7)).astype(np.float32)  # 2 x 2 patches of width 7
    monkeypatch.setattr(TwoTeachers, "patches", lambda *_: grids, raising=False)
    output = StudentOutput(**{**vars(output), "visual": torch.randn(4, 1, 5)})  # one patch: the mean of the four
    method = made(settings | {"targets": ["tokens", "text", "patches"], "selection": "all"}, data, pair)
    losses = method(output, all_items(data), STAGE)
    text = np.abs(projected(method, "text", output.cls.detach().numpy()) - ln(teachers(data)[1])).mean(-1)
    assert losses["text"].item() == pytest.approx(10 * (W_T * text).mean(), rel=1e-4)
    tokens = output.embedded_text.detach().numpy()
    terms = []
    for item, text_row in enumerate((0, 1, 1, 0)):
        places, words = ([2, 5, 6, 7, 8], [1, 4, 4, 4, 4]) if text_row == 0 else ([3, 4, 5], [2, 3, 4])
        states = pair.word_states(data.items.texts[text_row])[1][words]
        terms.append(np.abs(projected(method, "tokens", tokens[item, places]) - ln(states)).mean())
    assert losses["tokens"].item() == pytest.approx(10 * (W_T * np.array(terms)).mean(), rel=1e-4)
    target = ln(grids).mean(1)[[0, 1, 0, 2]]
    patches = np.abs(projected(method, "patches", output.visual[:, 0].numpy()) - target).mean(-1)
    assert losses["patches"].item() == pytest.approx(10 * (W_V * patches).mean(), rel=1e-4)


def test_adaptive_stage_contrasts_with_each_teacher(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, output: StudentOutput
) -> None:
    method = made(settings, data, pair)
    losses = method(output, all_items(data), STAGE - 1)
    assert set(losses) == {"contrast_image", "contrast_text"}
    _, u = (torch.tensor(part) for part in teachers(data))
    same = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 1]], dtype=torch.bool)
    text = torch.tensor(projected(method, "contrast", output.cls.detach().numpy()))
    assert text.shape == (4, 6)
    assert losses["contrast_text"].item() == pytest.approx(info_nce(text, u, same, 0.07).item(), rel=1e-4)


def test_uniform_weights_are_ones_and_both_switches_work(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, output: StudentOutput
) -> None:
    method = made(settings | {"weight": "uniform", "adaptive": False, "selection": "none"}, data, pair)
    batch = all_items(data)
    assert batch.extra["weight_vision"].tolist() == batch.extra["weight_text"].tolist() == [1.0] * 4
    assert set(method(output, batch, 0)) == {"task", "image", "joint_image", "joint_text"}


def test_whitened_targets_in_numpy(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, output: StudentOutput
) -> None:
    """Fitted on the three images and the two texts, not on the four items; the adaptive stage contrasts with them."""
    method = made(settings | {"whitening": "standardise"}, data, pair)
    losses = method(output, all_items(data), STAGE)
    images = ln(np.array([V[i] for i in ("i0", "i1", "i2")]))
    texts = ln(pair.texts(data.items.texts).astype(float))
    v = ((images - images.mean(0)) / images.std(0))[[0, 1, 0, 2]]
    u = ((texts - texts.mean(0)) / np.where(texts.std(0) > 1e-4, texts.std(0), 1))[[0, 1, 1, 0]]
    cls, seen = output.cls.detach().numpy(), output.visual.detach().numpy().mean(1)
    expected = {
        "image": W_V * np.abs(projected(method, "image", seen) - v).mean(-1),
        "joint_image": W_V * np.abs(projected(method, "joint_image", cls) - v).mean(-1) / 2,
        "joint_text": W_T * np.abs(projected(method, "joint_text", cls) - u).mean(-1) / 2,
    }
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(10 * value.mean(), rel=1e-4), name
    same = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 1]], dtype=torch.bool)
    contrast = method(output, all_items(data), 0)
    for name, layer, feature, target in (("image", "image", seen, v), ("text", "contrast", cls, u)):
        wanted = info_nce(torch.tensor(projected(method, layer, feature)), torch.tensor(target).float(), same, 0.07)
        assert contrast[f"contrast_{name}"].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_principal_components_are_fewer(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, output: StudentOutput
) -> None:
    method = made(settings | {"whitening": "pca", "whitening_share": 1}, data, pair)
    batch = all_items(data)
    widths = {name: batch.extra[name].shape[-1] for name in ("v", "image", "joint_image", "u", "joint_text")}
    assert widths == {"v": 2, "image": 2, "joint_image": 2, "u": 1, "joint_text": 1}  # of three images, of two texts
    assert all(torch.isfinite(loss) for step in (0, STAGE) for loss in method(output, batch, step).values())
    assert batch.extra["weight_vision"].tolist() == W_V.tolist()
    with pytest.raises(UserError, match="whitening_share is 0; write a share, above 0 and up to 1"):
        objective.create(settings | {"whitening_share": 0}, STEPS)


def test_above_the_prior_each_teacher_is_judged_alone(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = lambda seen, *_: 1 / (W_V if seen(np.zeros(1, np.int64)).shape[1] == 4 else W_T)  # noqa: E731
    monkeypatch.setattr(compute.confidence, "weights_above_prior", above)
    made(settings | {"weight": "above_prior"}, data, pair)
    extra = all_items(data).extra
    assert extra["weight_vision"].tolist() == (1 / W_V).tolist()
    assert extra["weight_text"].tolist() == (1 / W_T).tolist()
    with pytest.raises(UserError, match="weight is 'margin'; choose from: confidence, above_prior, uniform"):
        objective.create(settings | {"weight": "margin"}, STEPS)


def test_what_is_journalled_at_an_evaluation(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, output: StudentOutput
) -> None:
    method = made(settings | {"tokens_per_text": 1}, data, pair)
    batch = all_items(data)
    observed = method.observe(output, batch)
    v, _ = teachers(data)
    image = np.abs(projected(method, "image", output.visual.detach().numpy().mean(1)) - ln(v)).mean()
    assert observed["distance/image"] == pytest.approx(image, rel=1e-4)  # neither weight nor strength
    assert observed["chosen_words"] == pytest.approx(4 / 10)  # one of "color ball" or of "red cube large", four times
    assert observed["weight_vision_sd"] == pytest.approx(W_V.std(), rel=1e-4)
    assert observed["weight_text_sd"] == pytest.approx(W_T.std(), rel=1e-4)
    assert output.cls.grad is None


def test_texts_without_a_word_have_no_tokens_to_select(settings: dict[str, Any], pair: TwoTeachers) -> None:
    items = SimpleNamespace(texts=["\u043a\u0430\u043a \u0436\u0435?"], text_rows=torch.tensor([0]))
    wanted = {"words": {"relevance": "centred"}, "weights": None}
    with pytest.raises(UserError, match=r"no text to train on has a word of the letters a to z"):
        compute.compute(wanted, cast(Any, items), pair, 1)


def test_what_two_teachers_cannot_do_is_said(
    settings: dict[str, Any], data: Encoded, pair: TwoTeachers, root: Any
) -> None:
    with pytest.raises(UserError, match=r"relevance is 'centred', a cosine .* but the teachers share no space"):
        targets_of(settings | {"relevance": "centred"}, data, pair)
    clip_td = yaml.safe_load((root / "vlkd_steps/conf/method/clip_td.yaml").read_text()) | {"adaptive": False}
    with pytest.raises(UserError, match="one CLIP for both; name one teacher, or"):
        objective.create(clip_td, STEPS).prepare(data, pair, seed=1)


def test_the_towers_of_one_clip_may_be_both(settings: dict[str, Any], data: Encoded, store: TinyStore) -> None:
    for relevance in ("plain", "centred", "regression"):
        made(settings | {"relevance": relevance}, data, store)
        assert isinstance(data.extra["positions"], torch.Tensor)
